//! Indicators that sites tell each other of: over a real Redis, with the built daemon and the built command.

mod table;
mod matching;
mod exchange;
mod guests;

use std::{process::Command, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use aurora::{
    broker::redis_streams::{self, Pool},
    config::Config,
    federation::Ceiling,
    intel::{self, Indicator, Known, Seen, Table, What},
    sandbox::Tlp,
    telemetry::Metrics,
};
use harness::{Broker, Plan, Redis, Setup, Site, binary, unix_ms};
use tempfile::TempDir;

const HASH: &str = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
const DOOR: &str = "aurora/sensors/door_1/alerts";
const DAY: u64 = 86_400_000;

/// A site that looks out for indicators.
fn plan() -> Plan {
    Site::plan().set("intel.ttl", "30d").set("intel.timeout", "5s")
}

/// The table in the Redis at `url`, as a host of `site` would have it.
fn table_at(url: &str, change: impl FnOnce(&mut intel::Config)) -> Result<Table> {
    let redis = redis_streams::Config { url: url.to_owned(), ..redis_streams::Config::default() };
    let (mut intel, config) = (intel::Config::default(), Config::default());
    change(&mut intel);
    let ceiling = Arc::new(Ceiling::new(&config));
    Ok(Table::new(&Pool::new(&redis)?, &redis, &intel, ceiling, &Metrics::new().intel))
}

/// A Redis of one's own, and a table in it.
async fn alone(change: impl FnOnce(&mut intel::Config)) -> Result<(Table, Broker, TempDir)> {
    let folder = tempfile::tempdir()?;
    let redis = Broker::start(Setup::Redis(Redis::default()), &folder.path().join("redis")).await?;
    Ok((table_at(&redis.url(), change)?, redis, folder))
}

fn now() -> u64 {
    u64::try_from(unix_ms()).unwrap_or_default()
}

fn indicator(kind: &str, value: &str) -> Indicator {
    Indicator::new(kind, value).unwrap_or_else(|error| panic!("{value} {error}"))
}

/// That `site` tells of `indicator`, in a message of this name.
fn told(indicator: Indicator, site: &str, message: &str) -> Seen {
    let now = now();
    Seen {
        indicator,
        site: site.to_owned(),
        first_ms: now,
        last_ms: now,
        tlp: Tlp::Green,
        expires_ms: None,
        message: message.to_owned(),
        what: What::Indicator,
        edition: None,
    }
}

async fn known(table: &Table, indicator: &Indicator) -> Result<Known> {
    let found = table.look_up(std::slice::from_ref(indicator)).await?.pop().flatten();
    found.with_context(|| format!("{indicator} is not there"))
}

/// Runs `aurora intel` with `arguments` and the site's configuration: what it says, and whether it succeeds.
fn aurora(site: &Site, arguments: &[&str]) -> Result<(String, bool)> {
    let configuration = site.folder().join("aurora.toml");
    let output = Command::new(binary()?).args(arguments).arg("--config").arg(configuration).output()?;
    let text = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    Ok((text, output.status.success()))
}

fn done(site: &Site, arguments: &[&str]) -> Result<String> {
    let (said, done) = aurora(site, arguments)?;
    ensure!(done, "{said}");
    Ok(said)
}
