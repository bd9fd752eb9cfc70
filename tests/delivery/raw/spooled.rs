//! Entries that are settled because the spool has them, while Redis still has them pending.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use harness::{PATIENCE, Plan, Site};

use super::{Collector, READING, exactly, plan};

fn spooling() -> Plan {
    plan().set("spool.path", "spool").set("spool.after", "100ms").set("raw.stale", "1s")
}

/// Redis takes batches, or does not; everything else works.
async fn take_batches(collector: &mut Collector, takes: bool) -> Result<()> {
    let sign = if takes { '+' } else { '-' };
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg("default").arg(format!("{sign}eval")).arg(format!("{sign}evalsha"));
    Ok(command.exec_async(&mut collector.0).await?)
}

/// Waits until `events` are in the spool, and nothing is in flight.
async fn spooled(site: &Site, events: f64) -> Result<()> {
    site.series_of("aurora_spool_events", events).await?;
    site.wait_until("all settled", async || {
        let left = site.scrape().await?.get("aurora_raw_in_flight")?;
        ensure!(left == 0.0, "{left} in flight");
        Ok(())
    })
    .await
}

/// Waits for so many looks: each says that what is pending is in good hands, and its idle time falls back.
async fn looks(site: &Site, collector: &mut Collector, count: u32) -> Result<()> {
    let (mut before, mut falls) = (0, 0);
    site.wait_until("looks", async || {
        let idle = collector.idle().await?;
        falls += u32::from(idle < before);
        before = idle;
        ensure!(falls >= count, "{falls} so far, {idle} ms idle");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_waits_in_the_spool_counts_against_the_limit() -> Result<()> {
    let site = spooling().set("raw.max_in_flight", 16).start().await?;
    let mut collector = Collector::of(&site).await?;
    take_batches(&mut collector, false).await?;
    collector.add_many(16, READING).await?;
    spooled(&site, 16.0).await?;
    looks(&site, &mut collector, 2).await?;
    collector.add_many(100, READING).await?;
    looks(&site, &mut collector, 4).await?;
    assert_eq!(collector.left().await?, (116, 16), "more was read while there was no place");
    take_batches(&mut collector, true).await?;
    exactly(&site, &mut collector, 116).await
}

#[tokio::test]
async fn entries_of_a_damaged_record_are_taken_again() -> Result<()> {
    let site = spooling().start().await?;
    let mut collector = Collector::of(&site).await?;
    take_batches(&mut collector, false).await?;
    // A record each: of these the first is under way to Redis, and the second is read ahead.
    for number in 1..=4 {
        collector.add(READING).await?;
        spooled(&site, f64::from(number)).await?;
    }
    let records = fs::read_dir(site.folder().join("spool"))?;
    let mut records: Vec<_> = records.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    records.retain(|path| path.extension().is_some_and(|extension| extension == "resp"));
    records.sort();
    assert_eq!(records.len(), 4);
    let last = records.last().context("no record")?;
    let mut bytes = fs::read(last)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(last, bytes)?;
    take_batches(&mut collector, true).await?;
    site.series_of("aurora_spool_damaged_total", 1.0).await?;
    exactly(&site, &mut collector, 4).await?;
    assert_eq!(site.scrape().await?.get("aurora_raw_redelivered_total")?, 1.0);
    Ok(())
}

#[tokio::test]
async fn an_orderly_end_does_not_give_back_what_the_spool_has() -> Result<()> {
    let mut site = spooling().set("raw.stale", "60s").start().await?;
    let mut collector = Collector::of(&site).await?;
    take_batches(&mut collector, false).await?;
    collector.add_many(20, READING).await?;
    spooled(&site, 20.0).await?;
    assert!(site.terminate(PATIENCE).await?.success());
    // What is given back is idle for long, and as if it had not been delivered.
    let counts: Vec<usize> = collector.pending().await?.into_iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [1; 20]);
    assert!(collector.idle().await? < 60_000);
    assert!(site.log().contains("left_for_redelivery=0"), "{}", site.log());
    take_batches(&mut collector, true).await?;
    site.start_daemon().await?;
    exactly(&site, &mut collector, 20).await
}
