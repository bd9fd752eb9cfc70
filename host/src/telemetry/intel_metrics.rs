use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::metrics::register;
use crate::intel::What;

/// Shared indicators.
#[derive(Clone, Debug)]
pub struct IntelMetrics {
    /// How many there are in the table.
    pub indicators: IntGauge,
    /// Observables that were looked up, in Redis or in what is remembered of its answers.
    pub lookups: IntCounter,
    /// Questions that Redis was asked for lanes and guests.
    pub questions: IntCounter,
    /// Events that were not looked up, for Redis did not answer.
    pub not_looked_up: IntCounter,
    /// Events whose severity was raised.
    pub raised: IntCounter,
    /// Own sightings that could not be recorded.
    pub sightings_lost: IntCounter,
    matches: IntCounterVec,
    recorded: IntCounterVec,
    failures: IntCounterVec,
}

impl IntelMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        Self {
            indicators: register(registry, IntGauge::new("aurora_intel_indicators", "Shared indicators in the table")),
            lookups: counter("aurora_intel_lookups_total", "Observables looked up among shared indicators"),
            questions: counter("aurora_intel_questions_total", "Questions to Redis for them"),
            not_looked_up: counter(
                "aurora_intel_not_looked_up_total",
                "Events with observables that were not looked up, for Redis did not answer",
            ),
            raised: counter("aurora_intel_raised_total", "Events raised in severity by a shared indicator"),
            sightings_lost: counter(
                "aurora_intel_sightings_lost_total",
                "Matches at this site that could not be recorded in the table",
            ),
            matches: counters("aurora_intel_matches_total", "Observables that are shared indicators", &["type"]),
            recorded: counters(
                "aurora_intel_recorded_total",
                "What was told of indicators, and what became of it",
                &["what", "outcome"],
            ),
            failures: counters(
                "aurora_intel_failures_total",
                "Questions about shared indicators without an answer",
                &["operation"],
            ),
        }
    }

    /// Counts a match.
    pub fn matched(&self, kind: &'static str) {
        self.matches.with_label_values(&[kind]).inc();
    }

    /// Counts what was recorded.
    pub fn recorded(&self, what: What, outcome: &'static str) {
        let what = match what {
            What::Indicator => "indicator",
            What::Sighting => "sighting",
            What::Own => "own-sighting",
            What::Withdrawal => "withdrawal",
        };
        self.recorded.with_label_values(&[what, outcome]).inc();
    }

    /// Counts a question without an answer.
    pub fn failed(&self, operation: &'static str) {
        self.failures.with_label_values(&[operation]).inc();
    }
}
