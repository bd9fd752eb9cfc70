//! Who is there, who is asked by the schedule, and who does not answer.

use anyhow::{Result, ensure};
use harness::{Site, connect_redis, unix_ms};

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
