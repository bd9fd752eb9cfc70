use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{Form, hex};
use crate::{broker::mqtt, config::findings::Findings};

/// `[attestation]`: devices prove what they are. Without this section no device is asked, and an answer is judged by its
/// form alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// File of enrolled devices, TOML. Read again when it changes. Without it those in Redis are all.
    pub devices: Option<PathBuf>,
    /// How the parts of an answer become the message that is signed; a device may have its own.
    pub message: Form,
    /// How often each device is asked. `0s`: only when somebody wants it.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// How long a device may take to answer. Longer than a restart of ours takes, for an answer that waits for us in the
    /// broker grows old.
    #[serde(with = "humantime_serde")]
    pub answer_within: Duration,
    /// SHA-256 of each firmware that devices may run which have no list of their own. Empty: any.
    pub firmware: Vec<String>,
    /// Whether only the lower of the two possible `s` of a signature is taken.
    pub require_low_s: bool,
    /// Whether a device has failed that does not answer although it is online, or that is enrolled, was never heard of,
    /// and does not answer. If not it is only counted.
    pub unanswered_fails: bool,
    /// Of the failures of a device that have the same cause one is told in so long, and the others are counted. `0s`: each
    /// is told.
    #[serde(with = "humantime_serde")]
    pub repeat_window: Duration,
    /// Whether an enrolled device that falls silent raises an alert, and one that is back an event: once, by one host of
    /// the site. One that was never heard of falls silent `stale` after it was first seen to be enrolled.
    pub offline_alerts: bool,
    /// Most devices that nobody enrolled of which it is remembered when they were heard of; of more those that were silent
    /// longest are forgotten.
    pub strangers: usize,
    /// Topic of challenges; `{device}` stands for the device id.
    pub request_topic: String,
    /// A device is online for so long after a heartbeat,
    #[serde(with = "humantime_serde")]
    pub online: Duration,
    /// and then stale, for so long after it; then it is offline.
    #[serde(with = "humantime_serde")]
    pub stale: Duration,
}

/// What stands for the device id in `request_topic`.
const DEVICE: &str = "{device}";

impl Default for Config {
    fn default() -> Self {
        Self {
            devices: None,
            message: Form::Delimited,
            interval: Duration::from_hours(1),
            answer_within: Duration::from_mins(5),
            firmware: Vec::new(),
            require_low_s: false,
            unanswered_fails: true,
            repeat_window: Duration::from_mins(1),
            offline_alerts: true,
            strangers: 1000,
            request_topic: format!("aurora/attestation/{DEVICE}/request"),
            online: Duration::from_mins(10),
            stale: Duration::from_mins(60),
        }
    }
}

impl Config {
    /// Topic of challenges to `device`.
    #[must_use]
    pub fn topic(&self, device: &str) -> String {
        self.request_topic.replace(DEVICE, device)
    }

    pub(crate) fn validate(&self, mqtt: Option<&mqtt::Config>, findings: &mut Findings) {
        let minutes = Duration::from_mins;
        let times = (Duration::from_secs(1), minutes(60 * 24));
        findings.range("attestation.answer_within", self.answer_within, times, ("\"1s\"", "\"24h\""));
        let window = (Duration::ZERO, minutes(60 * 24));
        findings.range("attestation.repeat_window", self.repeat_window, window, ("\"0s\"", "\"24h\""));
        if !self.interval.is_zero() && self.interval < self.answer_within {
            let what = "is shorter than `attestation.answer_within`, so challenges would pile up";
            findings.problem("attestation.interval", what, "make it longer, or \"0s\" to ask only on demand");
        }
        if self.online.is_zero() || self.stale < self.online {
            let what = "is shorter than `attestation.online`, or that is 0";
            findings.problem("attestation.stale", what, "a device is online first, then stale, then offline");
        }
        for hash in &self.firmware {
            if hex::sha256(hash).is_none() {
                let what = format!("{hash:?} is not 64 hexadecimal digits");
                findings.problem(
                    "attestation.firmware",
                    what,
                    "write the SHA-256 of the image, as sha256sum prints it",
                );
            }
        }
        let topic = &self.request_topic;
        if topic.matches(DEVICE).count() != 1 || topic.contains(['+', '#', '\0']) || topic.len() > 512 {
            let remedy = "write it like \"aurora/attestation/{device}/request\"";
            findings.problem("attestation.request_topic", "has no single {device}, or a wildcard", remedy);
        }
        let answers = "aurora/attestation/device/response";
        match mqtt {
            None if !findings.is_misfit("mqtt") => {
                let remedy = "add a [mqtt] section, or leave [attestation] out";
                findings.problem("attestation", "is set without [mqtt], over which devices are asked", remedy);
            }
            Some(mqtt) if !mqtt.subscriptions.iter().any(|subscription| takes(&subscription.topic, answers)) => {
                let what = format!("devices are asked, but no subscription of [mqtt] takes their answers ({answers})");
                findings.problem("attestation", what, "subscribe to aurora/attestation/+/response");
            }
            _ => {}
        }
    }
}

fn takes(filter: &str, topic: &str) -> bool {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    mqtt::topic_matches(shared.map_or(filter, |(_, filter)| filter), topic)
}
