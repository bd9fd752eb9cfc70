//! Two hosts, a host that dies, a Redis that is away: one answer has one verdict.

use anyhow::Result;
use harness::{Site, connect_redis};

use super::{ALERTS, Device, RESULTS, ask, aurora, device::mirrored, enroll, pair, plan, results, verdicts};

#[tokio::test]
async fn two_hosts_that_hear_the_same_answer_give_one_verdict() -> Result<()> {
    let site = plan().without_nats().start().await?;
    // A second daemon at the same brokers.
    let mut other = plan().without_nats().set("redis.url", site.redis.url()).set("mqtt.url", site.mqtt.url());
    other = other.set("mqtt.client_id", "second-host");
    let mut other = other.brokers().await?;
    other.start_daemon().await?;
    let mut device = Device::connect(&site, "stm32_pac_02").await?;
    enroll(&site, &device, &[])?;
    let nonce = ask(&site, &mut device).await?;
    device.send(device.answer(&nonce)).await?;
    // Each has decided: one published it, the other left it to that one.
    let dropped = "aurora_stage_dropped_total{stage=\"normalize\"}";
    let decided = async |site: &Site| -> Result<f64> {
        let scrape = site.scrape().await?;
        Ok(scrape.get(dropped)? + scrape.get("aurora_attestation_results_total{status=\"valid\"}").unwrap_or_default())
    };
    site.wait_until("both hosts to decide", async || -> Result<()> {
        let both = (decided(&site).await?, decided(&other).await?);
        anyhow::ensure!(both == (1.0, 1.0), "{both:?}");
        Ok(())
    })
    .await?;
    assert_eq!(results(&site, 1).await?, [pair("valid", "")]);
    let said = verdicts(&site.stream_of(RESULTS, 1).await?);
    assert!(said[0].2.contains("the firmware was not compared"), "{said:?}");
    // A replay reaches both as well, and is one alert.
    device.send(mirrored(&device.answer(&nonce))).await?;
    let entries = site.stream_of(RESULTS, 3).await?;
    assert!(verdicts(&entries)[1..].iter().all(|(_, cause, _)| cause == "replayed"), "{:?}", verdicts(&entries));
    assert_eq!(site.stream_of(ALERTS, 1).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn of_two_hosts_one_tells_that_a_device_does_not_answer() -> Result<()> {
    // Each failure is told: what is not told twice is not held back as a repetition either.
    let plan = || plan().without_nats().set("attestation.answer_within", "2s").set("dedup.window", "0s");
    let site = plan().start().await?;
    let mut other = plan().set("redis.url", site.redis.url()).set("mqtt.url", site.mqtt.url());
    other = other.set("mqtt.client_id", "second-host");
    let mut other = other.brokers().await?;
    other.start_daemon().await?;
    let mut quiet = Vec::new();
    for id in ["stm32_pac_21", "stm32_pac_22", "stm32_pac_23", "stm32_pac_24", "stm32_pac_25", "stm32_pac_26"] {
        let mut device = Device::connect(&site, id).await?;
        enroll(&site, &device, &[])?;
        device.beat().await?;
        quiet.push(device);
    }
    for device in &mut quiet {
        ask(&site, device).await?;
    }
    results(&site, quiet.len()).await?;
    // Both have looked for what is overdue since, as one more shows that either of them tells.
    let mut last = Device::connect(&site, "stm32_pac_27").await?;
    enroll(&site, &last, &[])?;
    last.beat().await?;
    ask(&site, &mut last).await?;
    let entries = site.stream_of(RESULTS, quiet.len() + 1).await?;
    for device in quiet.iter().chain([&last]) {
        let told = entries.iter().filter(|entry| entry.data()["device_id"] == device.id).count();
        assert_eq!(told, 1, "{}: {:?}", device.id, verdicts(&entries));
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_delivered_again_keeps_its_verdict() -> Result<()> {
    let mut site = plan().without_nats().start().await?;
    let mut device = Device::connect(&site, "stm32_pac_03").await?;
    enroll(&site, &device, &[])?;
    let nonce = ask(&site, &mut device).await?;
    // The nonce can be used up, and nothing can be stored: neither the result nor a dead letter.
    let mut redis = connect_redis(&site.redis.url()).await?;
    for stream in [RESULTS, "aurora:dead_letter"] {
        redis::cmd("SET").arg(stream).arg("in the way").query_async::<()>(&mut redis).await?;
    }
    device.send(device.answer(&nonce)).await?;
    site.wait_until("the nonce to be used", async || -> Result<()> {
        let (said, _) = aurora(&site, &["device", "list", "--format", "json"])?;
        anyhow::ensure!(said.contains("\"status\":\"valid\""), "{said}");
        Ok(())
    })
    .await?;
    site.kill_daemon()?;
    for stream in [RESULTS, "aurora:dead_letter"] {
        redis::cmd("DEL").arg(stream).query_async::<()>(&mut redis).await?;
    }
    site.start_daemon().await?;
    assert_eq!(results(&site, 1).await?, [pair("valid", "")]);
    // The same bytes as a delivery of their own have their verdict, now as before; others with that nonce are a replay.
    let answer = device.answer(&nonce);
    device.send(answer.clone()).await?;
    device.send(mirrored(&answer)).await?;
    assert_eq!(results(&site, 2).await?[1], pair("failed", "replayed"));
    Ok(())
}

#[tokio::test]
async fn without_redis_there_is_no_verdict_and_nothing_is_lost() -> Result<()> {
    let mut site = plan().without_nats().start().await?;
    let mut device = Device::connect(&site, "stm32_pac_04").await?;
    enroll(&site, &device, &[])?;
    let nonce = ask(&site, &mut device).await?;
    site.redis.kill();
    device.send(device.answer(&nonce)).await?;
    site.series_of("aurora_stage_retried_total{stage=\"normalize\"}", 1.0).await?;
    assert_eq!(site.scrape().await?.get("aurora_broker_in_flight{broker=\"mqtt\"}")?, 1.0, "it is not acknowledged");
    site.redis.restart().await?;
    assert_eq!(results(&site, 1).await?, [pair("valid", "")]);
    Ok(())
}
