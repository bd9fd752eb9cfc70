//! Which events are one event: the window, and the key under which the commit looks an event up.

use std::time::Duration;

use serde::Deserialize;

use super::{decided::DecidedEvent, identity::Fingerprint};
use crate::{config::findings::Findings, intel, sandbox::Kind};

/// `[dedup]`: events of equal content within a window are one event. Kept in Redis, so that several hosts share it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The window; `0s` turns it off.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Kinds of events that it concerns. Status and telemetry repeat by nature.
    pub kinds: Vec<EventKind>,
    /// Sources whose events repeat by nature.
    pub except: Vec<String>,
}

/// A [`Kind`] as the configuration spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// An alert.
    Alert,
    /// A heartbeat.
    Status,
    /// A reading.
    Telemetry,
    /// The answer of a device to a challenge.
    Attestation,
}

impl EventKind {
    /// Whether it is this one.
    pub(crate) fn is(self, kind: Kind) -> bool {
        match self {
            Self::Alert => kind == Kind::Alert,
            Self::Status => kind == Kind::Status,
            Self::Telemetry => kind == Kind::Telemetry,
            Self::Attestation => kind == Kind::Attestation,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { window: Duration::from_mins(5), kinds: vec![EventKind::Alert], except: Vec::new() }
    }
}

impl Config {
    pub(crate) fn validate(&self, findings: &mut Findings) {
        let windows = (Duration::ZERO, Duration::from_hours(24));
        findings.range("dedup.window", self.window, windows, ("\"0s\" (off)", "\"24h\""));
    }

    /// Under what the event is one with others; none if it never is.
    #[must_use]
    pub fn key(&self, event: &DecidedEvent<'_>) -> Option<[u8; 16]> {
        let (source, kind) = (event.source(), event.event.kind());
        let concerned = self.kinds.iter().any(|&concerned| concerned.is(kind));
        // What another site says is not what happened here, and is known by another name.
        let is_foreign = event.origin.is_some();
        if self.window.is_zero() || is_foreign || !concerned || self.except.iter().any(|except| except == source) {
            return None;
        }
        let device = event.device_id().unwrap_or_default();
        let key = event.fingerprint.dedup_key(event.event.dedup_key(), source, device, kind.as_str(), event.position);
        // What matches says more than its equal before anybody told of it, which must not swallow it.
        let field = |wanted: &str| event.event.fields().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        let Some(matched) = field(intel::MATCH) else { return Some(key) };
        let raised = field(intel::RAISED).map_or("", |_| event.event.severity().as_str());
        Some(Fingerprint::matched_key(key, matched, raised))
    }
}
