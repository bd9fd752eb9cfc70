//! What each kind of answer gets: the result in its stream and on its subject, and an alert where it fails.

use anyhow::Result;
use aurora::attestation::{Form, Signer, answer};
use harness::unix_ms;
use serde_json::Value;

use super::{
    ALERTS, RESULTS, ask, aurora,
    device::{Device, FIRMWARE, mirrored},
    enroll, pair, plan, results,
};

/// More than a double holds: 2^53 + 1 and the number before it are not one.
const BOOTS: u64 = 9_007_199_254_740_993;

#[tokio::test]
async fn a_device_that_holds_its_key_is_valid_here_and_elsewhere() -> Result<()> {
    let site = plan().start().await?;
    let mut device = Device::connect(&site, "stm32_pac_01").await?;
    enroll(&site, &device, &["--firmware", FIRMWARE])?;
    let nonce = ask(&site, &mut device).await?;
    device.send(device.answer(&nonce)).await?;
    let entries = site.stream_of(RESULTS, 1).await?;
    for field in ["data", "severity", "source", "category"] {
        assert!(entries[0].names().contains(&field), "{:?}", entries[0].names());
    }
    let data = entries[0].data();
    let said = [&data["valid"], &data["device_id"], &data["status"], &data["reason"], &data["category"]];
    let reason = "signature, nonce, boot count and firmware hold";
    assert_eq!(
        said.map(Value::to_string),
        ["true", "\"stm32_pac_01\"", "\"valid\"", &format!("{reason:?}"), "\"cps\""]
    );
    let messages = site.jetstream_of(1).await?;
    assert_eq!(messages[0].subject, "aurora.cps.attestation.stm32_pac_01");
    let shared = messages[0].json();
    assert_eq!((&shared["valid"], &shared["status"]), (&Value::Bool(true), &Value::from("valid")), "{shared}");
    assert_eq!(site.stream(ALERTS).await?.len(), 0, "nothing to look at");
    assert_eq!(site.scrape().await?.get("aurora_attestation_results_total{status=\"valid\"}")?, 1.0);
    Ok(())
}

/// One site for all of these: each answer has a nonce of its own, and what fails leaves nothing behind for the next.
#[tokio::test]
async fn whatever_does_not_hold_fails_and_raises_an_alert() -> Result<()> {
    let site = plan().start().await?;
    let mut device = Device::connect(&site, "esp32s3_gw_01").await?;
    let twin = Device::connect(&site, "esp32s3_gw_02").await?;
    device.boots = BOOTS;
    enroll(&site, &device, &["--firmware", FIRMWARE])?;
    enroll(&site, &twin, &[])?;
    let mut expected = Vec::new();

    let nonce = ask(&site, &mut device).await?;
    let stranger = Signer::generate();
    let with = |signer: &Signer, form, id, boots, nonce: &str| answer(signer, form, id, FIRMWARE, boots, nonce, false);
    let changed = |key: &str, value: Value| {
        let mut json: Value = serde_json::from_str(&device.answer(&nonce)).expect("JSON");
        json[key] = value;
        json.to_string()
    };
    // None of these uses the nonce up.
    for (payload, cause) in [
        // Forged: by another key, with that key shown as its own, with another count, another firmware.
        (with(&stranger, Form::Delimited, device.id, BOOTS, &nonce), "signature"),
        (answer(&stranger, Form::Delimited, device.id, FIRMWARE, BOOTS, &nonce, true), "signature"),
        (changed("boot_count", (BOOTS + 1).into()), "signature"),
        (changed("firmware_hash", "ab".repeat(32).into()), "signature"),
        // By another enrolled device, for this one.
        (with(&twin.signer, Form::Delimited, device.id, BOOTS, &nonce), "signature"),
        // The form of old firmware, which nobody has allowed.
        (with(&device.signer, Form::Legacy, device.id, BOOTS, &nonce), "signature"),
        // Malformed, as far as the normalizer lets it come here.
        (changed("signature_hex", "zz".into()), "signature"),
        (changed("signature_hex", "00".repeat(64).into()), "signature"),
        (changed("boot_count", BOOTS.to_string().into()), "malformed"),
        (changed("nonce", Value::Null), "malformed"),
        (changed("device_id", "esp32s3_gw_02".into()), "malformed"),
        // A nonce of nobody's.
        (with(&device.signer, Form::Delimited, device.id, BOOTS, &"00".repeat(32)), "unknown_nonce"),
    ] {
        device.send(payload).await?;
        expected.push(pair("failed", cause));
        assert_eq!(results(&site, expected.len()).await?, expected);
    }

    let good = device.answer(&nonce);
    device.send(good.clone()).await?;
    expected.push(pair("valid", ""));
    assert_eq!(results(&site, expected.len()).await?, expected);
    // The very same bytes again, as of a device whose acknowledgement was lost: neither a result nor an alert.
    let dropped = "aurora_stage_dropped_total{stage=\"normalize\"}";
    let before = site.scrape().await?.get(dropped)?;
    device.send(good.clone()).await?;
    assert_eq!(site.series_of(dropped, before + 1.0).await?, before + 1.0);
    assert_eq!(results(&site, expected.len()).await?, expected);
    // Replayed: the other signature that goes with it (r, n - s), and the same one in other bytes.
    let mirrored = mirrored(&good);
    assert_ne!(mirrored, good);
    for payload in [mirrored, good.replacen(',', ", ", 1)] {
        device.send(payload).await?;
        expected.push(pair("failed", "replayed"));
        assert_eq!(results(&site, expected.len()).await?, expected);
    }

    // Started less often than before, and then as often.
    for (boots, status, cause) in [(BOOTS - 1, "failed", "boot_count"), (BOOTS, "valid", "")] {
        device.boots = boots;
        let nonce = ask(&site, &mut device).await?;
        device.send(device.answer(&nonce)).await?;
        expected.push(pair(status, cause));
        assert_eq!(results(&site, expected.len()).await?, expected);
    }
    device.firmware = "cd".repeat(32);
    let nonce = ask(&site, &mut device).await?;
    let unexpected = device.answer(&nonce);
    device.send(unexpected.clone()).await?;
    expected.push(pair("failed", "firmware"));
    assert_eq!(results(&site, expected.len()).await?, expected);
    // What failed is a replay when it comes again.
    device.send(unexpected).await?;
    expected.push(pair("failed", "replayed"));
    assert_eq!(results(&site, expected.len()).await?, expected);

    let (said, done) = aurora(&site, &["device", "revoke", device.id, "--yes"])?;
    assert!(done, "{said}");
    device.send(device.answer(&nonce)).await?;
    expected.push(pair("failed", "revoked"));
    assert_eq!(results(&site, expected.len()).await?, expected);

    let failed = expected.iter().filter(|(status, _)| status == "failed").count();
    let alerts = site.stream_of(ALERTS, failed).await?;
    assert_eq!(alerts.len(), failed, "one alert for each, and no result among them");
    for alert in &alerts {
        let data = alert.data();
        assert_eq!((alert.text("severity"), alert.text("category")), ("critical".to_owned(), "cps".to_owned()));
        let title = data["title"].as_str().unwrap_or_default();
        assert!(title.starts_with("esp32s3_gw_01 failed attestation: "), "{data}");
    }
    let messages = site.jetstream_of(expected.len() + failed).await?;
    let of = |subject: &str| messages.iter().filter(|message| message.subject == subject).count();
    assert_eq!((of("aurora.cps.attestation.esp32s3_gw_01"), of("aurora.alerts.cps")), (expected.len(), failed));
    Ok(())
}

#[tokio::test]
async fn an_answer_that_comes_too_late_has_expired() -> Result<()> {
    let site = plan().without_nats().set("attestation.answer_within", "1s").start().await?;
    let mut device = Device::connect(&site, "nrf_usb_sentinel_01").await?;
    enroll(&site, &device, &[])?;
    let nonce = ask(&site, &mut device).await?;
    // The clock of Redis decides, and it is the one of this machine.
    let expires = device.expires_ms;
    site.wait_until("the nonce to expire", async || if unix_ms() > expires { Ok(()) } else { Err("not yet") }).await?;
    device.send(device.answer(&nonce)).await?;
    assert_eq!(results(&site, 1).await?, [pair("failed", "expired")]);
    Ok(())
}
