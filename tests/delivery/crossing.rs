//! What goes in comes out, with everything that consumers rely on.

use anyhow::{Context as _, Result};
use harness::{Message, Site};
use serde_json::json;

use super::alert;

const DOOR: &str = "aurora/sensors/stm32_pac_01/alerts";

fn on<'a>(messages: &'a [Message], subject: &str) -> Result<&'a Message> {
    let found = messages.iter().find(|message| message.subject == subject);
    found.with_context(|| format!("nothing on {subject}, only on {:?}", subjects(messages)))
}

fn subjects(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.subject.as_str()).collect()
}

#[tokio::test]
async fn a_high_device_alert_is_in_the_cps_stream_and_in_jetstream() -> Result<()> {
    let site = Site::plan().start().await?;
    site.publish(DOOR, 2, [r#"{"severity":"high","title":"Door forced open"}"#]).await?;
    let entries = site.stream_of("aurora:cps:alerts", 1).await?;
    let entry = &entries[0];
    assert_eq!(entries.len(), 1);
    assert_eq!(entry.text("severity"), "high");
    assert_eq!(entry.text("source"), "mqtt");
    assert_eq!(entry.text("category"), "cps");
    let event = entry.data();
    assert_eq!(event["title"], "Door forced open");
    assert_eq!(event["device_id"], "stm32_pac_01");
    assert!(site.stream("aurora:alerts").await?.is_empty());

    let messages = site.jetstream_of(1).await?;
    let message = on(&messages, "aurora.alerts.cps")?;
    assert_eq!(message.json()["id"], event["id"]);
    let id = event["id"].as_str().context("no id")?;
    assert!(message.id.as_deref().is_some_and(|message| message.starts_with(&format!("{id}:"))), "{message:?}");
    assert_eq!((&*message.headers["Aurora-Event-Id"], &*message.headers["Aurora-Site"]), (id, "test-site"));
    Ok(())
}

#[tokio::test]
async fn every_event_has_the_whole_record() -> Result<()> {
    let site = Site::plan().start().await?;
    site.publish(DOOR, 1, [r#"{"severity":"LOW","message":"only a message","a":{"b":1}}"#]).await?;
    let event = site.stream_of("aurora:cps:alerts", 1).await?[0].data();
    let record = event.as_object().context("data is no object")?;
    let keys = [
        "id",
        "source",
        "severity",
        "category",
        "title",
        "description",
        "fields",
        "iocs",
        "mitre_techniques",
        "timestamp_ms",
        "device_id",
    ];
    for key in keys {
        assert!(record.contains_key(key), "no {key} in {event}");
    }
    assert_eq!(event["severity"], "low");
    assert_eq!(event["title"], "only a message");
    assert_eq!(event["fields"]["a.b"], "1");
    Ok(())
}

#[tokio::test]
async fn what_is_below_high_stays_at_the_site() -> Result<()> {
    let site = Site::plan().start().await?;
    for (number, severity) in ["info", "low", "medium", "high", "critical"].into_iter().enumerate() {
        site.publish(DOOR, 1, [alert(severity, number as u32)]).await?;
    }
    site.stream_of("aurora:cps:alerts", 5).await?;
    let messages = site.jetstream_of(2).await?;
    let severities: Vec<_> = messages.iter().map(|message| message.json()["severity"].clone()).collect();
    assert_eq!(severities, ["high", "critical"]);
    Ok(())
}

#[tokio::test]
async fn what_is_not_cyber_physical_goes_to_the_general_stream() -> Result<()> {
    let site = Site::plan().subscribe("collectors/cef", 1, "cef", "edge-firewall").start().await?;
    let line =
        "CEF:0|Example|Edge Firewall|5.2|4100|Malicious file blocked|9|src=10.20.4.31 dst=203.0.113.80 act=blocked";
    site.publish("collectors/cef", 1, [line]).await?;
    let entries = site.stream_of("aurora:alerts", 1).await?;
    assert_eq!(entries[0].text("source"), "edge-firewall");
    assert_ne!(entries[0].text("category"), "cps");
    assert_eq!(entries[0].data()["fields"]["deviceProduct"], "Edge Firewall");
    assert!(site.stream("aurora:cps:alerts").await?.is_empty());
    let subject = format!("aurora.alerts.{}", entries[0].text("category"));
    on(&site.jetstream_of(1).await?, &subject)?;
    Ok(())
}

#[tokio::test]
async fn shared_observables_are_messages_of_their_own() -> Result<()> {
    let site = Site::plan().start().await?;
    let hash = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    let event = json!({"severity": "critical", "title": "Known file", "sha256": hash, "src_ip": "10.1.2.3"});
    site.publish(DOOR, 2, [event.to_string()]).await?;
    let messages = site.jetstream_of(2).await?;
    let ioc = on(&messages, "aurora.intel.ioc.hash_sha256")?;
    let body = ioc.json();
    assert_eq!((&body["type"], &body["value"]), (&json!("hash_sha256"), &json!(hash)));
    assert_eq!(body["source"], "aurora-rust-core");
    assert!(body["timestamp"].as_str().is_some_and(|time| time.contains('T')), "{body}");
    assert!(ioc.id.is_some());
    let private = messages
        .iter()
        .any(|message| message.subject.starts_with("aurora.intel") && message.json()["value"] == "10.1.2.3");
    assert!(!private, "a private address left the site");
    Ok(())
}

#[tokio::test]
async fn attestation_results_have_their_stream_and_their_subject() -> Result<()> {
    let site = Site::plan().start().await?;
    let response = json!({
        "device_id": "nrf_usb_sentinel_01",
        "firmware_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "boot_count": 42,
        "signature_hex": "3045022100c1a5e0d7f3b29468",
    });
    site.publish("aurora/attestation/nrf_usb_sentinel_01/response", 2, [response.to_string()]).await?;
    let entries = site.stream_of("aurora:cps:attestation", 1).await?;
    assert_eq!(entries[0].data()["device_id"], "nrf_usb_sentinel_01");
    let messages = site.jetstream_of(1).await?;
    let body = on(&messages, "aurora.cps.attestation.nrf_usb_sentinel_01")?.json();
    assert_eq!(body["device_id"], "nrf_usb_sentinel_01");
    assert!(body["status"].is_string() && body["timestamp"].is_string(), "{body}");
    Ok(())
}

#[tokio::test]
async fn both_versions_of_mqtt_cross_at_every_quality_of_service() -> Result<()> {
    for version in ["3.1.1", "5"] {
        let plan = (0..3).fold(Site::plan().without_nats().set("mqtt.version", version), |plan, qos| {
            plan.subscribe(&format!("aurora/sensors/+/alerts{qos}"), qos, "mqtt", "mqtt")
        });
        let site = plan.start().await?;
        for qos in 0..3_u8 {
            let payloads = (0..100).map(|number| alert("low", u32::from(qos) * 100 + number));
            site.publish(&format!("aurora/sensors/door/alerts{qos}"), qos.max(1), payloads).await?;
        }
        let entries = site.stream_of("aurora:cps:alerts", 300).await?;
        super::assert_exactly_once(&entries, 300);
    }
    Ok(())
}
