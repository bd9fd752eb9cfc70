//! Who is there, who is asked by the schedule, and who does not answer.

use anyhow::{Result, ensure};
use harness::{Entry, Plan, Site, connect_redis, unix_ms};

use super::{ALERTS, Device, aurora, enroll, pair, plan, results};

#[tokio::test]
async fn devices_are_asked_by_the_schedule_and_missed_when_they_do_not_answer() -> Result<()> {
    let plan = Site::plan().without_nats().set("attestation.interval", "2s").set("attestation.answer_within", "2s");
    let site = plan.start().await?;
    let mut device = Device::connect(&site, "nrf_usb_sentinel_02").await?;
    device.beat().await?;
    enroll(&site, &device, &[])?;
    // Nobody has to ask for it.
    let nonce = device.challenge().await?;
    device.send(device.answer(&nonce)).await?;
    assert_eq!(results(&site, 1).await?, [pair("valid", "")]);
    // The next one it leaves unanswered, though its heartbeat says that it is there.
    device.challenge().await?;
    site.series_of("aurora_attestation_failures_total{cause=\"unanswered\"}", 1.0).await?;
    let alerts = site
        .wait_until("the alert", async || -> Result<_> {
            let alerts = site.stream(ALERTS).await?;
            let failed: Vec<_> = alerts.into_iter().filter(|alert| alert.text("severity") == "critical").collect();
            ensure!(!failed.is_empty(), "none");
            Ok(failed)
        })
        .await?;
    let title = alerts[0].data()["title"].to_string();
    assert!(title.contains("nrf_usb_sentinel_02 failed attestation: did not answer within 2 s"), "{title}");
    site.series_of("aurora_attestation_challenges_unanswered_total", 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_device_of_which_nothing_can_be_read_holds_up_no_other() -> Result<()> {
    let plan = Site::plan().without_nats().set("attestation.interval", "2s").set("attestation.answer_within", "2s");
    let site = plan.start().await?;
    let spoilt = Device::connect(&site, "nrf_usb_sentinel_05").await?;
    let mut sound = Device::connect(&site, "nrf_usb_sentinel_06").await?;
    enroll(&site, &spoilt, &[])?;
    let mut redis = connect_redis(&site.redis.url()).await?;
    let key = format!("aurora:state:device:{}", spoilt.id);
    redis::cmd("HSET").arg(key).arg("challenges").arg("{oops").query_async::<()>(&mut redis).await?;
    // As somebody wants it asked, and as the schedule does.
    redis::cmd("ZADD").arg("aurora:state:wanted").arg(1).arg(spoilt.id).query_async::<()>(&mut redis).await?;
    enroll(&site, &sound, &[])?;
    for _ in 0..2 {
        let nonce = sound.challenge().await?;
        sound.send(sound.answer(&nonce)).await?;
    }
    results(&site, 2).await?;
    assert_eq!(site.log().matches("what is known of a device cannot be read").count(), 1, "{}", site.log());
    let (said, done) = aurora(&site, &["device", "challenge", spoilt.id, "--no-wait"])?;
    assert!(!done && said.contains("cannot be read"), "{said}");
    let (said, done) = aurora(&site, &["device", "list"])?;
    assert!(done && said.contains("unreadable") && said.contains(sound.id), "{said}");
    // It begins anew when it is enrolled anew.
    enroll(&site, &spoilt, &["--replace"])?;
    let (said, done) = aurora(&site, &["device", "challenge", spoilt.id, "--no-wait"])?;
    assert!(done, "{said}");
    Ok(())
}

#[tokio::test]
async fn a_shorter_interval_holds_at_once() -> Result<()> {
    let plan = Site::plan().without_nats().set("attestation.interval", "24h").set("attestation.answer_within", "1s");
    let mut site = plan.start().await?;
    let mut device = Device::connect(&site, "nrf_usb_sentinel_04").await?;
    enroll(&site, &device, &[])?;
    let first = device.challenge().await?;
    site.kill_daemon()?;
    site.set("attestation.interval", "1s");
    site.start_daemon().await?;
    assert_ne!(device.challenge().await?, first);
    Ok(())
}

#[tokio::test]
async fn heartbeats_tell_who_is_online() -> Result<()> {
    let site = plan().without_nats().start().await?;
    // Those that went silent long ago, as Redis remembers them.
    let mut redis = connect_redis(&site.redis.url()).await?;
    for (device, minutes) in [("esp32s3_gw_06", 30), ("esp32s3_gw_07", 90), ("esp32s3_gw_08", 900)] {
        let at = unix_ms() - minutes * 60_000;
        redis::cmd("ZADD").arg("aurora:state:heard").arg(at).arg(device).query_async::<()>(&mut redis).await?;
    }
    let mut device = Device::connect(&site, "esp32s3_gw_05").await?;
    device.beat().await?;
    for (health, count, one) in [("online", 1.0, "gw_05"), ("stale", 1.0, "gw_06"), ("offline", 2.0, "gw_08")] {
        assert_eq!(site.series_of(&format!("aurora_devices{{health=\"{health}\"}}"), count).await?, count);
        let (said, done) = aurora(&site, &["device", "list", "--health", health])?;
        assert!(done && said.contains(one), "{health}: {said}");
        assert!(said.contains("1 online, 1 stale, 2 offline, 0 never heard of"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn invented_ids_are_bounded_and_push_out_nobody_who_is_enrolled() -> Result<()> {
    let site = plan().without_nats().set("attestation.strangers", 2).start().await?;
    let device = Device::connect(&site, "stm32_pac_17").await?;
    enroll(&site, &device, &[])?;
    site.series_of("aurora_devices_enrolled", 1.0).await?;
    // Who is enrolled has been silent longest, and is known to before the others come.
    heard(&site, device.id, 900 * 60_000).await?;
    site.series_of("aurora_devices{health=\"offline\"}", 1.0).await?;
    for (device, minutes) in [("visitor_1", 800), ("visitor_2", 700), ("visitor_3", 20), ("visitor_4", 15)] {
        heard(&site, device, minutes * 60_000).await?;
    }
    site.series_of("aurora_devices_forgotten_total", 2.0).await?;
    let (said, done) = aurora(&site, &["device", "list"])?;
    assert!(done && said.contains("0 online, 2 stale, 1 offline, 0 never heard of, 0 revoked"), "{said}");
    assert!(said.contains("stm32_pac_17") && said.contains("visitor_3") && said.contains("visitor_4"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_device_that_was_revoked_is_not_missed() -> Result<()> {
    let site = plan().without_nats().start().await?;
    let (gone, offline) = (Device::connect(&site, "esp32s3_gw_09").await?, "aurora_devices{health=\"offline\"}");
    enroll(&site, &gone, &[])?;
    heard(&site, gone.id, 90 * 60_000).await?;
    site.series_of(offline, 1.0).await?;
    let (said, done) = aurora(&site, &["device", "revoke", gone.id, "--yes"])?;
    assert!(done, "{said}");
    site.wait_until("the gauge to miss nobody", async || -> Result<()> {
        let missed = site.scrape().await?.get(offline)?;
        ensure!(missed < 1.0, "{missed}");
        Ok(())
    })
    .await?;
    let (said, done) = aurora(&site, &["device", "list", "--health", "revoked"])?;
    assert!(done && said.contains(gone.id) && said.contains("0 offline, 0 never heard of, 1 revoked"), "{said}");
    Ok(())
}

/// Devices are silent soon.
fn impatient() -> Plan {
    plan().without_nats().set("attestation.online", "1s").set("attestation.stale", "2s")
}

/// The entries of `device` with this title.
fn titled(entries: &[Entry], title: &str) -> usize {
    entries.iter().filter(|entry| entry.data()["title"] == title).count()
}

/// Waits for an entry with this title.
async fn told(site: &Site, title: &str, count: usize) -> Result<Vec<Entry>> {
    site.wait_until(&format!("{count} times {title:?}"), async || -> Result<_> {
        let entries = site.stream(ALERTS).await?;
        let seen = titled(&entries, title);
        ensure!(seen >= count, "{seen}");
        Ok(entries)
    })
    .await
}

/// As if the last heartbeat of `device` had come so long before now.
async fn heard(site: &Site, device: &str, ago_ms: i64) -> Result<()> {
    let mut redis = connect_redis(&site.redis.url()).await?;
    let at = unix_ms() - ago_ms;
    Ok(redis::cmd("ZADD").arg("aurora:state:heard").arg(at).arg(device).query_async(&mut redis).await?)
}

#[tokio::test]
async fn a_device_that_falls_silent_raises_one_alert_and_is_told_when_it_is_back() -> Result<()> {
    // Nothing is hidden as a repetition.
    let site = impatient().set("dedup.window", "0s").start().await?;
    let mut device = Device::connect(&site, "esp32s3_gw_10").await?;
    device.beat().await?;
    enroll(&site, &device, &[])?;
    let (gone, back) = ("esp32s3_gw_10 is offline", "esp32s3_gw_10 is back");
    let entries = told(&site, gone, 1).await?;
    let alert = entries.iter().find(|entry| entry.data()["title"] == gone).expect("it was seen");
    assert_eq!((alert.text("severity"), alert.text("category")), ("high".to_owned(), "cps".to_owned()));
    // A later round, as another device shows which was never heard of, says nothing more of the first one.
    let never = Device::connect(&site, "esp32s3_gw_11").await?;
    enroll(&site, &never, &[])?;
    let entries = told(&site, "esp32s3_gw_11 was never heard of", 1).await?;
    assert_eq!((titled(&entries, gone), titled(&entries, back)), (1, 0));
    // A heartbeat that a slow round cannot miss.
    heard(&site, device.id, -3_600_000).await?;
    let entries = told(&site, back, 1).await?;
    let event = entries.iter().find(|entry| entry.data()["title"] == back).expect("it was seen");
    assert_eq!(
        (event.text("severity"), event.data()["fields"]["device.health"].as_str()),
        ("info".to_owned(), Some("online"))
    );
    // It goes again, and that is an alert of its own.
    heard(&site, device.id, 10_000).await?;
    let entries = told(&site, gone, 2).await?;
    assert_eq!((titled(&entries, gone), titled(&entries, back)), (2, 1));
    Ok(())
}

#[tokio::test]
async fn of_two_hosts_one_tells_who_is_silent() -> Result<()> {
    let site = impatient().set("dedup.window", "0s").start().await?;
    let mut other = impatient().set("dedup.window", "0s").set("redis.url", site.redis.url());
    other = other.set("mqtt.url", site.mqtt.url()).set("mqtt.client_id", "second-host");
    let mut other = other.brokers().await?;
    other.start_daemon().await?;
    let never_heard = |id: &str| format!("{id} was never heard of");
    let silent = ["stm32_pac_11", "stm32_pac_12", "stm32_pac_13", "stm32_pac_14"];
    for id in silent {
        enroll(&site, &Device::connect(&site, id).await?, &[])?;
    }
    for id in silent {
        told(&site, &never_heard(id), 1).await?;
    }
    // Both have had rounds since when this one is told.
    let last = "stm32_pac_15";
    enroll(&site, &Device::connect(&site, last).await?, &[])?;
    let entries = told(&site, &never_heard(last), 1).await?;
    for id in silent {
        assert_eq!(titled(&entries, &never_heard(id)), 1, "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn devices_that_nobody_enrolled_may_fall_silent() -> Result<()> {
    let site = impatient().start().await?;
    heard(&site, "visitor_01", 3_600_000).await?;
    let never = Device::connect(&site, "stm32_pac_16").await?;
    enroll(&site, &never, &[])?;
    let entries = told(&site, "stm32_pac_16 was never heard of", 1).await?;
    assert_eq!(titled(&entries, "visitor_01 is offline"), 0);
    Ok(())
}

#[tokio::test]
async fn an_enrolled_device_that_was_never_heard_of_and_does_not_answer_has_failed() -> Result<()> {
    let plan = Site::plan().without_nats().set("attestation.interval", "2s").set("attestation.answer_within", "2s");
    let site = plan.start().await?;
    let mut device = Device::connect(&site, "nrf_usb_sentinel_03").await?;
    enroll(&site, &device, &[])?;
    device.challenge().await?;
    site.series_of("aurora_attestation_failures_total{cause=\"unanswered\"}", 1.0).await?;
    let title = "nrf_usb_sentinel_03 failed attestation: did not answer within 2 s, and was never heard of";
    let entries = told(&site, title, 1).await?;
    let alert = entries.iter().find(|entry| entry.data()["title"] == title).expect("it was seen");
    assert_eq!(alert.text("severity"), "critical");
    assert_eq!(results(&site, 1).await?, [pair("failed", "unanswered")]);
    Ok(())
}
