//! What the seeds promise beside the events: trimming, audit, metrics, the JetStream stream.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{self, stream::Config};
use harness::Site;

use super::alert;

const DOOR: &str = "aurora/sensors/door_1/alerts";

#[tokio::test]
async fn streams_are_trimmed_to_their_length_more_or_less() -> Result<()> {
    let site = Site::plan().without_nats().set("redis.streams.aurora:cps:alerts", 200).start().await?;
    site.publish(DOOR, 1, (0..2000).map(|number| alert("low", number))).await?;
    site.series_of("aurora_events_published_total", 2000.0).await?;
    let length = site.stream("aurora:cps:alerts").await?.len();
    // Redis trims by nodes of a hundred entries.
    assert!((200..400).contains(&length), "{length} entries");
    Ok(())
}

#[tokio::test]
async fn the_audit_trail_tells_of_start_guests_and_stop() -> Result<()> {
    let mut site = Site::plan().start().await?;
    site.terminate(Duration::from_secs(20)).await?;
    let entries = site.stream("aurora:audit").await?;
    for entry in &entries {
        assert_eq!(entry.names(), ["action", "agent", "details", "timestamp"], "{entry:?}");
        assert!(entry.text("timestamp").contains('T'), "{entry:?}");
    }
    let actions: Vec<String> = entries.iter().map(|entry| entry.text("action")).collect();
    for part in ["start", "guest", "config", "stop"] {
        assert!(actions.iter().any(|action| action.contains(part)), "no {part} in {actions:?}");
    }
    Ok(())
}

#[tokio::test]
async fn metrics_have_the_names_that_dashboards_know() -> Result<()> {
    let site = Site::plan().start().await?;
    site.publish(DOOR, 2, [alert("high", 0), alert("low", 1)]).await?;
    site.series_of("aurora_events_published_total", 2.0).await?;
    site.series_of("aurora_events_federated_total", 1.0).await?;
    for stage in ["source", "normalize", "route", "federate", "publish"] {
        site.series_of(&format!("aurora_stage_in_total{{stage=\"{stage}\"}}"), 2.0).await?;
    }
    for stage in ["source", "normalize", "route", "federate", "publish", "relay"] {
        for series in ["seconds", "batch_events"] {
            site.series_of(&format!("aurora_stage_{series}_count{{stage=\"{stage}\"}}"), 1.0).await?;
        }
    }
    for broker in ["mqtt", "redis", "nats"] {
        site.series_of(&format!("aurora_broker_connected{{broker=\"{broker}\"}}"), 1.0).await?;
    }
    site.series_of("aurora_event_seconds_count", 2.0).await?;
    site.series_of("aurora_guest_calls_total{guest=\"normalize\",stage=\"normalize\"}", 1.0).await?;
    site.series_of("aurora_guest_memory_high_water_bytes{guest=\"normalize\",stage=\"normalize\"}", 1.0).await?;
    Ok(())
}

async fn stream_config(site: &Site) -> Result<Config> {
    let nats = site.nats.as_ref().context("no NATS")?;
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await?);
    let mut stream = jetstream.get_stream("AURORA").await?;
    Ok(stream.info().await?.config.clone())
}

#[tokio::test]
async fn the_stream_is_made_as_both_seeds_have_it() -> Result<()> {
    let site = Site::plan().start().await?;
    let config = stream_config(&site).await?;
    for subject in [
        "aurora.alerts.>",
        "aurora.intel.>",
        "aurora.cps.>",
        "aurora.soar.>",
        "AURORA.alerts",
        "AURORA.ioc_sharing",
        "AURORA.agent_results",
        "AURORA.audit",
    ] {
        assert!(config.subjects.iter().any(|known| known == subject), "no {subject}");
    }
    assert_eq!(config.max_bytes, 10 << 30);
    assert_eq!(config.retention, jetstream::stream::RetentionPolicy::Limits);
    assert!(config.duplicate_window >= Duration::from_secs(300));
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_there_already_is_used_and_not_changed() -> Result<()> {
    let mut site = Site::plan().brokers().await?;
    let nats = site.nats.as_ref().context("no NATS")?.url();
    let jetstream = jetstream::new(async_nats::connect(nats).await?);
    let theirs = Config {
        name: "AURORA".to_owned(),
        subjects: vec!["aurora.>".to_owned()],
        max_messages: 1000,
        ..Config::default()
    };
    jetstream.create_stream(theirs).await?;
    site.start_daemon().await?;
    site.publish(DOOR, 2, [alert("high", 0)]).await?;
    site.jetstream_of(1).await?;
    let config = stream_config(&site).await?;
    assert_eq!((config.subjects, config.max_messages), (vec!["aurora.>".to_owned()], 1000));
    site.wait_until("a word about the difference", async || {
        ensure!(site.log().contains("AURORA"), "nothing in the log");
        Ok(())
    })
    .await
}
