use prometheus::{Counter, CounterVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{
    SlotName,
    metrics::register,
    state_metrics::{StateMetrics, StateVectors},
};

/// What the guest of one slot costs.
#[derive(Clone, Debug)]
pub struct GuestMetrics {
    /// Calls, the repeated ones of a search for a culprit included.
    pub calls: IntCounter,
    slot: SlotName,
    faults: IntCounterVec,
    changes: IntCounterVec,
    /// Time in calls, seconds.
    pub seconds: Counter,
    /// The part of it that was in calls that failed.
    pub wasted_seconds: Counter,
    /// Most linear memory that an instance has had, bytes.
    pub memory_high_water: IntGauge,
    /// Log lines beyond the limit, not written.
    pub log_lines_suppressed: IntCounter,
    /// Its breaker: 0 closed, 1 open, 2 half-open.
    pub breaker_state: IntGauge,
    /// How often its breaker opened.
    pub breaker_opened: IntCounter,
    /// Events that the last good guest decided in its place.
    pub last_good_events: IntCounter,
    state: StateVectors,
}

impl GuestMetrics {
    /// The guest's place.
    #[must_use]
    pub fn slot(&self) -> &SlotName {
        &self.slot
    }

    /// What is counted of what it remembers. For a guest that does: its series are there from here on.
    #[must_use]
    pub fn state(&self) -> StateMetrics {
        self.state.of(&self.slot)
    }

    /// Failed calls for `reason`, one of a closed set: trap, deadline, memory, output, garbage, failure.
    #[must_use]
    pub fn faults(&self, reason: &'static str) -> IntCounter {
        self.faults.with_label_values(&[self.slot.stage().as_str(), self.slot.as_str(), reason])
    }

    /// How often `what` befell the slot, one of a closed set: installed, refused, rolled-back, taken-back, ….
    #[must_use]
    pub fn changes(&self, what: &str) -> IntCounter {
        self.changes.with_label_values(&[self.slot.stage().as_str(), self.slot.as_str(), what])
    }
}

/// Of all guests.
#[derive(Clone, Debug)]
pub(super) struct GuestVectors {
    calls: IntCounterVec,
    faults: IntCounterVec,
    changes: IntCounterVec,
    seconds: CounterVec,
    wasted: CounterVec,
    memory: IntGaugeVec,
    suppressed: IntCounterVec,
    breaker: IntGaugeVec,
    opened: IntCounterVec,
    last_good: IntCounterVec,
    state: StateVectors,
}

impl GuestVectors {
    pub fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        // `guest` is the slot: as many as there are rules, and one for each stage.
        let of_guest = &["stage", "guest"];
        Self {
            calls: counters("aurora_guest_calls_total", "Calls of the guest", of_guest),
            faults: counters("aurora_guest_faults_total", "Calls that failed", &["stage", "guest", "reason"]),
            changes: counters("aurora_guest_changes_total", "What befell the slot", &["stage", "guest", "what"]),
            seconds: register(
                registry,
                CounterVec::new(Opts::new("aurora_guest_seconds_total", "Time spent in the guest"), of_guest),
            ),
            wasted: register(
                registry,
                CounterVec::new(
                    Opts::new("aurora_guest_wasted_seconds_total", "Time spent in calls that failed"),
                    of_guest,
                ),
            ),
            memory: gauges(
                "aurora_guest_memory_high_water_bytes",
                "Most linear memory of an instance so far",
                of_guest,
            ),
            suppressed: counters("aurora_guest_log_lines_suppressed_total", "Log lines over the limit", of_guest),
            breaker: gauges("aurora_guest_breaker_state", "Breaker: 0 closed, 1 open, 2 half-open", of_guest),
            opened: counters("aurora_guest_breaker_opened_total", "Times that the breaker opened", of_guest),
            last_good: counters(
                "aurora_guest_last_good_events_total",
                "Events that the last good guest decided in place of the present one",
                of_guest,
            ),
            state: StateVectors::new(registry),
        }
    }

    /// Those of one slot.
    pub fn of(&self, slot: SlotName) -> GuestMetrics {
        let label = &[slot.stage().as_str(), slot.as_str()];
        GuestMetrics {
            calls: self.calls.with_label_values(label),
            faults: self.faults.clone(),
            changes: self.changes.clone(),
            seconds: self.seconds.with_label_values(label),
            wasted_seconds: self.wasted.with_label_values(label),
            memory_high_water: self.memory.with_label_values(label),
            log_lines_suppressed: self.suppressed.with_label_values(label),
            breaker_state: self.breaker.with_label_values(label),
            breaker_opened: self.opened.with_label_values(label),
            last_good_events: self.last_good.with_label_values(label),
            state: self.state.clone(),
            slot,
        }
    }
}
