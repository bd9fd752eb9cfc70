//! Answers that fail by the thousand: one result and one alert, and nothing lost without a trace.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use aurora::attestation::{Form, Signer, answer};
use harness::{PATIENCE, Plan, Site, connect_redis, unix_ms};

use super::{
    ALERTS, RESULTS, ask,
    device::{Device, FIRMWARE},
    enroll, pair, plan, results,
};

const DROPPED: &str = "aurora_stage_dropped_total{stage=\"normalize\"}";
const IN_FLIGHT: &str = "aurora_broker_in_flight{broker=\"mqtt\"}";

fn failures(cause: &str) -> String {
    format!("aurora_attestation_failures_total{{cause=\"{cause}\"}}")
}

fn windowed(window: &str) -> Plan {
    plan().without_nats().set("attestation.repeat_window", window)
}

/// Well formed answers of `device`, to nothing that anybody asked.
fn random(device: &str, count: u64) -> Vec<String> {
    let nonce = |number: u64| format!("{number:064x}");
    // The signature is not looked at where the nonce is nobody's, so one serves all.
    let signed = answer(&Signer::generate(), Form::Delimited, device, FIRMWARE, 1, &nonce(0), false);
    assert!(signed.contains(&nonce(0)), "{signed}");
    (1..=count).map(|number| signed.replace(&nonce(0), &nonce(number))).collect()
}

async fn is_acknowledged(site: &Site) -> Result<()> {
    site.wait_until("everything to be acknowledged", async || -> Result<()> {
        let left = site.scrape().await?.get(IN_FLIGHT)?;
        ensure!(left == 0.0, "{left} in flight");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_flood_is_one_result_and_one_alert_and_holds_up_no_valid_answer() -> Result<()> {
    let site = windowed("1h").start().await?;
    let mut device = Device::connect(&site, "bench_01").await?;
    enroll(&site, &device, &[])?;
    let nonce = ask(&site, &mut device).await?;
    let topic = "aurora/attestation/bench_01/response";
    let flood = random(device.id, 1_000);
    site.publish(topic, 1, &flood[..500]).await?;
    device.send(device.answer(&nonce)).await?;
    site.publish(topic, 1, &flood[500..]).await?;
    assert_eq!(site.series_of(&failures("unknown_nonce"), 1_000.0).await?, 1_000.0, "each is counted");
    is_acknowledged(&site).await?;
    assert_eq!(results(&site, 2).await?, [pair("failed", "unknown_nonce"), pair("valid", "")]);
    assert_eq!(site.stream_of(ALERTS, 1).await?.len(), 1);
    assert_eq!(site.scrape().await?.get(DROPPED)?, 999.0);
    assert_eq!(site.stream("aurora:dead_letter").await?.len(), 0);
    // What fails by another cause is told at once.
    let mut forged = Device::connect(&site, "bench_01").await?;
    let nonce = ask(&site, &mut device).await?;
    forged.send(forged.answer(&nonce)).await?;
    assert_eq!(results(&site, 3).await?[2], pair("failed", "signature"));
    assert_eq!(site.stream_of(ALERTS, 2).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn the_next_one_after_the_window_says_how_many_there_were() -> Result<()> {
    const WINDOW_MS: i64 = 5_000;
    let site = windowed("5s").start().await?;
    let mut device = Device::connect(&site, "bench_02").await?;
    enroll(&site, &device, &[])?;
    // The very same bytes, so that the alerts would be repetitions of each other for [dedup], too.
    let same = random(device.id, 1).remove(0);
    let began = unix_ms();
    site.publish("aurora/attestation/bench_02/response", 1, vec![same.clone(); 20]).await?;
    site.series_of(&failures("unknown_nonce"), 20.0).await?;
    let counted = unix_ms();
    assert!(counted - began < WINDOW_MS, "too slow a machine: twenty answers took {} ms", counted - began);
    assert_eq!(results(&site, 1).await?, [pair("failed", "unknown_nonce")]);
    // The window was opened before `counted`, by the clock of Redis, which is the one of this machine.
    let ends = counted + WINDOW_MS;
    site.wait_until("the window to end", async || if unix_ms() > ends { Ok(()) } else { Err("not yet") }).await?;
    device.send(same).await?;
    assert_eq!(results(&site, 2).await?[1], pair("failed", "unknown_nonce"));
    let next = site.stream_of(RESULTS, 2).await?[1].data();
    let reason = next["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("; and 19 more of the same cause since 2"), "{next}");
    assert_eq!(next["fields"]["attestation.more"], "19", "{next}");
    let alerts = site.stream_of(ALERTS, 2).await?;
    let said = alerts[1].data()["title"].to_string();
    assert!(alerts.len() == 2 && said.contains("and 19 more"), "{said}");
    Ok(())
}

#[tokio::test]
async fn hosts_that_hear_the_same_failures_tell_one() -> Result<()> {
    let site = windowed("1h").start().await?;
    let mut other = windowed("1h").set("redis.url", site.redis.url()).set("mqtt.url", site.mqtt.url());
    other = other.set("mqtt.client_id", "second-host");
    let mut other = other.brokers().await?;
    other.start_daemon().await?;
    let device = Device::connect(&site, "bench_03").await?;
    enroll(&site, &device, &[])?;
    let flood = random(device.id, 50);
    site.publish("aurora/attestation/bench_03/response", 1, &flood).await?;
    for host in [&site, &other] {
        assert_eq!(host.series_of(&failures("unknown_nonce"), 50.0).await?, 50.0);
        is_acknowledged(host).await?;
    }
    assert_eq!(results(&site, 1).await?, [pair("failed", "unknown_nonce")]);
    assert_eq!(site.stream_of(ALERTS, 1).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn invented_devices_fill_neither_the_streams_nor_redis() -> Result<()> {
    const INVENTED: usize = 200;
    /// As many as have windows of their own, and one for the rest.
    const TOLD: usize = 65;
    let site = windowed("1h").start().await?;
    let mut publisher = site.publisher("inventor");
    for number in 0..INVENTED {
        let device = format!("invented_{number}");
        let payload = random(&device, 1).remove(0);
        publisher.publish(&format!("aurora/attestation/{device}/response"), 1, payload).await?;
    }
    publisher.acknowledged(PATIENCE).await?;
    site.series_of(&failures("not_enrolled"), INVENTED as f64).await?;
    is_acknowledged(&site).await?;
    assert_eq!(results(&site, TOLD).await?.len(), TOLD);
    assert_eq!(site.stream_of(ALERTS, TOLD).await?.len(), TOLD);
    assert_eq!(site.scrape().await?.get(DROPPED)?, (INVENTED - TOLD) as f64);
    let mut redis = connect_redis(&site.redis.url()).await?;
    let keys: BTreeSet<String> = redis::cmd("KEYS").arg("aurora:state:*invented*").query_async(&mut redis).await?;
    assert_eq!(keys.len(), TOLD - 1, "{keys:?}");
    for key in keys.iter().map(String::as_str).chain(["aurora:state:stranger:*", "aurora:state:strangers"]) {
        let left: i64 = redis::cmd("PTTL").arg(key).query_async(&mut redis).await?;
        assert!(left > 0, "{key} does not end: {left}");
    }
    Ok(())
}
