use prometheus::{Counter, CounterVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{SlotName, metrics::register};
use crate::state::Usage;

/// What is counted of a guest that remembers.
#[derive(Clone, Debug)]
pub struct StateMetrics {
    slot: SlotName,
    operations: IntCounterVec,
    refused: IntCounterVec,
    /// Time spent waiting for it, seconds.
    pub seconds: Counter,
    /// Changes that a guest was told are made and that were not.
    pub lost: IntCounter,
    keys: IntGauge,
    bytes: IntGauge,
}

impl StateMetrics {
    /// Keys of answered questions, by `operation`: get, put, delete, increment.
    #[must_use]
    pub fn operations(&self, operation: &'static str) -> IntCounter {
        self.operations.with_label_values(&[self.slot.stage().as_str(), self.slot.as_str(), operation])
    }

    /// Keys of refused questions, by `reason`: unavailable, over-quota, invalid.
    #[must_use]
    pub fn refused(&self, reason: &'static str) -> IntCounter {
        self.refused.with_label_values(&[self.slot.stage().as_str(), self.slot.as_str(), reason])
    }

    /// Shows how full the table is.
    pub fn show(&self, usage: Usage) {
        let set = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.keys, usage.keys);
        set(&self.bytes, usage.bytes);
    }
}

/// Of all guests that remember.
#[derive(Clone, Debug)]
pub(super) struct StateVectors {
    operations: IntCounterVec,
    refused: IntCounterVec,
    seconds: CounterVec,
    lost: IntCounterVec,
    keys: IntGaugeVec,
    bytes: IntGaugeVec,
}

impl StateVectors {
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let of_guest = &["stage", "guest"];
        Self {
            operations: counters(
                "aurora_guest_state_operations_total",
                "Keys that the guest read or changed in its state",
                &["stage", "guest", "operation"],
            ),
            refused: counters(
                "aurora_guest_state_refused_total",
                "Keys that it was refused: unavailable, over-quota, invalid",
                &["stage", "guest", "reason"],
            ),
            seconds: register(
                registry,
                CounterVec::new(
                    Opts::new("aurora_guest_state_seconds_total", "Time spent waiting for state"),
                    of_guest,
                ),
            ),
            lost: counters(
                "aurora_guest_state_lost_total",
                "Changes of state that were promised to the guest and not made",
                of_guest,
            ),
            keys: gauges("aurora_guest_state_keys", "Keys in the state, when it was asked last", of_guest),
            bytes: gauges("aurora_guest_state_bytes", "Bytes of the state, when it was asked last", of_guest),
        }
    }

    pub(super) fn of(&self, slot: &SlotName) -> StateMetrics {
        let label = &[slot.stage().as_str(), slot.as_str()];
        StateMetrics {
            slot: slot.clone(),
            operations: self.operations.clone(),
            refused: self.refused.clone(),
            seconds: self.seconds.with_label_values(label),
            lost: self.lost.with_label_values(label),
            keys: self.keys.with_label_values(label),
            bytes: self.bytes.with_label_values(label),
        }
    }
}
