use std::time::Duration;

use serde::Deserialize;

use super::findings::Findings;

/// `[guests.<stage>.probation]`: what a guest that has just taken another one's place may do before it is taken back.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probation {
    /// It lasts for so many events. 0: a guest is never taken back.
    pub events: u64,
    /// And at most so long.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
    /// Most part of its events that may be at fault, 0 to 1. Counted over at least as many events as the breaker looks
    /// back at, so that a few poison events condemn nobody.
    pub faults: f64,
    /// How many times the CPU time of the guest before it may take for an event, in batches of the same size.
    pub slower: f64,
    /// Whether the guest before takes its place again. By default it does for normalize and route, and does not for
    /// federate and inbound: an older policy may share, or let in, what the new one was written to keep out.
    pub roll_back: Option<bool>,
}

impl Default for Probation {
    fn default() -> Self {
        Self { events: 10_000, time: Duration::from_secs(600), faults: 0.01, slower: 4.0, roll_back: None }
    }
}

impl Probation {
    pub(super) fn validate(&self, section: &str, findings: &mut Findings) {
        let key = |name: &str| format!("{section}.probation.{name}");
        findings.range(&key("events"), self.events, (0, 1_000_000_000), ("0", "1000000000"));
        let times = (Duration::from_secs(1), Duration::from_secs(7 * 86_400));
        findings.range(&key("time"), self.time, times, ("\"1s\"", "\"7d\""));
        // Written so that a NaN is a problem as well.
        if !(self.faults >= 0.0 && self.faults <= 1.0) {
            findings.problem(key("faults"), "is out of range", "choose 0 to 1");
        }
        if !(self.slower >= 1.0 && self.slower <= 1000.0) {
            findings.problem(key("slower"), "is out of range", "choose 1 to 1000");
        }
    }
}
