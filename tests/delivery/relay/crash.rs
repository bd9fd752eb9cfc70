//! Acks that never came, or came and were not written down, and a JetStream that has forgotten the messages meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use async_nats::jetstream::{self, stream::Config};
use harness::{Place, Plan, Site};

use super::{arrived, assert_exactly_once_in_order, emptied, fill, fill_with, forgotten, nats};

/// Entries of which the answer is lost.
const FIRST: u32 = 40;

const RECOGNISED: &str = "aurora_outbox_recognised_total";

/// A stream that forgets soon, and proxies that can hold back what a test comes between.
fn plan() -> Plan {
    let plan = Site::plan().proxied(Place::Nats).proxied(Place::Redis);
    plan.set("nats.duplicate_window", "1s").set("nats.reconnect_max", "100ms").set("redis.reconnect_max", "100ms")
}

/// Has the relay send `0..FIRST` and sees to it that the acks never arrive, nor anything else of NATS.
async fn lose_the_acks(site: &Site, jetstream: &jetstream::Context) -> Result<()> {
    lose_the_acks_of(site, jetstream, fill(site, 0..FIRST)).await
}

async fn lose_the_acks_of(
    site: &Site,
    jetstream: &jetstream::Context,
    filling: impl Future<Output = Result<()>>,
) -> Result<()> {
    let proxy = site.proxy(Place::Nats)?;
    proxy.set(|faults| faults.frozen_down = true);
    filling.await?;
    arrived(site, jetstream, FIRST.into()).await?;
    proxy.down();
    assert_eq!(site.stream(super::OUTBOX).await?.len(), FIRST as usize, "an ack came through");
    Ok(())
}

/// Has the relay send `0..FIRST` and sees to it that it cannot write down what was acknowledged.
async fn lose_the_clearing(site: &Site, jetstream: &jetstream::Context) -> Result<()> {
    let (redis, nats) = (site.proxy(Place::Redis)?, site.proxy(Place::Nats)?);
    // The acks wait until nothing can be written down any more.
    nats.set(|faults| faults.frozen_down = true);
    fill(site, 0..FIRST).await?;
    arrived(site, jetstream, FIRST.into()).await?;
    redis.set(|faults| faults.frozen_up = true);
    nats.heal();
    site.wait_until("the acks", async || {
        let acked = site.scrape().await?.get("aurora_stage_out_total{stage=\"relay\"}")?;
        ensure!(acked >= f64::from(FIRST), "{acked} acks");
        Ok(())
    })
    .await?;
    redis.down();
    assert_eq!(site.stream(super::OUTBOX).await?.len(), FIRST as usize, "it was cleared");
    Ok(())
}

/// Everything is in the stream once and in order, and so many entries were not sent because they were found there.
async fn all_sent_once(site: &Site, recognised: f64) -> Result<()> {
    emptied(site).await?;
    assert_exactly_once_in_order(&site.jetstream().await?, 150);
    assert_eq!(site.scrape().await?.get(RECOGNISED)?, recognised);
    Ok(())
}

#[tokio::test]
async fn lost_acks_are_found_in_the_stream_beyond_its_duplicate_window() -> Result<()> {
    let site = plan().start().await?;
    let jetstream = nats(&site).await?;
    lose_the_acks(&site, &jetstream).await?;
    forgotten(&site, &jetstream).await?;
    fill(&site, FIRST..150).await?;
    site.proxy(Place::Nats)?.heal();
    all_sent_once(&site, f64::from(FIRST)).await?;
    // For all of them at once, although only one message at a time is sent after a failure.
    assert_eq!(site.log().matches("looked in the JetStream stream").count(), 1, "{}", site.log());
    Ok(())
}

#[tokio::test]
async fn what_waits_behind_a_refused_message_is_looked_for_before_it_is_sent_again() -> Result<()> {
    const SUBJECT: &str = "aurora.cps.x";
    let stream = |subjects: &[&str]| Config {
        name: "AURORA".to_owned(),
        subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
        duplicate_window: Duration::from_secs(1),
        ..Config::default()
    };
    let mut site = plan().set("nats.retries", 1000).brokers().await?;
    let jetstream = nats(&site).await?;
    jetstream.create_stream(stream(&["aurora.soar.>", "aurora.cps.>"])).await?;
    site.start_daemon().await?;
    lose_the_acks_of(&site, &jetstream, fill_with(&site, 0..FIRST, |_| SUBJECT, "")).await?;
    // Refused from the first one on, for longer than JetStream remembers that it has them.
    jetstream.update_stream(stream(&["aurora.soar.>"])).await?;
    forgotten(&site, &jetstream).await?;
    site.proxy(Place::Nats)?.heal();
    fill_with(&site, FIRST..150, |_| SUBJECT, "").await?;
    site.series_of("aurora_stage_retried_total{stage=\"relay\"}", 3.0).await?;
    jetstream.update_stream(stream(&["aurora.soar.>", "aurora.cps.>"])).await?;
    all_sent_once(&site, f64::from(FIRST)).await
}

#[tokio::test]
async fn a_crash_with_lost_acks_sends_nothing_twice_beyond_the_duplicate_window() -> Result<()> {
    let mut site = plan().start().await?;
    let jetstream = nats(&site).await?;
    lose_the_acks(&site, &jetstream).await?;
    site.kill_daemon()?;
    forgotten(&site, &jetstream).await?;
    fill(&site, FIRST..150).await?;
    site.proxy(Place::Nats)?.heal();
    site.start_daemon().await?;
    all_sent_once(&site, f64::from(FIRST)).await
}

#[tokio::test]
async fn a_crash_between_ack_and_clearing_sends_nothing_twice() -> Result<()> {
    let mut site = plan().start().await?;
    let jetstream = nats(&site).await?;
    lose_the_clearing(&site, &jetstream).await?;
    site.kill_daemon()?;
    forgotten(&site, &jetstream).await?;
    fill(&site, FIRST..150).await?;
    site.proxy(Place::Redis)?.heal();
    site.start_daemon().await?;
    all_sent_once(&site, f64::from(FIRST)).await
}

#[tokio::test]
async fn what_was_acknowledged_while_redis_was_away_is_cleared_and_not_looked_for() -> Result<()> {
    let site = plan().start().await?;
    let jetstream = nats(&site).await?;
    lose_the_clearing(&site, &jetstream).await?;
    forgotten(&site, &jetstream).await?;
    fill(&site, FIRST..150).await?;
    site.proxy(Place::Redis)?.heal();
    all_sent_once(&site, 0.0).await
}

#[tokio::test]
async fn of_a_crash_in_the_middle_only_what_is_missing_is_sent() -> Result<()> {
    let mut site = plan().start().await?;
    let jetstream = nats(&site).await?;
    // Cut in the middle of a message: the stream has some of them, in order, and the relay does not know which.
    site.proxy(Place::Nats)?.set(|faults| faults.cut_after = Some(20_000));
    site.proxy(Place::Nats)?.cut();
    fill(&site, 0..300).await?;
    arrived(&site, &jetstream, 20).await?;
    site.kill_daemon()?;
    forgotten(&site, &jetstream).await?;
    site.proxy(Place::Nats)?.heal();
    site.start_daemon().await?;
    emptied(&site).await?;
    assert_exactly_once_in_order(&site.jetstream().await?, 300);
    Ok(())
}
