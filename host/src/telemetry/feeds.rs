use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::register;
use crate::broadcast::Feed;

/// What one feed of live events counts.
#[derive(Clone, Debug)]
pub struct FeedMetrics {
    /// Viewers.
    pub clients: IntGauge,
    /// Messages that were sent, to each viewer.
    pub sent: IntCounter,
    /// Entries that were read.
    pub read: IntCounter,
    /// 1 while its streams can be read.
    pub reading: IntGauge,
    closed: IntCounterVec,
    feed: Feed,
}

impl FeedMetrics {
    /// Counts a viewer that is gone, and why, one of a closed set: left, slow, silent, talks, stop.
    pub fn closed(&self, reason: &'static str) {
        self.closed.with_label_values(&[self.feed.as_str(), reason]).inc();
    }
}

/// Of all feeds. There is no series where nothing is broadcast.
#[derive(Clone, Debug)]
pub(super) struct FeedVectors {
    clients: IntGaugeVec,
    sent: IntCounterVec,
    read: IntCounterVec,
    reading: IntGaugeVec,
    closed: IntCounterVec,
}

impl FeedVectors {
    pub fn new(registry: &Registry) -> Self {
        let gauges = |name: &str, help: &str| register(registry, IntGaugeVec::new(Opts::new(name, help), &["feed"]));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        Self {
            clients: gauges("aurora_broadcast_clients", "Viewers of the feed"),
            sent: counters("aurora_broadcast_sent_total", "Messages sent, to each viewer", &["feed"]),
            read: counters("aurora_broadcast_read_total", "Entries read for viewers", &["feed"]),
            reading: gauges("aurora_broadcast_reading", "1 while the streams of the feed can be read"),
            closed: counters("aurora_broadcast_closed_total", "Viewers that are gone", &["feed", "reason"]),
        }
    }

    pub fn of(&self, feed: Feed) -> FeedMetrics {
        let label = &[feed.as_str()];
        FeedMetrics {
            clients: self.clients.with_label_values(label),
            sent: self.sent.with_label_values(label),
            read: self.read.with_label_values(label),
            reading: self.reading.with_label_values(label),
            closed: self.closed.clone(),
            feed,
        }
    }
}
