//! Several hosts at one outbox.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use harness::{Daemon, PATIENCE, Scrape, Site, binary, free_port};

use super::{OUTBOX, arrived, assert_exactly_once_in_order, emptied, fill, nats, redis};

#[tokio::test]
async fn what_a_dead_host_had_taken_is_taken_over_all_of_it() -> Result<()> {
    let mut site = Site::plan().brokers().await?;
    let mut redis = redis(&site).await?;
    fill(&site, 0..1500).await?;
    let read = |command: &str| {
        let mut command = redis::cmd(command);
        command.arg(OUTBOX).arg("aurora-relay");
        command
    };
    redis::cmd("XGROUP").arg("CREATE").arg(OUTBOX).arg("aurora-relay").arg("0").exec_async(&mut redis).await?;
    // Another host takes them, dies, and has been dead for an hour.
    type Entries = Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>;
    let mut command = redis::cmd("XREADGROUP");
    command
        .arg("GROUP")
        .arg("aurora-relay")
        .arg("relay-dead")
        .arg("COUNT")
        .arg(1500)
        .arg("STREAMS")
        .arg(OUTBOX)
        .arg(">");
    let taken: Entries = command.query_async(&mut redis).await?;
    let ids: Vec<String> = taken.into_iter().flat_map(|(_, entries)| entries).map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 1500);
    let mut claim = read("XCLAIM");
    claim.arg("relay-dead").arg(0).arg(&ids).arg("IDLE").arg(3_600_000).arg("JUSTID");
    claim.exec_async(&mut redis).await?;
    site.start_daemon().await?;
    emptied(&site).await?;
    assert_exactly_once_in_order(&site.jetstream().await?, 1500);
    Ok(())
}

/// A second daemon at the brokers of a site, which sends from the same outbox.
async fn second(site: &Site) -> Result<Daemon> {
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let mut config: toml::Table = std::fs::read_to_string(site.write_configuration(admin)?)?.parse()?;
    for (section, key, value) in [("nats", "host", "two"), ("mqtt", "client_id", "aurora-two")] {
        if let Some(section) = config.get_mut(section).and_then(toml::Value::as_table_mut) {
            section.insert(key.to_owned(), value.into());
        }
    }
    let path = site.folder().join("two.toml");
    std::fs::write(&path, config.to_string())?;
    let mut two = Daemon::start(&binary()?, &path, admin, &site.folder().join("two.log"))?;
    two.ready(PATIENCE).await?;
    Ok(two)
}

/// What the first and the second host have sent since they were started.
async fn sent(site: &Site, two: &Daemon) -> Result<[f64; 2]> {
    const SENT: &str = "aurora_stage_out_total{stage=\"relay\"}";
    let second = Scrape(two.get("/metrics").await.map_err(anyhow::Error::msg)?.body);
    Ok([site.scrape().await?.get(SENT)?, second.get(SENT)?])
}

/// Every number of `0..count` is in the stream once. The order between hosts is that of chance.
async fn assert_exactly_once(site: &Site, count: u32) -> Result<()> {
    let messages = site.jetstream().await?;
    let numbers: std::collections::BTreeSet<_> = messages.iter().map(super::number).collect();
    assert_eq!((messages.len(), numbers.len()), (count as usize, count as usize));
    Ok(())
}

#[tokio::test]
async fn two_hosts_share_the_work_and_send_nothing_twice() -> Result<()> {
    const COUNT: u32 = 10_000;
    let site = Site::plan().set("nats.host", "one").set("nats.max_in_flight", 50).start().await?;
    let mut two = second(&site).await?;
    fill(&site, 0..COUNT).await?;
    emptied(&site).await?;
    let [one, other] = sent(&site, &two).await?;
    assert!(one > 0.0 && other > 0.0 && one + other == f64::from(COUNT), "{one} and {other}");
    assert_exactly_once(&site, COUNT).await?;
    two.stop(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_host_had_taken_when_it_died_is_sent_by_its_next_start_and_by_nobody_twice() -> Result<()> {
    const COUNT: u32 = 10_000;
    let mut site = Site::plan().set("nats.host", "one").set("nats.max_in_flight", 50).start().await?;
    let mut two = second(&site).await?;
    fill(&site, 0..COUNT).await?;
    arrived(&site, &nats(&site).await?, 2000).await?;
    site.kill_daemon()?;
    site.start_daemon().await?;
    emptied(&site).await?;
    assert_exactly_once(&site, COUNT).await?;
    two.stop(PATIENCE).await?;
    Ok(())
}
