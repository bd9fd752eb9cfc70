//! Bad input of every kind: a dead letter with everything in it, a counter, and the next event on its way.

use anyhow::Result;
use harness::{Entry, Site};

use super::alert;

/// Publishes `payload` to `topic` and a good event after it; the dead letter of the first.
async fn dead_letter(site: &Site, topic: &str, payload: &[u8]) -> Result<Entry> {
    let (letters, events) =
        (site.stream("aurora:dead_letter").await?.len(), site.stream("aurora:cps:alerts").await?.len());
    site.publish(topic, 2, [payload]).await?;
    site.publish("aurora/sensors/good_1/alerts", 2, [alert("low", letters as u32)]).await?;
    site.stream_of("aurora:cps:alerts", events + 1).await?;
    let letter = site.stream_of("aurora:dead_letter", letters + 1).await?.remove(letters);
    assert_eq!(letter.fields.get("payload").map(Vec::as_slice), Some(payload), "not the bytes as they came");
    assert_eq!(letter.text("topic"), topic);
    assert!(!letter.text("reason").is_empty() && !letter.text("source").is_empty(), "{letter:?}");
    Ok(letter)
}

#[tokio::test]
async fn what_the_normalizer_cannot_read_is_kept_with_the_reason() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let topic = "aurora/sensors/door_1/alerts";
    let payloads: [&[u8]; 6] = [
        br#"{"severity":"high","title":"cut"#,
        b"\xff\xfe not UTF-8 \x80",
        b"",
        b"\0\0\0\0",
        br#"{"severity":"high"} trailing"#,
        br#""only a string""#,
    ];
    for payload in payloads {
        let letter = dead_letter(&site, topic, payload).await?;
        assert_eq!(letter.text("stage"), "normalize", "{letter:?}");
        assert!(letter.text("guest").starts_with("sha256:"), "{letter:?}");
    }
    site.series_of("aurora_stage_dead_lettered_total{stage=\"normalize\"}", 6.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_device_id_is_no_device() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let long = format!("aurora/sensors/{}/alerts", "x".repeat(65));
    for topic in ["aurora/sensors/tank 9/alerts", "aurora/sensors/a.b/alerts", "aurora/sensors/ümlaut/alerts", &long] {
        let letter = dead_letter(&site, topic, br#"{"severity":"high","title":"from nobody"}"#).await?;
        assert_eq!(letter.text("stage"), "source", "{letter:?}");
    }
    site.series_of("aurora_stage_dead_lettered_total{stage=\"source\"}", 4.0).await?;
    Ok(())
}

#[tokio::test]
async fn an_oversized_message_is_kept_and_the_connection_too() -> Result<()> {
    let site = Site::plan().without_nats().set("mqtt.max_payload", "1KiB").start().await?;
    let large = format!(r#"{{"title":"{}"}}"#, "x".repeat(3000));
    let letter = dead_letter(&site, "aurora/sensors/door_1/alerts", large.as_bytes()).await?;
    assert_eq!(letter.text("stage"), "source", "{letter:?}");
    assert_eq!(site.scrape().await?.get("aurora_broker_reconnects_total{broker=\"mqtt\"}")?, 0.0);
    Ok(())
}

#[tokio::test]
async fn a_message_above_the_default_limit_of_a_mebibyte_is_kept() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let large = vec![b'x'; (1 << 20) + 1];
    let letter = dead_letter(&site, "aurora/sensors/door_1/alerts", &large).await?;
    assert_eq!(letter.text("stage"), "source", "{:?}", letter.text("reason"));
    Ok(())
}

#[tokio::test]
async fn an_unknown_format_says_which_there_are() -> Result<()> {
    let plan = Site::plan().without_nats().subscribe("odd/in", 1, "carrier-pigeon", "loft");
    let site = plan.subscribe("aurora/sensors/+/alerts", 2, "mqtt", "mqtt").start().await?;
    let letter = dead_letter(&site, "odd/in", b"coo").await?;
    assert_eq!(letter.text("source"), "loft");
    let reason = letter.text("reason");
    assert!(reason.contains("carrier-pigeon") && reason.contains("syslog"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn a_declared_format_that_the_payload_is_not_is_no_event() -> Result<()> {
    let plan = Site::plan().without_nats().subscribe("cef/in", 1, "cef", "firewall");
    let site = plan.subscribe("aurora/sensors/+/alerts", 2, "mqtt", "mqtt").start().await?;
    for payload in ["CEF:0|too|few", "plain words", "{}"] {
        let letter = dead_letter(&site, "cef/in", payload.as_bytes()).await?;
        assert_eq!(letter.text("stage"), "normalize");
    }
    Ok(())
}
