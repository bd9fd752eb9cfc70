//! The session against a real mosquitto, a proxy that cuts, and a broker that misbehaves on purpose.

mod mosquitto;
mod proxy;
mod lanes;
mod publisher;

mod simulation;
mod delivery;
mod faults;
mod hostile;
mod secured;

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use super::{Config, Subscription, Version};

const BOTH: [Version; 2] = [Version::V3_1_1, Version::V5];

/// Looks until `look` finds something; fails with what it saw last.
async fn wait_until<T, S: Debug>(mut look: impl FnMut() -> Result<T, S>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "gave up waiting; last seen: {seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A configuration for the broker on `port`: one subscription to `aurora/sensors/+/alerts`.
fn config(port: u16, version: Version, qos: u8) -> Config {
    Config {
        url: format!("mqtt://127.0.0.1:{port}"),
        version,
        client_id: "host".to_owned(),
        reconnect_max: Duration::from_millis(200),
        subscriptions: vec![Subscription {
            topic: "aurora/sensors/+/alerts".to_owned(),
            qos,
            format: "json".to_owned(),
            source: "devices".to_owned(),
        }],
        ..Config::default()
    }
}
