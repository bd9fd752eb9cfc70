use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::{Place, Site};

use super::{assert_exactly_once_in_order, emptied, fill, fill_with, nats};
use crate::delivery::{alert, assert_exactly_once};

const DOOR: &str = "aurora/sensors/door_1/alerts";

/// Most resident memory of a process so far, kilobytes.
fn peak_memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[tokio::test]
async fn what_gathers_while_nats_is_away_is_measured_and_sent_at_full_rate_afterwards() -> Result<()> {
    const COUNT: u32 = 50_000;
    let mut site = Site::plan().set("nats.reconnect_max", "200ms").start().await?;
    site.nats.as_mut().context("no NATS")?.stop().await?;
    site.wait_until("that NATS is missed", async || {
        let body = site.readiness().await?;
        ensure!(body.contains("cannot connect to NATS"), "{body}");
        Ok(())
    })
    .await?;
    let pid = site.daemon()?.pid();
    fill(&site, 0..COUNT).await?;
    // Not shared, so the backlog stays as it is.
    site.publish(DOOR, 1, (0..500).map(|number| alert("low", number))).await?;
    assert_exactly_once(&site.stream_of("aurora:cps:alerts", 500).await?, 500);
    site.series_of("aurora_stage_queue_events{stage=\"relay\"}", f64::from(COUNT)).await?;
    assert!(site.series_of("aurora_outbox_oldest_seconds", 0.001).await? < 600.0);
    assert_eq!(site.scrape().await?.get("aurora_outbox_pending")?, 0.0);
    let before = peak_memory(pid)?;
    site.nats.as_mut().context("no NATS")?.restart().await?;
    let began = Instant::now();
    super::arrived(&site, &nats(&site).await?, u64::from(COUNT)).await?;
    let took = began.elapsed();
    eprintln!("{COUNT} entries sent in {took:.2?}, {} kB more memory", peak_memory(pid)? - before);
    assert!(peak_memory(pid)? - before < 40_000, "the backlog was held in memory");
    // Two seconds alone on a machine, with room for others on it: one message at a time would take a minute.
    assert!(took < Duration::from_secs(45), "{took:?}");
    emptied(&site).await?;
    assert_exactly_once_in_order(&site.jetstream().await?, COUNT);
    site.wait_until("gauges of an empty outbox", async || {
        let scrape = site.scrape().await?;
        let gauges =
            [scrape.get("aurora_stage_queue_events{stage=\"relay\"}")?, scrape.get("aurora_outbox_oldest_seconds")?];
        ensure!(gauges == [0.0, 0.0], "{gauges:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_waits_grows_older_while_redis_is_away() -> Result<()> {
    const OLDEST: &str = "aurora_outbox_oldest_seconds";
    let mut site = Site::plan().start().await?;
    site.nats.as_mut().context("no NATS")?.stop().await?;
    fill(&site, 0..1).await?;
    let before = site.series_of(OLDEST, 0.001).await?;
    site.redis.pause()?;
    // Longer than any time between two measurements.
    let after = site.series_of(OLDEST, before + 5.0).await?;
    site.redis.resume()?;
    assert!(after < before + 60.0, "{before} {after}");
    Ok(())
}

#[tokio::test]
async fn entries_that_do_not_come_in_time_together_come_in_parts() -> Result<()> {
    const COUNT: u32 = 120;
    let plan = Site::plan().proxied(Place::Redis).set("redis.timeout", "500ms").set("redis.reconnect_max", "100ms");
    let mut site = plan.set("nats.reconnect_max", "100ms").brokers().await?;
    let large = "x".repeat(50_000);
    fill_with(&site, 0..COUNT, |_| "aurora.alerts.network", &large).await?;
    // A second and a half is what a read may take, and all of them take four.
    site.proxy(Place::Redis)?.set(|faults| faults.bytes_per_second = 1_500_000);
    site.start_daemon().await?;
    emptied(&site).await?;
    assert_exactly_once_in_order(&site.jetstream().await?, COUNT);
    assert!(site.log().contains("the outbox cannot be used"), "it was never too much");
    Ok(())
}
