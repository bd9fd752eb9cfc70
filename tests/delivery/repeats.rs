//! What comes again because somebody died or an answer was lost is recognised by its identity, not by its content: the
//! readings here are all alike, and none of them is deduplicated.

use anyhow::Result;
use harness::{Broker, PATIENCE, Place, Publisher, Site};

const READINGS: &str = "aurora/sensors/tank_1/telemetry";
const READING: &str = r#"{"sensor":"pressure","unit":"kPa","value":7.5}"#;
const STREAM: &str = "aurora:alerts";

/// All of a site's entries: a stream for each category.
async fn stored(site: &Site) -> Result<usize> {
    Ok(site.stream(STREAM).await?.len() + site.stream("aurora:cps:alerts").await?.len())
}

async fn exactly(site: &Site, count: usize) -> Result<()> {
    site.wait_until(&format!("{count} entries"), async || {
        let stored = stored(site).await?;
        anyhow::ensure!(stored >= count, "{stored}");
        Ok(())
    })
    .await?;
    // Everything is acknowledged, so nothing more is coming.
    site.wait_until("every acknowledgement", async || {
        let left = site.scrape().await?.get("aurora_broker_in_flight{broker=\"mqtt\"}")?;
        anyhow::ensure!(left == 0.0, "{left} in flight");
        Ok(())
    })
    .await?;
    assert_eq!(stored(site).await?, count);
    Ok(())
}

async fn publish(publisher: &mut Publisher, count: usize) -> Result<()> {
    for index in 0..count {
        publisher.publish(READINGS, 1 + (index % 2) as u8, READING.as_bytes()).await?;
    }
    Ok(())
}

fn plan() -> harness::Plan {
    Site::plan().without_nats().subscribe("aurora/sensors/+/telemetry", 2, "mqtt", "mqtt")
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_commit_doubles_nothing() -> Result<()> {
    let site = plan().proxied(Place::Redis).set("redis.timeout", "500ms").start().await?;
    let mut publisher = site.publisher("device");
    publish(&mut publisher, 100).await?;
    exactly(&site, 100).await?;
    for round in 1..=5 {
        // The way back is closed, the way there is open: Redis stores what the daemon never hears of.
        site.proxy(Place::Redis)?.half_close();
        publish(&mut publisher, 100).await?;
        exactly(&site, 100 + round * 100).await?;
    }
    publisher.acknowledged(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn a_crash_between_commit_and_acknowledgement_doubles_nothing() -> Result<()> {
    for version in ["5", "3.1.1"] {
        let mut site = plan().proxied(Place::Mqtt).set("mqtt.version", version).start().await?;
        let mut publisher = site.publisher("device");
        let mut count = 0;
        for _ in 0..3 {
            // Deliveries come in, acknowledgements do not go out: all of it is stored and none of it is acknowledged.
            site.proxy(Place::Mqtt)?.set(|faults| faults.frozen_up = true);
            publish(&mut publisher, 200).await?;
            let all = count + 200;
            site.wait_until("something stored and not acknowledged", async || {
                let stored = stored(&site).await?;
                anyhow::ensure!(stored > count, "{stored}");
                count = stored;
                Ok(())
            })
            .await?;
            site.kill_daemon()?;
            // What the proxy holds back is lost with the connection.
            site.proxy(Place::Mqtt)?.cut();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            site.proxy(Place::Mqtt)?.heal();
            site.start_daemon().await?;
            publisher.acknowledged(PATIENCE).await?;
            exactly(&site, all).await?;
            count = all;
            let repeated = site.scrape().await?.get("aurora_events_repeated_total")?;
            assert!(repeated > 0.0, "nothing came again, so this showed nothing");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_retained_message_is_taken_once_however_often_the_daemon_starts() -> Result<()> {
    for version in ["5", "3.1.1"] {
        let mut site = plan().set("mqtt.version", version).brokers().await?;
        let mut publisher = site.publisher("device");
        publisher.retain(READINGS, 1, READING).await?;
        publisher.acknowledged(PATIENCE).await?;
        site.start_daemon().await?;
        exactly(&site, 1).await?;
        for count in 2..5 {
            if count % 2 == 0 {
                site.kill_daemon()?;
            } else {
                site.terminate(PATIENCE).await?;
            }
            site.start_daemon().await?;
            // Behind what the subscriptions may have brought; retained, too, and published now.
            publisher.retain(READINGS, 1, READING).await?;
            publisher.acknowledged(PATIENCE).await?;
            exactly(&site, count).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_comes_after_a_kill_of_the_broker_is_not_taken_for_what_had_its_packet_ids_before() -> Result<()> {
    for version in ["5", "3.1.1"] {
        let mut site = plan().set("mqtt.version", version).start().await?;
        let mut publisher = site.publisher("first");
        publish(&mut publisher, 10).await?;
        publisher.acknowledged(PATIENCE).await?;
        exactly(&site, 10).await?;
        // The state that the broker will come back with: it is saved at an orderly end only.
        reconnected(&mut site, async |broker| Ok(broker.restart().await?)).await?;
        let mut publisher = site.publisher("second");
        publish(&mut publisher, 1000).await?;
        publisher.acknowledged(PATIENCE).await?;
        exactly(&site, 1010).await?;
        reconnected(&mut site, async |broker| {
            broker.kill();
            Ok(broker.restart().await?)
        })
        .await?;
        // Nothing of what comes now is stored before the daemon dies, too.
        site.redis.pause()?;
        let mut publisher = site.publisher("third");
        publish(&mut publisher, 300).await?;
        publisher.acknowledged(PATIENCE).await?;
        site.series_of("aurora_broker_in_flight{broker=\"mqtt\"}", 300.0).await?;
        site.kill_daemon()?;
        site.redis.resume()?;
        site.start_daemon().await?;
        exactly(&site, 1310).await?;
    }
    Ok(())
}

/// Does something to the MQTT broker, and waits until the daemon is connected again and has noted in Redis that all that
/// came before is acknowledged.
async fn reconnected(site: &mut Site, change: impl AsyncFnOnce(&mut Broker) -> Result<()>) -> Result<()> {
    let before = site.scrape().await?.get("aurora_broker_reconnects_total{broker=\"mqtt\"}")?;
    change(site.broker(Place::Mqtt)?).await?;
    site.series_of("aurora_broker_reconnects_total{broker=\"mqtt\"}", before + 1.0).await?;
    let client = redis::Client::open(site.redis.url())?;
    site.wait_until("all is noted as acknowledged", async || -> Result<()> {
        let mut connection = client.get_multiplexed_async_connection().await?;
        let session = "aurora:state:session:aurora-rust-core";
        let (count, noted): (Option<u64>, Option<u64>) =
            redis::cmd("HMGET").arg(session).arg("count").arg("acknowledged").query_async(&mut connection).await?;
        anyhow::ensure!(count.is_some() && count == noted, "{count:?} stored, {noted:?} noted");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_dead_daemon_had_sent_and_arrives_late_is_refused() -> Result<()> {
    let mut site = plan().proxied(Place::Redis).start().await?;
    site.publish(READINGS, 1, [READING; 10]).await?;
    exactly(&site, 10).await?;
    // On its way and not there yet when the next daemon begins.
    site.proxy(Place::Redis)?.set(|faults| faults.delay = std::time::Duration::from_secs(2));
    let mut count = 10;
    site.wait_until("a batch on its way", async || {
        site.publish(READINGS, 1, [READING; 10]).await?;
        count += 10;
        let in_flight = site.scrape().await?.get("aurora_broker_in_flight{broker=\"redis\"}")?;
        anyhow::ensure!(in_flight > 0.0, "none");
        Ok(())
    })
    .await?;
    site.kill_daemon()?;
    site.proxy(Place::Redis)?.set(|faults| faults.delay = std::time::Duration::ZERO);
    site.start_daemon().await?;
    exactly(&site, count).await?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    exactly(&site, count).await
}

#[tokio::test]
async fn a_second_daemon_of_the_same_name_supersedes_the_first() -> Result<()> {
    let mut first = plan().start().await?;
    first.publish(READINGS, 1, [READING; 10]).await?;
    exactly(&first, 10).await?;
    // Another MQTT broker, so that nothing but Redis can tell.
    let second = plan().set("redis.url", first.redis.url()).start().await?;
    second.publish(READINGS, 1, [READING; 10]).await?;
    second.series_of("aurora_events_published_total", 10.0).await?;
    first.publish(READINGS, 1, [READING; 10]).await?;
    let status = first.daemon()?.wait(PATIENCE).await;
    assert!(status.is_some_and(|status| !status.success()), "{status:?}");
    assert!(first.log().contains("mqtt.client_id"), "no word of what to do:\n{}", first.log());
    assert_eq!(stored(&first).await?, 20);
    Ok(())
}
