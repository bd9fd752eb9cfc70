//! Redis away: events are accepted, acknowledged, and kept on disk, and they are stored in order when it is back.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use aurora::{
    spool::{Config, Spool},
    telemetry::Metrics,
};
use harness::{Fsync, PATIENCE, Plan, Redis, Site, binary};
use serde_json::Value;

use super::{
    alert, assert_exactly_once, number,
    refused::{redis, use_up},
};

const DOOR: &str = "aurora/sensors/door_1/alerts";
const STREAM: &str = "aurora:cps:alerts";

/// A repeat is known by its identity alone: equal content is another event.
fn plan() -> Plan {
    let redis = Redis { fsync: Fsync::Always, ..Redis::default() };
    let plan = Site::plan().without_nats().redis(redis).set("dedup.window", "0s");
    plan.set("spool.path", "spool").set("spool.after", "100ms")
}

/// Nothing is in flight. Only to be asked of events that have been seen behind the daemon: before mosquitto hands them
/// over nothing is in flight either.
async fn acknowledged(site: &Site) -> Result<()> {
    site.wait_until("every event acknowledged", async || {
        let left = site.scrape().await?.get("aurora_broker_in_flight{broker=\"mqtt\"}")?;
        ensure!(left == 0.0, "{left} in flight");
        Ok(())
    })
    .await
}

/// Nothing waits in the spool.
async fn emptied(site: &Site) -> Result<()> {
    site.wait_until("an empty spool", async || {
        let left = site.scrape().await?.get("aurora_spool_records")?;
        ensure!(left == 0.0, "{left} records");
        Ok(())
    })
    .await
}

async fn in_order(site: &Site, count: u32) -> Result<()> {
    let entries = site.stream_of(STREAM, count as usize).await?;
    assert_exactly_once(&entries, count);
    let numbers: Vec<u32> = entries.iter().map(number).collect();
    assert!(numbers.is_sorted(), "out of order");
    Ok(())
}

#[tokio::test]
async fn events_are_acknowledged_while_redis_is_away_and_stored_in_order_later() -> Result<()> {
    let mut site = plan().start().await?;
    site.publish(DOOR, 1, (0..300).map(|number| alert("low", number))).await?;
    site.stream_of(STREAM, 300).await?;
    site.redis.stop().await?;
    site.publish(DOOR, 1, (300..1300).map(|number| alert("low", number))).await?;
    // Nothing in flight alone could mean that mosquitto has not handed it over yet.
    site.series_of("aurora_spool_events", 1000.0).await?;
    acknowledged(&site).await?;
    let scrape = site.scrape().await?;
    assert_eq!(scrape.get("aurora_spool_events")?, 1000.0);
    assert!(scrape.get("aurora_spool_bytes")? > 100_000.0 && scrape.get("aurora_spool_records")? >= 1.0);
    site.redis.restart().await?;
    // What comes now goes behind what waits.
    site.publish(DOOR, 1, (1300..1600).map(|number| alert("low", number))).await?;
    in_order(&site, 1600).await?;
    acknowledged(&site).await?;
    emptied(&site).await?;
    assert_eq!(site.scrape().await?.get("aurora_events_published_total")?, 1600.0);
    site.publish(DOOR, 1, (1600..1700).map(|number| alert("low", number))).await?;
    in_order(&site, 1700).await
}

#[tokio::test]
async fn a_crash_and_a_restart_while_redis_is_away_change_nothing() -> Result<()> {
    /// Before Redis goes away.
    const STORED: u32 = 200;
    let mut site = plan().start().await?;
    let mut publisher = site.publisher("device");
    let mut published = 0;
    let mut publish = async |site: &Site, until: u32| -> Result<()> {
        for number in published..until {
            publisher.publish(DOOR, 1, alert("low", number)).await?;
        }
        published = until;
        publisher.acknowledged(PATIENCE).await?;
        let stored = if until == STORED { "aurora_events_published_total" } else { "aurora_spool_events" };
        let least = if until == STORED { until } else { until - STORED };
        site.series_of(stored, least.into()).await?;
        acknowledged(site).await
    };
    publish(&site, STORED).await?;
    site.redis.stop().await?;
    publish(&site, 500).await?;
    for round in 1..=3 {
        site.kill_daemon()?;
        site.launch_daemon()?;
        // It is not ready without Redis, and takes events all the same.
        site.wait_until("the daemon to answer", async || site.scrape().await.map(drop)).await?;
        publish(&site, 500 + round * 200).await?;
    }
    site.redis.restart().await?;
    in_order(&site, 1100).await?;
    site.daemon()?.ready(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_spool_holds_the_sources_back_and_loses_nothing() -> Result<()> {
    const COUNT: u32 = 4000;
    let plan = plan().set("spool.max_bytes", "8MiB").set("mqtt.max_in_flight", 200).set("lanes.batch", 16);
    let mut site = plan.start().await?;
    site.redis.stop().await?;
    let large = |number: u32| alert("low", number).replace("alert ", &format!("{} ", "x".repeat(4000)));
    site.publish(DOOR, 1, (0..COUNT).map(large)).await?;
    site.series_of("aurora_spool_bytes", 7e6).await?;
    site.wait_until("a full spool", async || {
        ensure!(site.log().contains("the sources wait"), "not a word of it");
        Ok(())
    })
    .await?;
    let in_flight = site.scrape().await?.get("aurora_broker_in_flight{broker=\"mqtt\"}")?;
    assert!((1.0..=200.0).contains(&in_flight), "{in_flight} in flight");
    assert!(site.scrape().await?.get("aurora_spool_bytes")? <= 8.0 * 1024.0 * 1024.0);
    site.redis.restart().await?;
    in_order(&site, COUNT).await
}

/// Waits until so many records are set aside, and gives what the audit trail says of them.
async fn set_aside(site: &Site, count: usize, audit: &str) -> Result<Vec<String>> {
    site.wait_until(&format!("{count} records set aside"), async || {
        let entries = site.stream(audit).await?;
        let told = entries.iter().filter(|entry| entry.text("action") == "spool-damage");
        let told: Vec<String> = told.map(|entry| entry.text("details")).collect();
        ensure!(told.len() >= count, "{told:?}");
        Ok(told)
    })
    .await
}

#[tokio::test]
async fn a_record_of_a_newer_version_is_set_aside_and_holds_nothing_up() -> Result<()> {
    let mut site = plan().start().await?;
    site.redis.stop().await?;
    site.publish(DOOR, 1, (0..50).map(|number| alert("low", number))).await?;
    site.series_of("aurora_spool_events", 50.0).await?;
    site.kill_daemon()?;
    {
        let spool = Spool::open(&Config { path: site.folder().join("spool"), ..Config::default() }, &Metrics::new())?;
        let mut record = spool.oldest().await?.context("no record")?.bytes.to_vec();
        // The layout is the first argument of one byte.
        let at = record.windows(8).position(|bytes| bytes == b"$1\r\n2\r\n$").context("no layout")?;
        record[at + 4] = b'9';
        spool.append(7, record.into()).await?;
        spool.append(8, "*1\r\n$4\r\nPING\r\n".into()).await?;
    }
    site.redis.restart().await?;
    site.start_daemon().await?;
    site.publish(DOOR, 1, (50..100).map(|number| alert("low", number))).await?;
    in_order(&site, 100).await?;
    let told = set_aside(&site, 2, "aurora:audit").await?;
    assert!(told[0].contains("(7 events)") && told[0].contains("layout 9"), "{told:?}");
    assert!(told[1].contains("(8 events)") && told[1].contains("it is no batch"), "{told:?}");
    emptied(&site).await?;
    assert_eq!(site.scrape().await?.get("aurora_spool_damaged_total")?, 2.0);
    assert!(!site.log().contains("Redis has lost"), "a loss that nobody had");
    Ok(())
}

#[tokio::test]
async fn records_for_keys_of_another_hash_tag_are_set_aside_and_not_stored_where_nobody_reads() -> Result<()> {
    let mut site = plan().start().await?;
    site.redis.stop().await?;
    site.publish(DOOR, 1, (0..50).map(|number| alert("low", number))).await?;
    site.series_of("aurora_spool_events", 50.0).await?;
    let records = site.scrape().await?.get("aurora_spool_records")? as usize;
    site.kill_daemon()?;
    site.set("redis.hash_tag", "plant");
    site.redis.restart().await?;
    site.start_daemon().await?;
    site.publish(DOOR, 1, [alert("low", 0)]).await?;
    let told = set_aside(&site, records, "{plant}:aurora:audit").await?;
    assert!(told.iter().all(|told| told.contains("redis.hash_tag")), "{told:?}");
    site.stream_of("{plant}:aurora:cps:alerts", 1).await?;
    assert!(site.stream(STREAM).await?.is_empty());
    let (code, said) = spool(&site, &["list"])?;
    assert!(code == Some(0) && said.contains("redis.hash_tag") && said.contains("as they were written"), "{said}");
    let shown = shown(&site)?;
    assert!(shown.iter().all(|line| line["sound"] == true && line["stream"] == STREAM), "{shown:?}");
    assert_eq!(shown.len(), 50);
    // They go where the streams are now, and only once.
    let (code, said) = spool(&site, &["recover", "--all", "--yes"])?;
    assert_eq!((code, said.matches("entries stored").count()), (Some(0), records), "{said}");
    assert_eq!(site.stream_of("{plant}:aurora:cps:alerts", 51).await?.len(), 51);
    assert!(files(&site, "spool/damaged")?.is_empty());
    let (code, said) = spool(&site, &["recover", "--all", "--yes"])?;
    assert!(code == Some(0) && said.contains("nothing is recovered"), "{said}");
    Ok(())
}

/// `aurora spool`, with the configuration of the site: its exit code, and what it says.
fn spool(site: &Site, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let (name, rest) = arguments.split_first().context("no subcommand")?;
    let mut command = Command::new(binary()?);
    command.args(["spool", name, "--config"]).arg(site.folder().join("aurora.toml")).args(rest);
    let Output { status, stdout, stderr } = command.output().context("cannot run aurora")?;
    Ok((status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()))
}

/// What `aurora spool show` shows.
fn shown(site: &Site) -> Result<Vec<Value>> {
    let (_, said) = spool(site, &["show"])?;
    said.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// Paths of what lies in a folder of the site, sorted.
fn files(site: &Site, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(site.folder().join(folder))?.map(|file| Ok(file?.path()));
    let mut files: Vec<_> = files.collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

/// The records of the spool.
fn records(site: &Site) -> Result<Vec<PathBuf>> {
    let mut files = files(site, "spool")?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "resp"));
    Ok(files)
}

#[tokio::test]
async fn what_redis_refused_of_a_record_is_recovered_once_and_nothing_else_of_it() -> Result<()> {
    let mut site = plan().start().await?;
    site.redis.stop().await?;
    site.publish(DOOR, 1, [alert("low", 0), "RAWBYTES{{{".to_owned(), alert("low", 1)]).await?;
    site.series_of("aurora_stage_dead_lettered_total{stage=\"normalize\"}", 1.0).await?;
    site.series_of("aurora_spool_events", 2.0).await?;
    site.kill_daemon()?;
    site.redis.restart().await?;
    use_up(&site, STREAM).await?;
    site.start_daemon().await?;
    set_aside(&site, 1, "aurora:audit").await?;
    assert_eq!(site.stream_of("aurora:dead_letter", 1).await?.len(), 1);
    emptied(&site).await?;
    redis(&site, &["DEL", STREAM]).await?;
    let kept: Vec<_> = files(&site, "spool/damaged")?
        .into_iter()
        .map(|file| Ok((std::fs::read(&file)?, file)))
        .collect::<Result<_>>()?;
    let (_, said) = spool(&site, &["list"])?;
    assert!(said.contains("all but ") && said.contains("exhausted"), "{said}");
    for round in 0..2 {
        let (code, said) = spool(&site, &["recover", "--all", "--yes"])?;
        assert_eq!(code, Some(0), "{said}");
        assert!(round == 0 || said.contains("was recovered before"), "{said}");
        in_order(&site, 2).await?;
        assert_eq!(site.stream("aurora:dead_letter").await?.len(), 1);
        // As if the command had been killed before it removed them.
        kept.iter().try_for_each(|(content, file)| std::fs::write(file, content))?;
    }
    let audited = site.stream("aurora:audit").await?;
    assert_eq!(audited.iter().filter(|entry| entry.text("action") == "spool-recover").count(), kept.len() / 2);
    Ok(())
}

#[tokio::test]
async fn what_a_record_lacks_in_redis_is_recovered_beside_what_came_there_another_way() -> Result<()> {
    let mut site = plan().set("lanes.batch", 1).start().await?;
    site.redis.stop().await?;
    site.publish(DOOR, 1, (0..4).map(|number| alert("low", number)).chain(["RAWBYTES{{{".to_owned()])).await?;
    site.series_of("aurora_spool_records", 5.0).await?;
    site.kill_daemon()?;
    for file in records(&site)? {
        let name = file.file_name().context("no name")?;
        std::fs::rename(&file, site.folder().join("spool/damaged").join(name))?;
    }
    site.redis.restart().await?;
    let shown = shown(&site)?;
    let data = shown[2]["data"].to_string();
    // Keys of JSON objects are shown sorted; what counts is where the id stands.
    let id = shown[2]["data"]["id"].as_str().context("no id")?;
    redis(&site, &["XADD", STREAM, "*", "data", &format!("{{\"id\":\"{id}\",{}", &data[1..])]).await?;
    let (code, said) = spool(&site, &["recover", "--all", "--yes"])?;
    assert_eq!((code, said.matches("1 entries stored").count()), (Some(0), 4), "{said}");
    assert_eq!(said.matches("1 were there already").count(), 1, "{said}");
    assert_exactly_once(&site.stream_of(STREAM, 4).await?, 4);
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    assert_eq!((letters[0].text("payload"), letters[0].text("stage")), ("RAWBYTES{{{".into(), "normalize".into()));
    Ok(())
}

#[tokio::test]
async fn dead_letters_in_the_spool_wait_until_they_can_be_stored() -> Result<()> {
    let mut site = plan().start().await?;
    // Whatever its stages do, it is acknowledged once it is in the spool.
    site.redis.stop().await?;
    site.publish(DOOR, 1, [alert("low", 0), "RAWBYTES{{{".to_owned(), alert("low", 1)]).await?;
    site.series_of("aurora_stage_dead_lettered_total{stage=\"normalize\"}", 1.0).await?;
    site.series_of("aurora_spool_events", 2.0).await?;
    acknowledged(&site).await?;
    site.kill_daemon()?;
    site.redis.restart().await?;
    use_up(&site, "aurora:dead_letter").await?;
    site.launch_daemon()?;
    site.wait_until("that it waits", async || {
        let body = site.readiness().await?;
        ensure!(body.contains("cannot replay the spool") && body.contains("exhausted"), "{body}");
        Ok(())
    })
    .await?;
    redis(&site, &["DEL", "aurora:dead_letter"]).await?;
    assert_eq!(site.stream_of("aurora:dead_letter", 1).await?[0].text("payload"), "RAWBYTES{{{");
    in_order(&site, 2).await?;
    emptied(&site).await?;
    assert_eq!(site.scrape().await?.get("aurora_spool_damaged_total")?, 0.0);
    Ok(())
}

#[tokio::test]
async fn why_redis_does_not_take_the_spool_is_said_once() -> Result<()> {
    let mut site = plan().start().await?;
    // It answers everything and writes nothing.
    redis(&site, &["CONFIG", "SET", "maxmemory", "1"]).await?;
    site.publish(DOOR, 1, (0..100).map(|number| alert("low", number))).await?;
    site.series_of("aurora_spool_events", 100.0).await?;
    acknowledged(&site).await?;
    site.wait_until("that it is not ready", async || {
        let body = site.readiness().await?;
        ensure!(body.contains("cannot replay the spool") && body.contains("OOM"), "{body}");
        Ok(())
    })
    .await?;
    // Whatever comes of further attempts goes behind this in the log.
    let attempts = async || -> Result<u64> {
        let stats: String = redis::from_redis_value(redis(&site, &["INFO", "commandstats"]).await?)?;
        // What is refused for want of memory does not count as a call.
        let script = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or_default();
        let refused = script.split(',').find_map(|part| part.strip_prefix("rejected_calls="));
        Ok(refused.map_or(Ok(0), str::parse)?)
    };
    let before = attempts().await?;
    site.wait_until("some more attempts", async || {
        let after = attempts().await?;
        ensure!(after >= before + 3, "{after} after {before}");
        Ok(())
    })
    .await?;
    assert_eq!(site.log().matches("cannot replay the spool").count(), 1, "{}", site.log());
    redis(&site, &["CONFIG", "SET", "maxmemory", "0"]).await?;
    in_order(&site, 100).await?;
    site.daemon()?.ready(PATIENCE).await?;
    assert!(!site.readiness().await?.contains("cannot replay the spool"));
    Ok(())
}

#[tokio::test]
async fn what_the_spool_has_lost_is_not_said_to_be_lost_by_redis_alone() -> Result<()> {
    // Batches of one event, so that there are several records.
    let mut site = plan().set("lanes.batch", 1).start().await?;
    site.redis.stop().await?;
    site.publish(DOOR, 1, (0..5).map(|number| alert("low", number))).await?;
    site.series_of("aurora_spool_records", 5.0).await?;
    site.kill_daemon()?;
    let file = &records(&site)?[1];
    let mut record = std::fs::read(file)?;
    let at = record.windows(7).position(|bytes| bytes == b"alert 1").context("no title")?;
    record[at] ^= 1;
    std::fs::write(file, record)?;
    site.redis.restart().await?;
    site.start_daemon().await?;
    let told = set_aside(&site, 1, "aurora:audit").await?;
    assert!(told[0].contains("(1 events) fails its checksum"), "{told:?}");
    site.series_of("aurora_redis_lost_batches_total", 1.0).await?;
    assert_eq!(site.stream_of(STREAM, 4).await?.iter().map(number).collect::<Vec<_>>(), [0, 2, 3, 4]);
    assert!(site.log().contains("the spool has lost or set aside"), "{}", site.log());
    assert!(!site.log().contains("Redis has lost batches"), "{}", site.log());

    // Nothing tells which byte is wrong, so that is for a person to decide.
    let shown = shown(&site)?;
    assert!(shown.len() == 1 && shown[0]["sound"] == false && shown[0]["data"]["title"] == "`lert 1", "{shown:?}");
    let (code, said) = spool(&site, &["recover", "--all", "--yes"])?;
    assert!(code == Some(1) && said.contains("stays, its bytes are not as they were written"), "{said}");
    assert_eq!(site.stream(STREAM).await?.len(), 4);
    let (code, said) = spool(&site, &["recover", "--all", "--yes", "--unsound"])?;
    assert!(code == Some(0) && said.contains("1 entries stored"), "{said}");
    assert_exactly_once(&site.stream_of(STREAM, 5).await?, 5);
    Ok(())
}
