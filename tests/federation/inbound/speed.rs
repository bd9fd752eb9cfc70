//! How long it takes from what one site sees to what it raises at another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::{PATIENCE, Site};
use serde_json::json;

use super::{south, taking_in};

const ROUNDS: u32 = 40;

/// Has something critical or of little interest happen that has to do with `address`.
async fn happen(site: &Site, severity: &str, address: &str, number: u32) -> Result<()> {
    let event = json!({ "severity": severity, "title": format!("{severity} {number}"), "dest_ip": address });
    site.publish("aurora/sensors/door_1/alerts", 1, [event.to_string()]).await
}

#[tokio::test]
async fn from_an_indicator_at_one_site_to_the_raised_event_at_another_it_takes_less_than_a_second() -> Result<()> {
    let south = south().set("intel.ttl", "30d").start().await?;
    let nats = south.nats.as_ref().context("no NATS")?.url();
    let north = taking_in("north").without_nats().set("nats.url", nats).start().await?;
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let address = format!("45.155.204.{}", 10 + round);
        let began = Instant::now();
        happen(&north, "critical", &address, round).await?;
        for number in 0.. {
            // One that is raised is this one: events that are equal would be one.
            happen(&south, "low", &address, 1000 * round + number).await?;
            let stored = south.stream_of("aurora:cps:alerts", 1).await?;
            let is_raised = |entry: &harness::Entry| {
                let data = entry.data();
                data["severity"] == "high" && data["fields"]["intel.match"] == format!("ip:{address}")
            };
            if let Some(raised) = stored.iter().rev().find(|entry| is_raised(entry)) {
                took.push(began.elapsed());
                assert_eq!(raised.data()["fields"]["intel.sources"], "north");
                assert_eq!(raised.text("origin"), "");
                break;
            }
            ensure!(began.elapsed() < PATIENCE, "{address} raises nothing");
        }
    }
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!("indicator at north to raised event at south: median {median:?}, worst {worst:?} of {ROUNDS}");
    assert!(median < Duration::from_secs(1), "median {median:?}");
    Ok(())
}
