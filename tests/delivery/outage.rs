//! Brokers that go away and come back: nothing is missing then, and nothing is there twice, where an answer of Redis was
//! lost on the way neither.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use harness::{Faults, Fsync, Mosquitto, PATIENCE, Persistence, Place, Plan, Redis, Site};

use super::{alert, assert_exactly_once, number};

const DOOR: &str = "aurora/sensors/door_1/alerts";

/// A site that knows a repeat by its identity alone: equal content is another event.
fn plan() -> Plan {
    Site::plan().set("dedup.window", "0s")
}

/// Waits until each of `count` events is in its stream.
async fn exactly_once(site: &Site, count: u32) -> Result<()> {
    site.wait_until(&format!("{count} different events"), async || {
        let entries = site.stream("aurora:cps:alerts").await?;
        let different: BTreeSet<u32> = entries.iter().map(number).collect();
        ensure!(different.len() >= count as usize, "{} of {} entries", different.len(), entries.len());
        assert_exactly_once(&entries, count);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn redis_may_restart_and_every_event_arrives() -> Result<()> {
    let redis = Redis { fsync: Fsync::Always, ..Redis::default() };
    let mut site = plan().without_nats().redis(redis).start().await?;
    let mut publisher = site.publisher("device");
    for number in 0..3000 {
        if number == 1000 {
            site.redis.stop().await?;
        }
        if number == 2000 {
            site.redis.restart().await?;
        }
        publisher.publish(DOOR, 1, alert("low", number)).await?;
    }
    publisher.acknowledged(PATIENCE).await?;
    exactly_once(&site, 3000).await
}

#[tokio::test]
async fn a_cut_connection_to_redis_loses_nothing() -> Result<()> {
    let site = plan().without_nats().proxied(Place::Redis).start().await?;
    let mut publisher = site.publisher("device");
    for number in 0..4000 {
        publisher.publish(DOOR, 1, alert("low", number)).await?;
        if number % 400 == 399 {
            site.proxy(Place::Redis)?.cut();
        }
    }
    publisher.acknowledged(PATIENCE).await?;
    exactly_once(&site, 4000).await
}

#[tokio::test]
async fn an_answer_lost_after_redis_stored_the_batch_loses_nothing() -> Result<()> {
    let site = plan().without_nats().proxied(Place::Redis).start().await?;
    site.publish(DOOR, 1, [alert("low", 0)]).await?;
    site.stream_of("aurora:cps:alerts", 1).await?;
    // The way back is closed, the way there is open: Redis stores what the daemon never hears of.
    site.proxy(Place::Redis)?.half_close();
    site.publish(DOOR, 1, (1..200).map(|number| alert("low", number))).await?;
    exactly_once(&site, 200).await
}

#[tokio::test]
async fn the_daemon_says_that_it_is_not_ready_while_redis_is_away() -> Result<()> {
    let mut site = plan().without_nats().start().await?;
    site.redis.stop().await?;
    // Something must want to be stored, or nobody would notice.
    site.publish(DOOR, 1, [alert("low", 0)]).await?;
    let admin = site.daemon()?.admin();
    let answers = async |site: &mut Site, status: u16| -> Result<()> {
        harness::wait_until("/readyz", PATIENCE, async || {
            let answer = site.daemon()?.get("/readyz").await.map_err(anyhow::Error::msg)?;
            ensure!(answer.status == status, "{} {} at {admin}", answer.status, answer.body);
            ensure!(status == 200 || answer.body.contains("redis"), "not a word of Redis: {}", answer.body);
            Ok(())
        })
        .await
    };
    answers(&mut site, 503).await?;
    assert_eq!(site.daemon()?.get("/livez").await.map_err(anyhow::Error::msg)?.status, 200);
    site.redis.restart().await?;
    answers(&mut site, 200).await?;
    site.stream_of("aurora:cps:alerts", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_redis_that_hangs_holds_the_sources_back_and_nothing_more() -> Result<()> {
    const COUNT: u32 = 6000;
    let plan = plan().without_nats().proxied(Place::Redis).set("mqtt.max_in_flight", 500).set("lanes.queue", 200);
    let site = plan.start().await?;
    site.proxy(Place::Redis)?.set(|faults| faults.frozen = true);
    site.publish(DOOR, 1, (0..COUNT).map(|number| alert("low", number))).await?;
    let taken = site.series_of("aurora_broker_in_flight{broker=\"mqtt\"}", 100.0).await?;
    assert!(taken <= 500.0, "{taken} messages in flight");
    assert!(site.scrape().await?.sum("aurora_stage_queue_events") <= 500.0);
    site.proxy(Place::Redis)?.heal();
    exactly_once(&site, COUNT).await
}

#[tokio::test]
async fn the_mqtt_broker_may_restart() -> Result<()> {
    let mosquitto = Mosquitto { persistence: Persistence::AtEnd, ..Mosquitto::default() };
    let mut site = plan().without_nats().mosquitto(mosquitto).start().await?;
    site.publish(DOOR, 2, (0..500).map(|number| alert("low", number))).await?;
    site.mqtt.restart().await?;
    site.publish(DOOR, 2, (500..1000).map(|number| alert("low", number))).await?;
    // mosquitto 2.0 sends the PUBLISH again, under the same packet id, where the standard wants only the PUBREL that it
    // had sent before its end: the packet's mark knows it.
    exactly_once(&site, 1000).await?;
    site.series_of("aurora_broker_reconnects_total{broker=\"mqtt\"}", 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_cut_connection_to_mqtt_loses_nothing_and_doubles_nothing() -> Result<()> {
    let site = plan().without_nats().proxied(Place::Mqtt).start().await?;
    let mut publisher = site.publisher("device");
    for number in 0..4000 {
        let qos = 1 + (number % 2) as u8;
        publisher.publish(DOOR, qos, alert("low", number)).await?;
        if number % 400 == 399 {
            site.proxy(Place::Mqtt)?.cut();
        }
    }
    publisher.acknowledged(PATIENCE).await?;
    assert_exactly_once(&site.stream_of("aurora:cps:alerts", 4000).await?, 4000);
    Ok(())
}

#[tokio::test]
async fn slow_and_broken_networks_only_take_longer() -> Result<()> {
    let site = plan().without_nats().proxied(Place::Mqtt).proxied(Place::Redis).start().await?;
    let change = |faults: &mut Faults| {
        faults.bytes_per_second = 400_000;
        faults.delay = std::time::Duration::from_millis(2);
    };
    site.proxy(Place::Mqtt)?.set(change);
    site.proxy(Place::Redis)?.set(change);
    site.publish(DOOR, 1, (0..500).map(|number| alert("low", number))).await?;
    exactly_once(&site, 500).await
}

#[tokio::test]
async fn nats_away_does_not_hold_redis_and_gets_everything_later() -> Result<()> {
    let mut site = plan().start().await?;
    if let Some(nats) = &mut site.nats {
        nats.stop().await?;
    }
    site.publish(DOOR, 2, (0..200).map(|number| alert("high", number))).await?;
    assert_exactly_once(&site.stream_of("aurora:cps:alerts", 200).await?, 200);
    if let Some(nats) = &mut site.nats {
        nats.restart().await?;
    }
    let messages = site.jetstream_of(200).await?;
    let ids: std::collections::HashSet<_> = messages.iter().map(|message| message.json()["id"].to_string()).collect();
    assert_eq!((messages.len(), ids.len()), (200, 200));
    Ok(())
}
