//! Where messages go, what is passed over, and what becomes of indicators.

use anyhow::{Context as _, Result, ensure};
use aurora::{
    broker::redis_streams::{self, Pool},
    config::Config,
    federation::Ceiling,
    intel::{self, Indicator, Table},
    telemetry::Metrics,
};
use harness::Site;
use serde_json::{Value, json};

use super::{Other, alert, id, south};

#[tokio::test]
async fn each_message_is_in_its_stream_once_marked_with_its_origin_and_leaves_no_more() -> Result<()> {
    let site = south().start().await?;
    let north = Other::of(&site, "north").await?;
    let of = |number: u32, changes: Value| {
        let mut message = alert(number);
        for (name, value) in changes.as_object().into_iter().flatten() {
            message[name] = value.clone();
        }
        message
    };
    north.send("aurora.alerts.network", &alert(1)).await?;
    // The same in the other set of subjects, as a site sends it that uses both.
    north.send("AURORA.alerts", &alert(1)).await?;
    north.send("aurora.alerts.cps", &of(2, json!({ "category": "cps", "severity": "critical" }))).await?;
    let attested = json!({
        "device_id": "door_1", "status": "failed", "valid": false, "reason": "replay", "event_id": id(3), "site": "north",
        "timestamp": chrono::Utc::now().to_rfc3339(),
    });
    north.send("aurora.cps.attestation.door_1", &attested).await?;
    north.send("AURORA.agent_results", &of(4, json!({ "severity": "info" }))).await?;
    north.send("AURORA.audit", &of(5, json!({ "severity": "info" }))).await?;
    north.send("aurora.soar.block_ip", &of(6, json!({ "severity": "info" }))).await?;
    for (stream, number, category) in [
        ("aurora:alerts", 1, "network"),
        ("aurora:cps:alerts", 2, "cps"),
        ("aurora:cps:attestation", 3, "cps"),
        ("aurora:federation:agent_results", 4, "network"),
        ("aurora:federation:audit", 5, "network"),
        ("aurora:federation:soar", 6, "network"),
    ] {
        let entry = site.stream_of(stream, 1).await?.remove(0);
        let names = ["category", "data", "origin", "provenance", "raw", "severity", "source", "topic"];
        assert_eq!(entry.names(), names, "{stream}");
        assert_eq!(
            (entry.text("origin"), entry.text("category")),
            ("north".to_owned(), category.to_owned()),
            "{stream}"
        );
        let data = entry.data();
        assert_eq!((&data["id"], &data["site"], &data["tlp"]), (&id(number).into(), &"north".into(), &"AMBER".into()));
        assert!(entry.text("provenance").contains("never leaves again"), "{}", entry.text("provenance"));
    }
    site.series_of("aurora_federation_in_from_total{site=\"north\"}", 6.0).await?;
    let attestation = site.stream("aurora:cps:attestation").await?.remove(0).data();
    assert_eq!((&attestation["status"], &attestation["valid"]), (&"failed".into(), &false.into()));
    let counted = "aurora_federation_in_total{stream=\"AURORA\",what=\"repeated\"}";
    site.series_of(counted, 1.0).await?;
    assert_eq!(site.stream("aurora:alerts").await?.len(), 1);
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    // Alerts of that severity are shared if they are ours.
    assert!(site.stream("aurora:outbox").await?.is_empty());
    assert_eq!(site.jetstream().await?.len(), 7);
    acknowledged(&site).await
}

/// Waits until JetStream has heard of all that is in its stream.
pub(super) async fn acknowledged(site: &Site) -> Result<()> {
    let nats = site.nats.as_ref().context("no NATS")?;
    let jetstream = async_nats::jetstream::new(async_nats::connect(nats.url()).await?);
    site.wait_until("everything is acknowledged", async || {
        let stream = jetstream.get_stream("AURORA").await?;
        let consumer = stream.consumer_info("site-south").await?;
        let left = (consumer.num_ack_pending, consumer.num_pending);
        let metrics = site.scrape().await?;
        let told: Vec<_> = metrics.0.lines().filter(|line| line.starts_with("aurora_federation_in_")).collect();
        ensure!(left == (0, 0), "{left:?} not acknowledged and not delivered; {consumer:?}; {told:#?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_ours_or_old_or_unwanted_is_passed_over() -> Result<()> {
    let site = south().set("federation.in.max_age", "1h").set("federation.in.subjects", vec!["aurora.alerts.>"]);
    let site = site.start().await?;
    let (ours, north) = (Other::of(&site, "south").await?, Other::of(&site, "north").await?);
    let mut own = alert(1);
    own["site"] = "south".into();
    ours.send("aurora.alerts.network", &own).await?;
    north.send("AURORA.alerts", &alert(2)).await?;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Aurora-Site", "north");
    headers.insert("Nats-Msg-Id", format!("{}:{}-0", id(3), harness::unix_ms() - 4_000_000).as_str());
    let payload = alert(3).to_string().into();
    north.jetstream.publish_with_headers("aurora.alerts.network", headers, payload).await?.await?;
    north.send("aurora.alerts.network", &alert(4)).await?;
    let entries = site.stream_of("aurora:alerts", 1).await?;
    assert_eq!(entries[0].data()["id"], id(4));
    acknowledged(&site).await?;
    for what in ["own", "old", "stored"] {
        let series = format!("aurora_federation_in_total{{stream=\"AURORA\",what=\"{what}\"}}");
        assert_eq!(site.scrape().await?.get(&series)?, 1.0, "{what}");
    }
    assert_eq!(site.stream("aurora:alerts").await?.len(), 1);
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    Ok(())
}

/// The indicators of a site.
pub(super) fn table(site: &Site) -> Result<Table> {
    let redis = redis_streams::Config { url: site.redis.url(), ..redis_streams::Config::default() };
    let ceiling = Ceiling::new(&Config::default());
    Ok(Table::new(&Pool::new(&redis)?, &redis, &intel::Config::default(), ceiling.into(), &Metrics::new().intel))
}

#[tokio::test]
async fn indicators_are_recorded_once_for_all_messages_that_tell_of_them() -> Result<()> {
    let site = south().set("intel.ttl", "30d").start().await?;
    let north = Other::of(&site, "north").await?;
    let indicator = |number: u32| {
        json!({
            "type": "ip", "value": "45.155.205.233", "source": "aurora-rust-core", "site": "north", "tlp": "GREEN",
            "timestamp": chrono::Utc::now().to_rfc3339(), "event_id": id(number),
        })
    };
    // One event, told of three times.
    north.send("aurora.alerts.network", &alert(1)).await?;
    north.send("aurora.intel.ioc.ip", &indicator(1)).await?;
    north.send("AURORA.ioc_sharing", &indicator(1)).await?;
    // Another one.
    north.send("aurora.intel.ioc.ip", &indicator(2)).await?;
    let table = table(&site)?;
    let ip = Indicator::new("ip", "45.155.205.233")?;
    let known = site
        .wait_until("two messages are counted", async || {
            let known = table.look_up(std::slice::from_ref(&ip)).await?.pop().flatten().context("nothing is known")?;
            ensure!(known.count >= 2, "{known:?}");
            Ok(known)
        })
        .await?;
    assert_eq!(known.sources.keys().collect::<Vec<_>>(), ["north"]);
    acknowledged(&site).await?;
    let known = table.look_up(&[ip]).await?.pop().flatten().context("nothing is known")?;
    assert_eq!((known.count, known.tlp.as_str()), (2, "AMBER"), "once for each event, as strict as the strictest");
    assert_eq!(site.stream("aurora:alerts").await?.len(), 1, "an indicator is no alert");
    Ok(())
}
