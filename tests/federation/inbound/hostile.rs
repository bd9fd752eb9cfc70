//! What other sites send is read as hostile.

use anyhow::Result;
use serde_json::json;

use super::{Other, alert, arriving::acknowledged, id, south};

#[tokio::test]
async fn what_is_not_sound_becomes_one_dead_letter_and_is_never_delivered_again() -> Result<()> {
    let site = south().set("federation.in.max_payload", "2KiB").start().await?;
    let north = Other::of(&site, "north").await?;
    let changed = |name: &str, value: serde_json::Value| {
        let mut alert = alert(7);
        alert[name] = value;
        alert.to_string().into_bytes()
    };
    let bad = [
        (Some("north"), b"{\"id\":".to_vec(), "no such message"),
        (Some("north"), vec![b'['; 2000], "no such message"),
        (Some("north"), b"\xff\xfe".to_vec(), "no such message"),
        (Some("north"), changed("site", json!("east")), "`site` is `east`, but its header says `north`"),
        (Some("east"), alert(7).to_string().into_bytes(), "`site` is `north`, but its header says `east`"),
        (Some("no site"), alert(7).to_string().into_bytes(), "no name of a site"),
        (None, alert(7).to_string().into_bytes(), "no header Aurora-Site"),
        (Some("north"), changed("id", json!("../../etc")), "no UUID"),
        (Some("north"), changed("severity", json!("apocalyptic")), "`severity`"),
        (Some("north"), changed("tlp", json!("PLAID")), "`tlp`"),
        (Some("north"), changed("timestamp_ms", json!(i64::MAX)), "more than a day ahead"),
        (Some("north"), changed("description", json!("x".repeat(3000))), "larger than federation.in.max_payload"),
    ];
    for (site, payload, _) in &bad {
        north.send_bytes("aurora.alerts.network", *site, payload.clone()).await?;
    }
    let ioc = json!({ "type": "ip", "value": "10.0.0.0/8", "timestamp": "2026-01-01T00:00:00Z", "site": "north" });
    north.send("aurora.intel.ioc.ip", &ioc).await?;
    north.send("aurora.alerts.network", &alert(8)).await?;
    assert_eq!(site.stream_of("aurora:alerts", 1).await?[0].data()["id"], id(8));
    let letters = site.stream_of("aurora:dead_letter", bad.len() + 1).await?;
    for (_, payload, said) in &bad {
        let of = letters.iter().filter(|letter| letter.text("reason").contains(said));
        assert!(of.clone().count() >= 1, "no letter says {said}");
        for letter in of {
            assert_eq!((letter.text("stage"), letter.text("topic")), ("source".into(), "aurora.alerts.network".into()));
            assert!(letter.text("source").starts_with("aurora:federation:"), "{}", letter.text("source"));
            assert!(letter.fields["payload"].len() <= payload.len().max(2048));
        }
    }
    assert!(letters.iter().any(|letter| letter.text("reason").contains("is a network")), "no letter says network");
    // Told so, JetStream delivers none of them again.
    acknowledged(&site).await?;
    assert_eq!(site.scrape().await?.get("aurora_federation_in_redelivered_total{stream=\"AURORA\"}")?, 0.0);
    assert_eq!(site.stream("aurora:dead_letter").await?.len(), bad.len() + 1);
    assert_eq!(site.stream("aurora:alerts").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn who_names_no_site_is_taken_for_the_one_that_is_configured_for_it() -> Result<()> {
    let site = south().set("federation.in.unnamed", "old-site").start().await?;
    let old = Other::of(&site, "old-site").await?;
    // As the seeds write them.
    let mut plain = alert(1);
    plain.as_object_mut().map(|alert| ["site", "tlp"].map(|name| alert.remove(name)));
    old.send_bytes("aurora.alerts.network", None, plain.to_string().into_bytes()).await?;
    let attested = br#"{"device_id":"door_1","status":"valid","timestamp":"2026-01-01T00:00:00+00:00"}"#;
    old.send_bytes("aurora.cps.attestation.door_1", None, attested.to_vec()).await?;
    for stream in ["aurora:alerts", "aurora:cps:attestation"] {
        assert_eq!(site.stream_of(stream, 1).await?[0].text("origin"), "old-site");
    }
    Ok(())
}
