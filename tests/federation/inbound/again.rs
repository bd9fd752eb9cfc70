//! Whatever dies, and whatever comes again: nothing is lost, and nothing is there twice.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{AckKind, consumer::PullConsumer};
use futures_util::StreamExt as _;
use harness::{Place, Site, wait_until};

use super::{Other, alert, arriving::acknowledged, south};
use crate::delivery::assert_exactly_once;

async fn send(north: &Other, numbers: std::ops::Range<u32>) -> Result<()> {
    for number in numbers {
        north.send("aurora.alerts.network", &alert(number)).await?;
    }
    Ok(())
}

async fn exactly_once(site: &Site, count: u32) -> Result<()> {
    site.stream_of("aurora:alerts", count as usize).await?;
    acknowledged(site).await?;
    assert_exactly_once(&site.stream("aurora:alerts").await?, count);
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn while_redis_is_away_messages_wait_and_are_stored_once() -> Result<()> {
    let mut site = south().start().await?;
    let north = Other::of(&site, "north").await?;
    send(&north, 0..50).await?;
    site.stream_of("aurora:alerts", 50).await?;
    site.redis.stop().await?;
    send(&north, 50..150).await?;
    let in_flight = "aurora_federation_in_flight{stream=\"AURORA\"}";
    site.series_of(in_flight, 100.0).await?;
    site.redis.restart().await?;
    exactly_once(&site, 150).await
}

#[tokio::test]
async fn kill_9_in_the_middle_loses_nothing_and_doubles_nothing() -> Result<()> {
    const COUNT: u32 = 600;
    let mut site = south().proxied(Place::Redis).set("lanes.batch", 16).start().await?;
    let north = Other::of(&site, "north").await?;
    site.proxy(Place::Redis)?.set(|faults| faults.delay = Duration::from_millis(15));
    send(&north, 0..COUNT).await?;
    for least in [1, 200] {
        site.stream_of("aurora:alerts", least).await?;
        site.kill_daemon()?;
        let stored = site.stream("aurora:alerts").await?.len();
        ensure!(stored < COUNT as usize, "all was done before the kill, so this showed nothing");
        site.start_daemon().await?;
    }
    site.proxy(Place::Redis)?.set(|faults| faults.delay = Duration::ZERO);
    exactly_once(&site, COUNT).await
}

#[tokio::test]
async fn what_a_lost_answer_brings_again_is_known() -> Result<()> {
    let site = south().proxied(Place::Nats).set("federation.in.ack_wait", "1s").start().await?;
    let north = Other::of(&site, "north").await?;
    let nats = site.proxy(Place::Nats)?;
    let mut sent = 0;
    site.wait_until("something comes again", async || {
        // JetStream delivers over the pull that is open, if it is, and hears nothing.
        nats.set(|faults| faults.frozen_up = true);
        send(&north, sent..sent + 20).await?;
        sent += 20;
        let stored = async || {
            let there = site.stream("aurora:alerts").await?.len();
            ensure!(there >= sent as usize, "{there}");
            Ok(())
        };
        let _ = wait_until("they are stored", Duration::from_secs(1), stored).await;
        nats.heal();
        nats.cut();
        exactly_once(&site, sent).await?;
        let redelivered = site.scrape().await?.get("aurora_federation_in_redelivered_total{stream=\"AURORA\"}")?;
        ensure!(redelivered > 0.0, "nothing came again");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_consumer_or_a_stream_that_is_made_anew_brings_nothing_twice() -> Result<()> {
    let site = south().start().await?;
    let north = Other::of(&site, "north").await?;
    send(&north, 0..100).await?;
    exactly_once(&site, 100).await?;
    let repeated = "aurora_federation_in_total{stream=\"AURORA\",what=\"repeated\"}";
    let stream = north.jetstream.get_stream("AURORA").await?;
    stream.delete_consumer("site-south").await.context("cannot delete the consumer")?;
    site.series_of(repeated, 100.0).await?;
    send(&north, 100..150).await?;
    exactly_once(&site, 150).await?;
    // All of the messages under other numbers, in a stream of the same name.
    let config = stream.cached_info().config.clone();
    north.jetstream.delete_stream("AURORA").await?;
    north.jetstream.get_or_create_stream(config).await?;
    send(&north, 50..200).await?;
    exactly_once(&site, 200).await
}

#[tokio::test]
async fn what_jetstream_delivered_to_nobody_is_no_reason_to_give_up() -> Result<()> {
    let mut site = south().set("federation.in.max_deliveries", 2).start().await?;
    let north = Other::of(&site, "north").await?;
    send(&north, 0..1).await?;
    exactly_once(&site, 1).await?;
    site.terminate(harness::PATIENCE).await?;
    send(&north, 1..21).await?;
    // As it delivers to the inbox of a daemon that has gone.
    let stream = north.jetstream.get_stream("AURORA").await?;
    let consumer: PullConsumer = stream.get_consumer("site-south").await.map_err(anyhow::Error::from_boxed)?;
    for _ in 0..4 {
        let mut fetched = consumer.fetch().max_messages(20).expires(harness::PATIENCE).messages().await?;
        let mut count = 0;
        while let Some(message) = fetched.next().await {
            let message = message.map_err(anyhow::Error::from_boxed)?;
            message.ack_with(AckKind::Nak(None)).await.map_err(anyhow::Error::from_boxed)?;
            count += 1;
        }
        ensure!(count == 20, "{count} of 20 were delivered");
    }
    site.start_daemon().await?;
    exactly_once(&site, 21).await?;
    let redelivered = site.scrape().await?.get("aurora_federation_in_redelivered_total{stream=\"AURORA\"}")?;
    ensure!(redelivered >= 20.0, "{redelivered} came again, so this showed nothing");
    Ok(())
}

#[tokio::test]
async fn an_orderly_end_gives_back_at_once_what_it_has_in_hand() -> Result<()> {
    // Longer than this test may take.
    let plan = south().proxied(Place::Redis).set("federation.in.ack_wait", "10m").set("shutdown.grace", "200ms");
    let mut site = plan.set("lanes.batch", 16).start().await?;
    let north = Other::of(&site, "north").await?;
    site.proxy(Place::Redis)?.set(|faults| faults.frozen = true);
    send(&north, 0..300).await?;
    site.series_of("aurora_federation_in_flight{stream=\"AURORA\"}", 300.0).await?;
    site.terminate(harness::PATIENCE).await?;
    site.proxy(Place::Redis)?.heal();
    site.start_daemon().await?;
    // Of what is given back while nobody asks, nats-server 2.9 forgets one until its time is up.
    site.stream_of("aurora:alerts", 299).await?;
    site.wait_until("the rest is settled or waits", async || {
        let stream = north.jetstream.get_stream("AURORA").await?;
        let consumer = stream.consumer_info("site-south").await?;
        let stored = site.stream("aurora:alerts").await?;
        let numbers: BTreeSet<String> = stored.iter().map(|entry| entry.data()["id"].to_string()).collect();
        ensure!(numbers.len() == stored.len(), "some are there twice");
        // The first batch may have been stored by who gave it back: what it had sent was on its way.
        let left = consumer.num_ack_pending;
        let is_all = numbers.len() + left >= 300 && left <= 1 && consumer.num_pending == 0;
        ensure!(is_all, "{} stored, {consumer:?}", numbers.len());
        Ok(())
    })
    .await
}
