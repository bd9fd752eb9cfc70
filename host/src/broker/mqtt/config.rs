use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

/// `[mqtt]`: where raw events come from. Without this section the host takes none from MQTT.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `mqtt://host[:1883]` or `mqtts://host[:8883]`. Required.
    pub url: String,
    /// MQTT version: `"5"` or `"3.1.1"`.
    pub version: Version,
    /// Client id, unique at the broker. The persistent session lives under it, so two hosts must not share one.
    pub client_id: String,
    /// User name, if the broker wants one.
    pub username: Option<String>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// Certificate authority, PEM. With `mqtts://` and no `ca` the system's own are trusted.
    pub ca: Option<PathBuf>,
    /// Client certificate chain, PEM. Mutual TLS needs all of `ca`, `cert` and `key`.
    pub cert: Option<PathBuf>,
    /// Client private key, PEM.
    pub key: Option<PathBuf>,
    /// Interval of keep-alive pings. At least one second.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// How long the broker keeps the session while we are away (MQTT 5; with 3.1.1 the broker decides).
    #[serde(with = "humantime_serde")]
    pub session_expiry: Duration,
    /// Ceiling of the back-off between attempts to connect.
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
    /// Deliveries taken and not yet acknowledged, 1 to 65,535. At the limit we stop reading and the broker holds.
    pub max_in_flight: u16,
    /// Payload bytes taken and not yet acknowledged. At the limit we stop reading and the broker holds. Of a single
    /// message that is longer the beginning is kept, for its dead letter.
    pub max_in_flight_bytes: ByteSize,
    /// Larger payloads become dead letters.
    pub max_payload: ByteSize,
    /// What to subscribe to.
    pub subscriptions: Vec<Subscription>,
}

/// `[[mqtt.subscriptions]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Topic filter. Device id and channel come from topics of the form `aurora/<kind>/<device id>/<channel>`.
    pub topic: String,
    /// Quality of service: 0, 1 or 2.
    pub qos: u8,
    /// Format that the payloads are declared to have.
    #[serde(default = "mqtt")]
    pub format: String,
    /// Name of the origin.
    #[serde(default = "mqtt")]
    pub source: String,
}

fn mqtt() -> String {
    "mqtt".to_owned()
}

/// MQTT version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Version {
    /// MQTT 3.1.1 (OASIS, 2014).
    #[serde(rename = "3.1.1")]
    V3_1_1,
    /// MQTT 5.0 (OASIS, 2019).
    #[default]
    #[serde(rename = "5")]
    V5,
}

impl Default for Config {
    fn default() -> Self {
        let subscribe =
            |topic: &str, qos| Subscription { topic: topic.to_owned(), qos, format: mqtt(), source: mqtt() };
        Self {
            url: String::new(),
            version: Version::default(),
            client_id: "aurora-rust-core".to_owned(),
            username: None,
            password_file: None,
            ca: None,
            cert: None,
            key: None,
            keep_alive: Duration::from_secs(30),
            session_expiry: Duration::from_secs(7 * 24 * 3600),
            reconnect_max: Duration::from_secs(5),
            max_in_flight: 4096,
            max_in_flight_bytes: ByteSize::mib(64),
            max_payload: ByteSize::mib(1),
            subscriptions: vec![
                subscribe("aurora/sensors/+/alerts", 2),
                subscribe("aurora/sensors/+/status", 1),
                subscribe("aurora/sensors/+/telemetry", 1),
                subscribe("aurora/attestation/+/response", 2),
            ],
        }
    }
}
