//! Redis away: events are accepted, acknowledged, and kept on disk, and they are stored in order when it is back.

use anyhow::{Result, ensure};
use harness::{Fsync, PATIENCE, Plan, Redis, Site};

use super::{alert, assert_exactly_once, number};

const DOOR: &str = "aurora/sensors/door_1/alerts";
const STREAM: &str = "aurora:cps:alerts";

fn plan() -> Plan {
    let redis = Redis { fsync: Fsync::Always, ..Redis::default() };
    Site::plan().without_nats().redis(redis).set("spool.path", "spool").set("spool.after", "100ms")
}

async fn acknowledged(site: &Site) -> Result<()> {
    site.wait_until("every event acknowledged", async || {
        let left = site.scrape().await?.get("aurora_broker_in_flight{broker=\"mqtt\"}")?;
        ensure!(left == 0.0, "{left} in flight");
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
    site.wait_until("an empty spool", async || {
        let left = site.scrape().await?.get("aurora_spool_records")?;
        ensure!(left == 0.0, "{left} records");
        Ok(())
    })
    .await?;
    assert_eq!(site.scrape().await?.get("aurora_events_published_total")?, 1600.0);
    site.publish(DOOR, 1, (1600..1700).map(|number| alert("low", number))).await?;
    in_order(&site, 1700).await
}

#[tokio::test]
async fn a_crash_and_a_restart_while_redis_is_away_change_nothing() -> Result<()> {
    let mut site = plan().start().await?;
    let mut publisher = site.publisher("device");
    let mut published = 0;
    let mut publish = async |site: &Site, until: u32| -> Result<()> {
        for number in published..until {
            publisher.publish(DOOR, 1, alert("low", number)).await?;
        }
        published = until;
        publisher.acknowledged(PATIENCE).await?;
        acknowledged(site).await
    };
    publish(&site, 200).await?;
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
