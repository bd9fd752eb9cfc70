//! Events of equal content: one within the window, counted, whatever delivered them.

use anyhow::Result;
use harness::Site;
use serde_json::json;

use super::{alert, assert_exactly_once};

const DOOR: &str = "aurora/sensors/door_1/alerts";

#[tokio::test]
async fn equal_alerts_are_one_event_and_are_counted() -> Result<()> {
    let site = Site::plan().start().await?;
    site.publish(DOOR, 1, (0..40).map(|number| alert("high", number % 4))).await?;
    site.series_of("aurora_stage_dropped_total{stage=\"dedup\"}", 36.0).await?;
    let entries = site.stream_of("aurora:cps:alerts", 4).await?;
    assert_exactly_once(&entries, 4);
    assert_eq!(site.jetstream_of(4).await?.len(), 4, "what is suppressed here is not shared either");
    let first = entries[0].data()["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(site.redis_value(&format!("aurora:state:suppressed:{first}")).await?.as_deref(), Some("9"));
    let scrape = site.scrape().await?;
    let stage = |what: &str| scrape.get(&format!("aurora_stage_{what}_total{{stage=\"dedup\"}}"));
    assert_eq!((stage("in")?, stage("out")?, stage("dropped")?), (40.0, 4.0, 36.0));
    assert_eq!(scrape.get("aurora_events_published_total")?, 4.0);
    Ok(())
}

#[tokio::test]
async fn another_device_another_window_or_a_reading_is_another_event() -> Result<()> {
    let site = Site::plan().without_nats().set("dedup.window", "1s").start().await?;
    let reading = r#"{"sensor":"pressure","unit":"kPa","value":7.5}"#;
    site.publish(DOOR, 1, [alert("low", 0)]).await?;
    site.publish("aurora/sensors/door_2/alerts", 1, [alert("low", 0)]).await?;
    site.publish("aurora/sensors/door_1/telemetry", 1, [reading; 5]).await?;
    // Two alerts and the readings, which repeat by nature.
    site.series_of("aurora_events_published_total", 7.0).await?;
    // The window is the time of Redis, so it is over when Redis says so.
    let mut again = 0.0;
    site.wait_until("the end of the window", async || {
        site.publish(DOOR, 1, [alert("low", 0)]).await?;
        again += 1.0;
        let published = site.scrape().await?.get("aurora_events_published_total")?;
        anyhow::ensure!(published >= 8.0, "{published}");
        Ok(())
    })
    .await?;
    // Each of them was published or counted, and no other one was.
    site.wait_until("every alert to be decided", async || {
        let scrape = site.scrape().await?;
        let published = scrape.get("aurora_events_published_total")?;
        let suppressed = scrape.get("aurora_stage_dropped_total{stage=\"dedup\"}")?;
        anyhow::ensure!(published + suppressed == 7.0 + again, "{published} and {suppressed} of {again} repeats");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_source_may_be_left_out() -> Result<()> {
    let plan = Site::plan().without_nats().set("dedup.except", vec!["loft"]);
    let plan = plan.subscribe("loft/in", 1, "json", "loft").subscribe("attic/in", 1, "json", "attic");
    let site = plan.start().await?;
    let same = json!({"severity": "low", "title": "same"}).to_string();
    site.publish("loft/in", 1, vec![same.clone(); 5]).await?;
    site.publish("attic/in", 1, vec![same; 5]).await?;
    site.series_of("aurora_stage_dropped_total{stage=\"dedup\"}", 4.0).await?;
    assert_eq!(site.series_of("aurora_events_published_total", 6.0).await?, 6.0);
    Ok(())
}

#[tokio::test]
async fn hosts_of_one_site_share_the_window() -> Result<()> {
    // A second daemon on the same Redis, as a second collector would be.
    let site = Site::plan().without_nats().start().await?;
    site.publish(DOOR, 1, [alert("low", 1)]).await?;
    site.stream_of("aurora:cps:alerts", 1).await?;
    let mut other = Site::plan().without_nats().set("redis.url", site.redis.url()).brokers().await?;
    other.set("mqtt.client_id", "second-host");
    other.start_daemon().await?;
    other.publish(DOOR, 1, [alert("low", 1), alert("low", 2)]).await?;
    other.series_of("aurora_stage_dropped_total{stage=\"dedup\"}", 1.0).await?;
    assert_eq!(site.stream_of("aurora:cps:alerts", 2).await?.len(), 2);
    Ok(())
}
