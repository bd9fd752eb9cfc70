//! `aurora tap`, by the real binary beside a daemon that runs.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use harness::{PATIENCE, Site, binary, connect_redis, wait_until};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

const PUMP: &str = "aurora/sensors/pump_1/alerts";

/// A tap whose lines are read one by one.
struct Tap {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

fn tap(site: &Site, arguments: &[&str]) -> Result<Tap> {
    let mut command = Command::new(binary()?);
    command.arg("tap").arg("--config").arg(site.folder().join("aurora.toml")).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().context("cannot start the tap")?;
    let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    Ok(Tap { child, lines })
}

impl Tap {
    async fn line(&mut self) -> Result<String> {
        let line = timeout(PATIENCE, self.lines.next_line()).await.context("no line came")??;
        line.context("the tap ended")
    }

    async fn json(&mut self) -> Result<Value> {
        let line = self.line().await?;
        serde_json::from_str(&line).with_context(|| line)
    }
}

fn alert(severity: &str, title: &str) -> String {
    format!(r#"{{"severity":"{severity}","title":"{title}"}}"#)
}

#[tokio::test]
async fn shows_what_fits_the_filter_and_hides_what_tlp_forbids() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let secret = r#"{"severity":"high","title":"Who it was","tlp":"red"}"#.to_owned();
    let payloads = [alert("low", "Door ajar"), alert("high", "Valve open"), secret, alert("critical", "Pump stops")];
    site.publish(PUMP, 1, payloads).await?;
    site.stream_of("aurora:cps:alerts", 4).await?;

    let mut shown = tap(&site, &["--since", "1h", "--severity", "high,critical"])?;
    let first = shown.json().await?;
    assert_eq!((&first["stage"], &first["stream"]), (&"normalized".into(), &"aurora:cps:alerts".into()));
    assert_eq!(first["entry"]["data"]["title"], "Valve open");
    assert_eq!(first["entry"]["data"]["device_id"], "pump_1");
    let hidden = shown.line().await?;
    ensure!(hidden.contains("TLP:RED") && !hidden.contains("Who it was") && !hidden.contains("pump_1"), "{hidden}");
    assert_eq!(shown.json().await?["entry"]["data"]["title"], "Pump stops");

    // Not even a line that says nothing answers a guess, though the secret stands between these two.
    let mut guessed = tap(&site, &["--since", "1h", "--severity", "high,critical", "--device", "pump_1", "pump"])?;
    for title in ["Valve open", "Pump stops"] {
        assert_eq!(guessed.json().await?["entry"]["data"]["title"], title);
    }

    let arguments = ["--since", "1h", "--count", "1", "--format", "text", "--show-restricted", "who"];
    let mut all = tap(&site, &arguments)?;
    let line = all.line().await?;
    ensure!(line.contains("high") && line.contains("pump_1") && line.ends_with("Who it was"), "{line}");
    let ended = timeout(PATIENCE, all.child.wait()).await.context("it does not end after --count")??;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

#[tokio::test]
async fn follows_dead_letters_and_audit_as_they_come_and_leaves_no_trace() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    // What the start of the daemon wrote comes first, so the tap is there when the letter comes.
    let mut shown = tap(&site, &["--stage", "dead-letter,audit", "--since", "1h"])?;
    let first = shown.json().await?;
    assert_eq!((&first["stage"], &first["entry"]["action"]), (&"audit".into(), &"start".into()));
    site.publish(PUMP, 1, ["{\"cut\": "]).await?;
    let letter = loop {
        let seen = shown.json().await?;
        if seen["stage"] == "dead-letter" {
            break seen;
        }
    };
    assert_eq!(letter["entry"]["stage"], "normalize");
    assert_eq!(letter["entry"]["payload"], "{\"cut\": ");
    let mut connection = connect_redis(&site.redis.url()).await?;
    for stream in ["aurora:audit", "aurora:dead_letter"] {
        let groups: Vec<Value> = redis::cmd("XINFO")
            .arg("GROUPS")
            .arg(stream)
            .query_async::<Vec<redis::Value>>(&mut connection)
            .await?
            .iter()
            .map(|group| format!("{group:?}").into())
            .collect();
        ensure!(groups.is_empty(), "{stream} has groups: {groups:?}");
    }
    Ok(())
}

#[tokio::test]
async fn goes_on_where_it_was_when_redis_comes_back() -> Result<()> {
    let mut site = Site::plan().without_nats().start().await?;
    site.publish(PUMP, 1, [alert("high", "before")]).await?;
    let mut shown = tap(&site, &["--since", "1h"])?;
    assert_eq!(shown.json().await?["entry"]["data"]["title"], "before");
    site.redis.restart().await?;
    site.publish(PUMP, 1, [alert("high", "after")]).await?;
    assert_eq!(shown.json().await?["entry"]["data"]["title"], "after");
    Ok(())
}

#[tokio::test]
async fn ends_by_itself_when_nobody_reads_and_when_interrupted() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let mut gone = tap(&site, &["--since", "1h", "--stage", "audit"])?;
    gone.line().await?;
    let Tap { mut child, lines } = gone;
    drop(lines);
    let ended = wait_until("the tap ends when nobody reads", PATIENCE, async || {
        // It notices when it writes.
        let mut connection = connect_redis(&site.redis.url()).await?;
        let mut entry = redis::cmd("XADD");
        entry.arg("aurora:audit").arg("*").arg("agent").arg("test").arg("action").arg("poke");
        entry.query_async::<String>(&mut connection).await?;
        child.try_wait()?.context("it runs")
    })
    .await?;
    ensure!(ended.success(), "{ended}");

    let mut running = tap(&site, &["--since", "1h", "--stage", "audit"])?;
    running.line().await?;
    let pid = running.child.id().context("it ended")?.to_string();
    ensure!(std::process::Command::new("kill").args(["-INT", &pid]).status()?.success(), "no signal");
    let ended = timeout(PATIENCE, running.child.wait()).await.context("it does not end on Ctrl-C")??;
    ensure!(ended.success(), "{ended}");
    Ok(())
}
