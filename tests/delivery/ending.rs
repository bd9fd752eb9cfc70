//! How the daemon ends, and what the next one finds.

use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::{PATIENCE, Place, Plan, Site};

use super::{alert, assert_exactly_once};

const DOOR: &str = "aurora/sensors/door_1/alerts";

/// A site that knows a repeat by its identity alone: equal content is another event.
fn plan() -> Plan {
    Site::plan().set("dedup.window", "0s")
}

#[tokio::test]
async fn sigterm_drains_and_the_next_daemon_takes_the_rest() -> Result<()> {
    const COUNT: u32 = 5000;
    let mut site = plan().without_nats().start().await?;
    let mut publisher = site.publisher("device");
    for number in 0..COUNT {
        publisher.publish(DOOR, 1 + (number % 2) as u8, alert("low", number)).await?;
        if number == COUNT / 2 {
            let status = site.terminate(PATIENCE).await?;
            assert!(status.success(), "{status}");
        }
    }
    publisher.acknowledged(PATIENCE).await?;
    site.start_daemon().await?;
    assert_exactly_once(&site.stream_of("aurora:cps:alerts", COUNT as usize).await?, COUNT);
    Ok(())
}

#[tokio::test]
async fn what_cannot_settle_within_the_grace_period_is_left_and_said() -> Result<()> {
    let plan = plan().without_nats().proxied(Place::Redis).set("shutdown.grace", "500ms");
    let mut site = plan.start().await?;
    site.proxy(Place::Redis)?.set(|faults| faults.frozen = true);
    site.publish(DOOR, 1, (0..50).map(|number| alert("low", number))).await?;
    site.series_of("aurora_broker_in_flight{broker=\"mqtt\"}", 1.0).await?;
    site.terminate(PATIENCE).await?;
    let log = site.log();
    assert!(log.contains("redeliver"), "not a word about what was left:\n{log}");
    site.proxy(Place::Redis)?.heal();
    site.start_daemon().await?;
    assert_exactly_once(&site.stream_of("aurora:cps:alerts", 50).await?, 50);
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    let plan = plan().without_nats().proxied(Place::Redis).set("shutdown.grace", "10min");
    let mut site = plan.start().await?;
    site.proxy(Place::Redis)?.set(|faults| faults.frozen = true);
    site.publish(DOOR, 1, [alert("low", 0)]).await?;
    site.series_of("aurora_broker_in_flight{broker=\"mqtt\"}", 1.0).await?;
    site.daemon()?.terminate()?;
    assert!(site.daemon()?.wait(Duration::from_millis(300)).await.is_none(), "it did not wait for its events");
    site.terminate(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn kill_9_loses_nothing_and_doubles_nothing() -> Result<()> {
    const COUNT: u32 = 5000;
    let mut site = plan().start().await?;
    let mut publisher = site.publisher("device");
    for number in 0..COUNT {
        let severity = if number % 2 == 0 { "high" } else { "low" };
        publisher.publish(DOOR, 1 + (number / 2 % 2) as u8, alert(severity, number)).await?;
        if number % 1000 == 700 {
            // In the middle of its work: some of this thousand are stored and some are not.
            site.series_of("aurora_events_published_total", 1.0).await?;
            site.kill_daemon()?;
            site.start_daemon().await?;
        }
    }
    publisher.acknowledged(PATIENCE).await?;
    let messages = site.jetstream_of(COUNT as usize / 2).await?;
    assert_exactly_once(&site.stream_of("aurora:cps:alerts", COUNT as usize).await?, COUNT);
    let ids: std::collections::HashSet<_> = messages.iter().map(|message| message.json()["id"].to_string()).collect();
    assert_eq!((messages.len(), ids.len()), (COUNT as usize / 2, COUNT as usize / 2));
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_starts_before_its_brokers_waits_for_them() -> Result<()> {
    let mut site = plan().without_nats().brokers().await?;
    site.redis.stop().await?;
    site.mqtt.stop().await?;
    site.launch_daemon()?;
    let alive = site.daemon()?.wait(Duration::from_millis(500)).await;
    assert!(alive.is_none(), "it gave up: {alive:?}\n{}", site.log());
    site.redis.restart().await?;
    site.mqtt.restart().await?;
    site.daemon()?.ready(PATIENCE).await.context("it does not come up")?;
    site.publish(DOOR, 1, [alert("low", 0)]).await?;
    site.stream_of("aurora:cps:alerts", 1).await?;
    Ok(())
}
