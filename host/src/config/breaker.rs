use std::time::Duration;

use serde::Deserialize;

use super::findings::Findings;
use crate::telemetry::Stage;

/// `[guests.<stage>.breaker]`: when a guest that keeps failing is no longer called.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// It opens when this part of the last `window` events was at fault, above 0 to 1. Without a last good guest that
    /// part is all of them.
    pub ratio: f64,
    /// Number of events that are looked back at, 16 to 65,536.
    pub window: usize,
    /// A guest is hurried when its failed calls have taken this part of the last `wasted_within` of a lane, above 0 to 1;
    /// where the last good guest can stand in, its breaker opens instead.
    pub wasted: f64,
    /// How long is looked back for that.
    #[serde(with = "humantime_serde")]
    pub wasted_within: Duration,
    /// How long it stays open before the guest is tried on one batch. Doubles with each trial that fails.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// Longest wait.
    #[serde(with = "humantime_serde")]
    pub wait_max: Duration,
    /// Batches, with at most one fault in a hundred events, after which a guest is a good one: the last good one, once
    /// another takes its place.
    pub proven: u32,
    /// Whether the last good guest decides while it is open. By default it does for normalize and route, and does not
    /// for federate and inbound: an older policy may share, or let in, what the new one was written to keep out.
    pub last_good: Option<bool>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            ratio: 0.5,
            window: 256,
            // Two seconds of ten: about as long as whoever sends over HTTP, or another stage's events, may be made to wait.
            wasted: 0.2,
            // With the usual deadline that is room for some five poison events at once, each searched for at full length.
            wasted_within: Duration::from_secs(10),
            wait: Duration::from_secs(5),
            wait_max: Duration::from_secs(300),
            proven: 100,
            last_good: None,
        }
    }
}

impl Breaker {
    /// Whether the last good guest of `stage` may stand in for its present one.
    pub(crate) fn may_stand_in(&self, stage: Stage) -> bool {
        self.last_good.unwrap_or(!matches!(stage, Stage::Federate | Stage::Inbound))
    }

    pub(super) fn validate(&self, section: &str, findings: &mut Findings) {
        let key = |name: &str| format!("{section}.breaker.{name}");
        // Written so that a NaN is a problem as well.
        if !(self.ratio > 0.0 && self.ratio <= 1.0) {
            findings.problem(key("ratio"), "is out of range", "choose more than 0, up to 1");
        }
        findings.range(&key("window"), self.window, (16, 1 << 16), ("16", "65536"));
        if !(self.wasted > 0.0 && self.wasted <= 1.0) {
            findings.problem(key("wasted"), "is out of range", "choose more than 0, up to 1");
        }
        let whiles = (Duration::from_secs(1), Duration::from_secs(600));
        findings.range(&key("wasted_within"), self.wasted_within, whiles, ("\"1s\"", "\"10m\""));
        let waits = (Duration::from_millis(10), Duration::from_secs(86_400));
        findings.range(&key("wait"), self.wait, waits, ("\"10ms\"", "\"24h\""));
        findings.range(&key("wait_max"), self.wait_max, waits, ("\"10ms\"", "\"24h\""));
        if self.wait_max < self.wait {
            findings.problem(key("wait_max"), "is shorter than `wait`", "choose at least as much");
        }
        findings.range(&key("proven"), self.proven, (1, 1_000_000), ("1", "1000000"));
    }
}
