use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use crate::config::{findings::Findings, urls};

/// Packet ids come round after 65,535 deliveries. Redis remembers half of that, so that a delivery is never taken for one
/// that had the id a round before; and we take no more than half of what it remembers before we acknowledge.
const MOST_IN_FLIGHT: u16 = 16_384;

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
    /// Deliveries taken and not yet acknowledged, 1 to 16,384. At the limit we stop reading and the broker holds.
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
#[serde(deny_unknown_fields, default)]
pub struct Subscription {
    /// Topic filter. Required. Device id and channel come from topics of the form
    /// `aurora/<kind>/<device id>/<channel>`.
    pub topic: String,
    /// Quality of service: 0, 1 or 2. 1 unless set. We know repeats by ourselves, so 2 adds nothing to 1; but its
    /// handshake ends after those of later messages with 1, and mosquitto before 2.0.13 then loses order and count.
    pub qos: u8,
    /// Format that the payloads are declared to have.
    pub format: String,
    /// Name of the origin.
    pub source: String,
}

impl Default for Subscription {
    fn default() -> Self {
        Self { topic: String::new(), qos: 1, format: "mqtt".to_owned(), source: "mqtt".to_owned() }
    }
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
        let subscribe = |topic: &str| Subscription { topic: topic.to_owned(), ..Subscription::default() };
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
                subscribe("aurora/sensors/+/alerts"),
                subscribe("aurora/sensors/+/status"),
                subscribe("aurora/sensors/+/telemetry"),
                subscribe("aurora/attestation/+/response"),
            ],
        }
    }
}

impl Config {
    pub(crate) fn validate(&self, findings: &mut Findings) {
        let url = urls::check(findings, "mqtt.url", &self.url, ["mqtt", "mqtts"]);
        if let Some(url) = &url {
            if !url.username().is_empty() || url.password().is_some() {
                let remedy = "set `mqtt.username` and `mqtt.password_file` instead";
                findings.problem("mqtt.url", "holds a user name or a password", remedy);
            }
            if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
                findings.problem("mqtt.url", "goes on behind the host and port", "leave the rest out");
            }
        }
        self.validate_tls(url.is_some_and(|url| url.scheme() == "mqtt"), findings);
        if self.client_id.is_empty() || self.client_id.len() > 65_535 || self.client_id.contains(char::is_control) {
            let what = "is empty, too long, or holds control characters";
            findings.problem("mqtt.client_id", what, "choose a name that no other client of the broker has");
        }
        if self.password_file.is_some() && !findings.given("mqtt.username", self.username.is_some()) {
            findings.problem("mqtt.password_file", "is set without `mqtt.username`", "set both or none");
        }
        let seconds = Duration::from_secs;
        findings.range("mqtt.keep_alive", self.keep_alive, (seconds(1), seconds(65_535)), ("\"1s\"", "\"65535s\""));
        // A session that ends with the connection would lose what comes while we are away.
        let expiries = (seconds(1), seconds(u32::MAX.into()));
        findings.range("mqtt.session_expiry", self.session_expiry, expiries, ("\"1s\"", "\"4294967295s\""));
        let waits = (Duration::from_millis(100), seconds(3600));
        findings.range("mqtt.reconnect_max", self.reconnect_max, waits, ("\"100ms\"", "\"1h\""));
        findings.range("mqtt.max_in_flight", self.max_in_flight, (1, MOST_IN_FLIGHT), ("1", "16384"));
        let windows = (ByteSize::kib(1), ByteSize::gib(4));
        findings.range("mqtt.max_in_flight_bytes", self.max_in_flight_bytes, windows, ("\"1KiB\"", "\"4GiB\""));
        // 256 MiB is the largest packet of MQTT.
        let sizes = (ByteSize::b(1), ByteSize::mib(256));
        findings.range("mqtt.max_payload", self.max_payload, sizes, ("1 byte", "\"256MiB\""));
        self.validate_subscriptions(findings);
    }

    fn validate_tls(&self, plain: bool, findings: &mut Findings) {
        let settings = [("mqtt.ca", &self.ca), ("mqtt.cert", &self.cert), ("mqtt.key", &self.key)]
            .map(|(key, path)| (key, findings.given(key, path.is_some())));
        let list = |wanted: bool| {
            let keys: Vec<_> =
                settings.iter().filter(|(_, is)| *is == wanted).map(|(key, _)| format!("`{key}`")).collect();
            keys.join(" and ")
        };
        let [_, (_, cert), (_, key)] = settings;
        let first = settings.iter().find(|(_, is_set)| *is_set);
        if (cert || key) && settings.iter().any(|(_, is_set)| !is_set) {
            let what = format!("mutual TLS is set in part: {} without {}", list(true), list(false));
            let at = if cert { "mqtt.cert" } else { "mqtt.key" };
            findings.problem(at, what, format!("set {} as well, or remove {}", list(false), list(true)));
        }
        if let (Some((at, _)), true) = (first, plain) {
            findings.problem(*at, "is set, but `mqtt.url` says mqtt://, which is not encrypted", "write mqtts://");
        }
    }

    fn validate_subscriptions(&self, findings: &mut Findings) {
        if self.subscriptions.is_empty() {
            let remedy = "add one, or leave the key out for the four usual ones";
            findings.problem("mqtt.subscriptions", "is empty, so no event would come", remedy);
        }
        for (index, subscription) in self.subscriptions.iter().enumerate() {
            let key = |name: &str| format!("mqtt.subscriptions[{index}].{name}");
            let topic = &subscription.topic;
            if let Err(what) = check_filter(topic) {
                let remedy = "`+` stands for one whole level, `#` for all the rest and only at the end";
                findings.problem(key("topic"), what, remedy);
            } else if let Some(other) = self.subscriptions[..index].iter().find(|other| overlap(&other.topic, topic)) {
                let what = match other.topic == *topic {
                    true => format!("{topic:?} is subscribed to twice"),
                    false => format!("{topic:?} overlaps with {:?}, so some events would come twice", other.topic),
                };
                findings.problem(key("topic"), what, "remove one of them");
            }
            if subscription.qos > 2 {
                findings.problem(
                    key("qos"),
                    format!("{} is no quality of service", subscription.qos),
                    "choose 0, 1 or 2",
                );
            }
            for (name, value) in [("format", &subscription.format), ("source", &subscription.source)] {
                if value.is_empty() || value.len() > 64 || value.contains(|c: char| c.is_control() || c.is_whitespace())
                {
                    let remedy = "choose a word of at most 64 characters";
                    findings.problem(key(name), "is empty, too long, or holds spaces", remedy);
                }
            }
        }
    }
}

/// The filter of a shared subscription `$share/<group>/<filter>`, else the filter itself.
fn unshared(filter: &str) -> &str {
    filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(filter, |(_, filter)| filter)
}

/// The rules of MQTT 5, 4.7 and 4.8.2.
pub(crate) fn check_filter(filter: &str) -> Result<(), String> {
    if filter.is_empty() {
        return Err("is missing or empty".to_owned());
    }
    if filter.len() > 65_535 || filter.contains('\0') {
        return Err("is longer than 65,535 bytes, or holds U+0000".to_owned());
    }
    if let Some(rest) = filter.strip_prefix("$share/") {
        let (group, of) = rest.split_once('/').unwrap_or((rest, ""));
        if group.is_empty() || group.contains(['+', '#']) || of.is_empty() {
            return Err(format!("{filter:?} is no shared subscription, which is $share/<group>/<filter>"));
        }
    }
    let mut levels = unshared(filter).split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(format!("{filter:?} has a `#` that is not the whole last level"));
        }
        if level.contains('+') && level != "+" {
            return Err(format!("{filter:?} has a `+` that is not a whole level"));
        }
    }
    Ok(())
}

/// Whether a topic can match both filters.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (a, b) = (unshared(a), unshared(b));
    // Wildcards do not reach into `$SYS` and its like.
    if a.starts_with('$') != b.starts_with('$') {
        return false;
    }
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(x), Some(y)) if x == "+" || y == "+" || x == y => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_whole_levels() {
        for filter in ["a", "a/+/b", "+", "#", "a/#", "/", "a//b", "$share/g/a/#", "$SYS/+/x"] {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
        for filter in
            ["", "a/#/b", "a#", "a/b+", "+a/b", "##", "$share/g", "$share/g/", "$share//a", "$share/+/a", "a\0b"]
        {
            assert!(check_filter(filter).is_err(), "{filter}");
        }
    }

    #[test]
    fn filters_overlap_where_one_topic_matches_both() {
        for (a, b) in [("a/+", "a/b"), ("a/#", "a"), ("#", "a/b"), ("+/b", "a/+"), ("$share/g/a", "a")] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [("a/+", "a"), ("a/+/c", "a/b"), ("a/b", "a/c"), ("#", "$SYS/x"), ("+/b", "a/c")] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }
}
