//! What the demo plays: one message of each kind that a site sees, and two that nobody should ever see.

use chrono::{DateTime, Local, SecondsFormat, Utc};

/// A message of the demo.
#[derive(Debug)]
pub struct Sample {
    /// What it is, for a person.
    pub name: &'static str,
    /// Where it is published.
    pub topic: &'static str,
    /// At which quality of service.
    pub qos: u8,
    /// The payload with places for what differs from time to time; see [`Sample::payload`].
    template: &'static str,
    /// Whether it is meant to end as a dead letter.
    pub bad: bool,
}

/// All of them, in the order in which they are played.
pub const SAMPLES: [Sample; 13] = [
    device("device alert", "aurora/sensors/stm32_pac_01/alerts", 2, include_str!("samples/device-alert.json")),
    device("device status", "aurora/sensors/esp32s3_gw_01/status", 1, include_str!("samples/device-status.json")),
    device("telemetry", "aurora/sensors/esp32c3_env_01/telemetry", 1, include_str!("samples/device-telemetry.json")),
    device(
        "attestation",
        "aurora/attestation/nrf_usb_sentinel_01/response",
        2,
        include_str!("samples/attestation-response.json"),
    ),
    collected("Suricata EVE", "collectors/suricata", include_str!("samples/suricata-alert.json")),
    collected("Zeek notice", "collectors/zeek", include_str!("samples/zeek-notice.json")),
    collected("Windows Sysmon", "collectors/windows", include_str!("samples/windows-sysmon.json")),
    collected("CEF", "collectors/cef", include_str!("samples/firewall.cef")),
    collected("LEEF", "collectors/leef", include_str!("samples/identity.leef")),
    collected("syslog RFC 3164", "collectors/syslog", include_str!("samples/sshd.syslog")),
    collected("syslog RFC 5424", "collectors/syslog", include_str!("samples/plc.syslog5424")),
    bad("cut short", "aurora/sensors/stm32_pac_01/alerts", include_str!("samples/cut-short.json")),
    bad("wrong device id", "aurora/sensors/tank 9/alerts", include_str!("samples/wrong-device.json")),
];

/// What collectors publish to and the daemon subscribes to: topic, format, name of the origin.
pub const COLLECTORS: [(&str, &str, &str); 6] = [
    ("collectors/suricata", "json", "suricata"),
    ("collectors/zeek", "json", "zeek"),
    ("collectors/windows", "json", "windows"),
    ("collectors/cef", "cef", "edge-firewall"),
    ("collectors/leef", "leef", "identity-gate"),
    ("collectors/syslog", "syslog", "syslog"),
];

const fn device(name: &'static str, topic: &'static str, qos: u8, template: &'static str) -> Sample {
    Sample { name, topic, qos, template, bad: false }
}

const fn collected(name: &'static str, topic: &'static str, template: &'static str) -> Sample {
    Sample { name, topic, qos: 1, template, bad: false }
}

const fn bad(name: &'static str, topic: &'static str, template: &'static str) -> Sample {
    Sample { name, topic, qos: 2, template, bad: true }
}

impl Sample {
    /// The bytes to publish: with the time in the source's own spelling, and a token by which the event is known
    /// again wherever it comes out.
    #[must_use]
    pub fn payload(&self, token: Token, now: DateTime<Utc>) -> String {
        self.template
            .trim_end()
            .replace("{now}", &now.to_rfc3339_opts(SecondsFormat::Millis, true))
            .replace("{now_ms}", &now.timestamp_millis().to_string())
            .replace("{syslog_now}", &now.with_timezone(&Local).format("%b %e %H:%M:%S").to_string())
            .replace("{token}", &token.to_string())
    }
}

/// Number of a message, written so that it is found in any text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u32);

const PREFIX: &[u8] = b"demo-";
const DIGITS: usize = 8;

impl Token {
    /// The first token in `bytes`.
    #[must_use]
    pub fn find(bytes: &[u8]) -> Option<Self> {
        memchr::memmem::find_iter(bytes, PREFIX).find_map(|at| {
            let digits = bytes.get(at + PREFIX.len()..at + PREFIX.len() + DIGITS)?;
            str::from_utf8(digits).ok()?.parse().ok().map(Self)
        })
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "demo-{:0DIGITS$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_carries_its_token_and_no_open_place() {
        for (number, sample) in SAMPLES.iter().enumerate() {
            let token = Token(number as u32);
            let payload = sample.payload(token, Utc::now());
            assert_eq!(Token::find(payload.as_bytes()), Some(token), "{}", sample.name);
            for place in ["{now}", "{now_ms}", "{syslog_now}", "{token}"] {
                assert!(!payload.contains(place), "{}: {place}", sample.name);
            }
        }
    }

    #[test]
    fn good_json_samples_are_json_and_the_cut_one_is_not() {
        for sample in SAMPLES.iter().filter(|sample| sample.template.starts_with('{')) {
            let payload = sample.payload(Token(1), Utc::now());
            let parsed = serde_json::from_str::<serde_json::Value>(&payload);
            assert_eq!(parsed.is_ok(), sample.name != "cut short", "{}", sample.name);
        }
    }

    #[test]
    fn every_collector_topic_is_subscribed_to() {
        for sample in SAMPLES.iter().filter(|sample| sample.topic.starts_with("collectors/")) {
            assert!(COLLECTORS.iter().any(|(topic, ..)| *topic == sample.topic), "{}", sample.topic);
        }
    }

    #[test]
    fn a_token_is_found_behind_something_that_only_looks_like_one() {
        assert_eq!(Token::find(b"demo-agent/1.0 demo-00000012"), Some(Token(12)));
        assert_eq!(Token::find(b"demo-1234"), None);
    }
}
