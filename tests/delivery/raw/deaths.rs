//! Who dies, and when, and what the others make of it.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Fsync, PATIENCE, Place, Redis, Site, hostile_guest};
use redis::AsyncCommands as _;

use super::{Collector, RAW, READING, exactly, plan, stored};

/// Every step of the daemon towards Redis takes a moment, so that it can be killed in the middle.
fn slow(site: &Site) -> Result<()> {
    site.proxy(Place::Redis)?.set(|faults| faults.delay = Duration::from_millis(15));
    Ok(())
}

/// Waits until something of `all` is stored, and not all, and something is pending.
async fn in_the_middle(site: &Site, collector: &mut Collector, all: usize) -> Result<()> {
    site.wait_until("the middle", async || {
        let (stored, (_, pending)) = (stored(site).await?, collector.left().await?);
        ensure!(stored > all / 10 && pending > 0, "{stored} stored, {pending} pending");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn kill_9_in_the_middle_loses_nothing_and_doubles_nothing() -> Result<()> {
    const COUNT: usize = 2000;
    let mut site = plan().proxied(Place::Redis).set("lanes.batch", 16).start().await?;
    let mut collector = Collector::of(&site).await?;
    for round in 1..=3 {
        slow(&site)?;
        collector.add_many(COUNT, READING).await?;
        in_the_middle(&site, &mut collector, (round - 1) * COUNT * 10 + COUNT).await?;
        site.kill_daemon()?;
        let (length, pending) = collector.left().await?;
        assert!(length > 0 && pending > 0, "all was done before the kill, so this showed nothing");
        site.proxy(Place::Redis)?.set(|faults| faults.delay = Duration::ZERO);
        site.start_daemon().await?;
        exactly(&site, &mut collector, round * COUNT).await?;
        let again = site.scrape().await?.get("aurora_raw_redelivered_total")?;
        assert!(again > 0.0, "nothing came again, so this showed nothing");
    }
    Ok(())
}

#[tokio::test]
async fn another_daemon_takes_over_what_a_dead_one_had_taken() -> Result<()> {
    const COUNT: usize = 2000;
    let mut first = plan().proxied(Place::Redis).set("lanes.batch", 16).set("raw.stale", "2s").start().await?;
    slow(&first)?;
    let shared = plan().set("redis.url", first.redis.url()).set("mqtt.client_id", "second").set("raw.stale", "2s");
    let mut second = shared.brokers().await?;
    let mut collector = Collector::of(&first).await?;
    collector.add_many(COUNT, READING).await?;
    first
        .wait_until("entries taken by the first daemon", async || {
            let pending = collector.pending().await?;
            ensure!(pending.iter().any(|(consumer, _)| consumer == "aurora-rust-core"), "{} pending", pending.len());
            Ok(())
        })
        .await?;
    first.kill_daemon()?;
    let pending = collector.pending().await?;
    assert!(
        pending.iter().any(|(consumer, _)| consumer == "aurora-rust-core"),
        "it left nothing, so this showed nothing"
    );
    second.start_daemon().await?;
    exactly(&first, &mut collector, COUNT).await?;
    assert!(second.scrape().await?.get("aurora_raw_redelivered_total")? > 0.0);
    assert!(second.log().contains("took over"), "{}", second.log());
    Ok(())
}

#[tokio::test]
async fn a_batch_that_waits_long_is_taken_over_by_nobody() -> Result<()> {
    let guest = hostile_guest()?;
    let waiting = || plan().guest("normalize", &guest).guest("route", &guest).set("raw.stale", "4s");
    let first = waiting().start().await?;
    let mut collector = Collector::of(&first).await?;
    collector.add(&[("payload", "normalize wait")]).await?;
    first.series_of("aurora_raw_in_flight", 1.0).await?;
    let second = waiting().set("redis.url", first.redis.url()).set("mqtt.client_id", "second").start().await?;
    // Its idle time falls back each time that the first one says it has it in hand; after five times the second one
    // would have had it long since.
    let (mut before, mut falls) = (0, 0);
    first
        .wait_until("signs of life", async || {
            let idle = collector.idle().await?;
            falls += u32::from(idle < before);
            before = idle;
            ensure!(falls >= 5, "{falls} so far, {idle} ms idle");
            Ok(())
        })
        .await?;
    assert_eq!(collector.pending().await?, [("aurora-rust-core".to_owned(), 1)]);
    for site in [&first, &second] {
        assert_eq!(site.scrape().await?.get("aurora_raw_redelivered_total")?, 0.0);
    }
    Ok(())
}

#[tokio::test]
async fn an_orderly_end_gives_back_what_is_left_and_does_not_count() -> Result<()> {
    let guest = hostile_guest()?;
    let plan = plan().guest("normalize", &guest).guest("route", &guest).set("shutdown.grace", "200ms");
    let mut site = plan.start().await?;
    let mut collector = Collector::of(&site).await?;
    collector.add(&[("payload", "normalize wait")]).await?;
    for _ in 0..3 {
        site.series_of("aurora_raw_in_flight", 1.0).await?;
        site.terminate(PATIENCE).await?;
        assert_eq!(collector.pending().await?, [("aurora-rust-core".to_owned(), 0)]);
        site.start_daemon().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_entry_that_ends_the_host_each_time_becomes_a_dead_letter_and_the_others_do_not() -> Result<()> {
    let guest = hostile_guest()?;
    let mut site = plan().guest("normalize", &guest).guest("route", &guest).brokers().await?;
    let mut collector = Collector::of(&site).await?;
    for number in 0..100 {
        // All of them wait; then the host is killed. So each of them is delivered, again and again.
        let deed = if number == 50 { "normalize wait" } else { "share" };
        collector.add(&[("payload", &format!("{deed} {number}"))]).await?;
    }
    for round in 0..5 {
        site.start_daemon().await?;
        site.wait_until("the entry taken once more", async || {
            let pending = collector.pending().await?;
            let counts: Vec<usize> = pending.iter().map(|(_, count)| *count).collect();
            ensure!(counts == [round + 1], "{counts:?}");
            Ok(())
        })
        .await?;
        site.kill_daemon()?;
    }
    site.start_daemon().await?;
    exactly(&site, &mut collector, 99).await?;
    let letters = site.stream("aurora:dead_letter").await?;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].text("stage"), letters[0].text("payload")),
        ("source".to_owned(), "normalize wait 50".to_owned())
    );
    assert!(letters[0].text("reason").contains("delivered 5 times"), "{}", letters[0].text("reason"));
    assert_eq!(letters[0].text("attempts"), "5");
    Ok(())
}

#[tokio::test]
async fn what_was_in_flight_beside_a_poison_entry_is_not_taken_for_poison() -> Result<()> {
    let guest = hostile_guest()?;
    let mut site = plan().guest("normalize", &guest).guest("route", &guest).brokers().await?;
    let mut collector = Collector::of(&site).await?;
    // Ten that wait, and behind them one that does not: all of them are suspects after two deliveries, and only those
    // handed on are counted further.
    collector.add_many(10, &[("payload", "normalize wait")]).await?;
    for count in 1..=2 {
        site.start_daemon().await?;
        site.wait_until("all taken", async || {
            let pending = collector.pending().await?;
            ensure!(pending.len() == 10 && pending.iter().all(|(_, times)| *times == count), "{pending:?}");
            Ok(())
        })
        .await?;
        site.kill_daemon()?;
    }
    site.start_daemon().await?;
    site.wait_until("the first taken alone", async || {
        let pending = collector.pending().await?;
        ensure!(pending.first().is_some_and(|(_, times)| *times == 3), "{pending:?}");
        Ok(())
    })
    .await?;
    site.kill_daemon()?;
    let counts: Vec<usize> = collector.pending().await?.iter().map(|(_, times)| *times).collect();
    assert_eq!(counts.last(), Some(&2), "{counts:?}");
    Ok(())
}

#[tokio::test]
async fn entries_that_somebody_deletes_while_they_are_pending_are_counted() -> Result<()> {
    const DELETED: &str = "aurora_raw_deleted_total";
    let guest = hostile_guest()?;
    let mut site = plan().guest("normalize", &guest).guest("route", &guest).start().await?;
    let mut collector = Collector::of(&site).await?;
    let mut entries = Vec::new();
    for _ in 0..3 {
        entries.push(collector.add(&[("payload", "normalize wait")]).await?);
    }
    site.series_of("aurora_raw_in_flight", 3.0).await?;
    site.kill_daemon()?;
    let _: usize = collector.0.xdel(RAW, &entries[..1]).await?;
    site.start_daemon().await?;
    site.series_of(DELETED, 1.0).await?;
    site.series_of("aurora_raw_in_flight", 2.0).await?;
    assert!(site.log().contains("who trims this stream"), "{}", site.log());
    // Also those in flight: a sign of life is the end of an entry that is not in its stream any more.
    site.kill_daemon()?;
    site.set("raw.stale", "1s");
    site.start_daemon().await?;
    site.series_of("aurora_raw_in_flight", 2.0).await?;
    let _: usize = collector.0.xdel(RAW, &entries[1..2]).await?;
    site.series_of(DELETED, 1.0).await?;
    assert_eq!(collector.left().await?, (1, 1));
    assert_eq!(site.scrape().await?.get(DELETED)?, 1.0);
    Ok(())
}

#[tokio::test]
async fn redis_may_restart_in_the_middle() -> Result<()> {
    const COUNT: usize = 2000;
    let redis = Redis { fsync: Fsync::Always, ..Redis::default() };
    let mut site = plan().redis(redis).proxied(Place::Redis).set("lanes.batch", 16).start().await?;
    let mut collector = Collector::of(&site).await?;
    slow(&site)?;
    collector.add_many(COUNT, READING).await?;
    in_the_middle(&site, &mut collector, COUNT).await?;
    site.redis.stop().await?;
    // Nothing can settle now.
    assert!(site.scrape().await?.get("aurora_raw_in_flight")? > 0.0, "all was done, so this showed nothing");
    site.proxy(Place::Redis)?.heal();
    site.redis.restart().await?;
    let mut collector = Collector::of(&site).await?;
    exactly(&site, &mut collector, COUNT).await
}

#[tokio::test]
async fn answers_that_are_lost_on_the_way_lose_nothing() -> Result<()> {
    const COUNT: usize = 500;
    let site = plan().proxied(Place::Redis).set("redis.timeout", "500ms").start().await?;
    let mut collector = Collector::of(&site).await?;
    for round in 1..=5 {
        // The way back is closed, the way there is open: entries are read, and events stored, and nobody hears of it.
        site.proxy(Place::Redis)?.half_close();
        collector.add_many(COUNT, READING).await?;
        exactly(&site, &mut collector, round * COUNT).await?;
    }
    Ok(())
}
