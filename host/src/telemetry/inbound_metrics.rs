use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::register;

/// What became of a message of another site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is stored.
    Stored,
    /// It was stored before.
    Repeated,
    /// A guest has dropped it, or it was turned away when it came first.
    Dropped,
    /// It is a dead letter.
    Buried,
    /// It was given up, and comes again.
    GivenUp,
    /// We sent it ourselves.
    Own,
    /// It was shared too long ago.
    Old,
    /// Nobody wants its subject.
    Unwanted,
}

impl Passage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Dropped => "dropped",
            Self::Buried => "dead_letter",
            Self::GivenUp => "given_up",
            Self::Own => "own",
            Self::Old => "old",
            Self::Unwanted => "unwanted",
        }
    }
}

/// Those of one stream of JetStream.
#[derive(Clone, Debug)]
pub struct InboundMetrics {
    stream: String,
    messages: IntCounterVec,
    /// Messages taken and not yet stored.
    pub in_flight: IntGauge,
    /// Messages that wait in the stream, when the last one came.
    pub pending: IntGauge,
    /// Messages delivered again.
    pub redelivered: IntCounter,
    /// From when a site shared a message to when it was stored here.
    pub seconds: Histogram,
}

impl InboundMetrics {
    /// Counts a message.
    pub fn count(&self, passage: Passage) {
        self.messages.with_label_values(&[self.stream.as_str(), passage.as_str()]).inc();
    }
}

/// Those of all streams of JetStream that are read; labels are the streams of the configuration.
#[derive(Clone, Debug)]
pub(super) struct InboundVectors {
    messages: IntCounterVec,
    in_flight: IntGaugeVec,
    pending: IntGaugeVec,
    redelivered: IntCounterVec,
    seconds: Histogram,
}

impl InboundVectors {
    pub fn new(registry: &Registry, seconds: &[f64]) -> Self {
        let gauges = |name: &str, help: &str| register(registry, IntGaugeVec::new(Opts::new(name, help), &["stream"]));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = HistogramOpts::new(
            "aurora_federation_in_seconds",
            "From when another site shared a message, by its clock, to when it was stored here",
        );
        Self {
            messages: counters(
                "aurora_federation_in_total",
                "Messages of a JetStream stream, by what became of them",
                &["stream", "what"],
            ),
            in_flight: gauges("aurora_federation_in_flight", "Messages of other sites taken and not yet stored"),
            pending: gauges(
                "aurora_federation_in_pending",
                "Messages that waited in the stream when the last one came",
            ),
            redelivered: counters(
                "aurora_federation_in_redelivered_total",
                "Messages of other sites delivered again",
                &["stream"],
            ),
            seconds: register(registry, Histogram::with_opts(histogram.buckets(seconds.to_vec()))),
        }
    }

    pub fn of(&self, stream: &str) -> InboundMetrics {
        InboundMetrics {
            stream: stream.to_owned(),
            messages: self.messages.clone(),
            in_flight: self.in_flight.with_label_values(&[stream]),
            pending: self.pending.with_label_values(&[stream]),
            redelivered: self.redelivered.with_label_values(&[stream]),
            seconds: self.seconds.clone(),
        }
    }
}
