use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::register;
use crate::federation::Cut;

/// What one stream shows that is read through a group.
#[derive(Clone, Debug)]
pub struct EntryMetrics {
    /// Entries taken and not yet stored.
    pub in_flight: IntGauge,
    /// Entries delivered to any host of the group and not yet stored.
    pub pending: IntGauge,
    /// Entries that no host of the group has read yet.
    pub lag: IntGauge,
    /// Entries delivered again.
    pub redelivered: IntCounter,
    /// Entries that were deleted before anybody had stored them.
    pub deleted: IntCounter,
}

/// Of all streams that are offered to other sites, and of the ceiling.
#[derive(Clone, Debug)]
pub(super) struct SharingVectors {
    /// By [`Cut::ALL`]: an event has several, and a look-up by label each is what the search for them costs.
    cut: [IntCounter; Cut::ALL.len()],
    in_flight: IntGaugeVec,
    pending: IntGaugeVec,
    lag: IntGaugeVec,
    redelivered: IntCounterVec,
    deleted: IntCounterVec,
}

impl SharingVectors {
    pub fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let cut = counters(
            "aurora_federation_cut_total",
            "What policies would have shared and the ceiling cut: events, observables, fields, texts",
            &["cause"],
        );
        Self {
            in_flight: gauges(
                "aurora_federation_stream_in_flight",
                "Entries of a stream that is offered to other sites, taken and not yet in the outbox or kept",
                &["stream"],
            ),
            pending: gauges(
                "aurora_federation_stream_pending",
                "Entries delivered to any host of the group and not yet decided",
                &["stream"],
            ),
            lag: gauges("aurora_federation_stream_lag", "Entries that no host of the group has read yet", &["stream"]),
            redelivered: counters("aurora_federation_stream_redelivered_total", "Entries delivered again", &["stream"]),
            deleted: counters(
                "aurora_federation_stream_deleted_total",
                "Entries that were deleted before anybody had decided on them",
                &["stream"],
            ),
            cut: Cut::ALL.map(|cause| cut.with_label_values(&[cause.as_str()])),
        }
    }

    /// Those of one stream.
    pub fn of(&self, stream: &'static str) -> EntryMetrics {
        let label = &[stream];
        EntryMetrics {
            in_flight: self.in_flight.with_label_values(label),
            pending: self.pending.with_label_values(label),
            lag: self.lag.with_label_values(label),
            redelivered: self.redelivered.with_label_values(label),
            deleted: self.deleted.with_label_values(label),
        }
    }

    /// What the ceiling cut for one of its causes.
    pub fn cut(&self, cut: Cut) -> &IntCounter {
        &self.cut[cut as usize]
    }
}
