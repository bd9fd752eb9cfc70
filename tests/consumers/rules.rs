//! `deploy/alerts.rules.yml` and `deploy/grafana/aurora.json`: sound, and about metrics that exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use harness::workspace;
use serde_json::Value;

fn rules() -> PathBuf {
    workspace().join("deploy/alerts.rules.yml")
}

/// Runs promtool, which Debian has in the package `prometheus`.
fn promtool(arguments: &[&str], file: &Path) -> Result<()> {
    let output =
        Command::new("promtool").args(arguments).arg(file).output().context("no promtool; run `make setup`")?;
    let text = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    Ok(())
}

/// Words of `text` that begin like a metric of ours.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("aurora_"));
    words.map(str::to_owned).collect()
}

/// Metrics that the host registers, those of a histogram as Prometheus has them.
fn registered() -> Result<BTreeSet<String>> {
    let host = workspace().join("host/src");
    let telemetry = fs::read_dir(host.join("telemetry"))?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let mut names = BTreeSet::new();
    for file in telemetry.into_iter().chain([host.join("admin/shown.rs")]) {
        let text = fs::read_to_string(&file)?;
        // What tests of these files name is none.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let quoted = text.split('"').skip(1).step_by(2);
        names.extend(
            quoted.filter(|name| name.starts_with("aurora_") && named(name).contains(*name)).map(str::to_owned),
        );
    }
    Ok(names)
}

/// The metric that a series belongs to: a histogram has three series.
fn family(series: &str) -> &str {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end));
    of_histogram.unwrap_or(series)
}

/// Every query of the dashboard.
fn queries() -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace().join("deploy/grafana/aurora.json"))?;
    let dashboard: Value = serde_json::from_str(&text).context("the dashboard is no JSON")?;
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    Ok(found)
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[test]
fn the_alert_rules_fire_when_they_should_and_not_before() -> Result<()> {
    promtool(&["check", "rules"], &rules())?;
    promtool(&["test", "rules"], &workspace().join("tests/consumers/alerts.test.yml"))
}

#[test]
fn every_rule_and_every_panel_asks_for_metrics_that_exist() -> Result<()> {
    let registered = registered()?;
    ensure!(registered.len() > 40, "only {registered:?} were found");
    let text = fs::read_to_string(rules())?;
    let expressions: String = text.lines().filter(|line| !line.trim_start().starts_with(['#', '-'])).collect();
    for series in named(&expressions) {
        ensure!(registered.contains(family(&series)), "a rule asks for {series}, which nobody counts");
    }
    for query in queries()? {
        for series in named(&query) {
            ensure!(registered.contains(family(&series)), "the dashboard asks for {series}, which nobody counts");
        }
    }
    Ok(())
}

#[test]
fn every_metric_is_on_the_dashboard() -> Result<()> {
    let shown: BTreeSet<_> =
        queries()?.iter().flat_map(|query| named(query)).map(|one| family(&one).to_owned()).collect();
    let registered = registered()?;
    let missing: Vec<_> = registered.iter().filter(|name| !shown.contains(family(name))).collect();
    ensure!(missing.is_empty(), "the dashboard lacks {missing:?}");
    Ok(())
}

#[test]
fn every_query_of_the_dashboard_is_one() -> Result<()> {
    let queries = queries()?;
    ensure!(queries.len() > 40, "only {} queries were found", queries.len());
    let mut text = "groups: [{name: dashboard, rules: [\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        // As Grafana fills them in.
        let query = query.replace("$__rate_interval", "1m").replace("$instance", ".*");
        text += &format!("{{record: q{number}, expr: {}}},\n", serde_json::to_string(&query)?);
    }
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), text + "]}]\n")?;
    promtool(&["check", "rules"], file.path())
}
