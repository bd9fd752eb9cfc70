use std::collections::BTreeMap;

use anyhow::Result;
use harness::{PATIENCE, Site};

use super::{alert, assert_exactly_once, number};

#[tokio::test]
async fn events_of_a_device_stay_in_order_over_many_lanes() -> Result<()> {
    const DEVICES: u32 = 16;
    const EACH: u32 = 250;
    let site = Site::plan().without_nats().set("lanes.count", 4).set("lanes.batch", 32).start().await?;
    let mut publisher = site.publisher("devices");
    for number in 0..DEVICES * EACH {
        let topic = format!("aurora/sensors/device_{}/alerts", number % DEVICES);
        publisher.publish(&topic, 1, alert("low", number)).await?;
    }
    publisher.acknowledged(PATIENCE).await?;
    let entries = site.stream_of("aurora:cps:alerts", (DEVICES * EACH) as usize).await?;
    assert_exactly_once(&entries, DEVICES * EACH);
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    for entry in &entries {
        let device = entry.data()["device_id"].to_string();
        let number = number(entry);
        if let Some(before) = last.insert(device.clone(), number) {
            assert!(before < number, "{device}: {number} after {before}");
        }
    }
    assert_eq!(last.len(), DEVICES as usize);
    Ok(())
}

#[tokio::test]
async fn a_lane_that_lingers_gathers_larger_batches() -> Result<()> {
    let site = Site::plan().without_nats().set("lanes.count", 1).set("lanes.linger", "100ms").start().await?;
    let mut publisher = site.publisher("device");
    for number in 0..50 {
        publisher.publish("aurora/sensors/door_1/alerts", 1, alert("low", number)).await?;
        publisher.acknowledged(PATIENCE).await?;
    }
    assert_exactly_once(&site.stream_of("aurora:cps:alerts", 50).await?, 50);
    let batches = site.scrape().await?.get("aurora_stage_batch_events_count{stage=\"normalize\"}")?;
    assert!(batches < 50.0, "{batches} batches of 50 events");
    Ok(())
}
