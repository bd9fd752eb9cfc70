//! Every metric of the daemon, declared once. Labels are bounded: stages, brokers, and reasons out of closed sets.

use std::fmt;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, histogram_opts,
};

use super::{
    SlotName,
    age::Age,
    attestation_metrics::AttestationMetrics,
    feeds::{FeedMetrics, FeedVectors},
    guest_metrics::{GuestMetrics, GuestVectors},
    inbound_metrics::{InboundMetrics, InboundVectors, SiteSeen},
    intel_metrics::IntelMetrics,
    outbound_metrics::OutboundMetrics,
    sharing_metrics::{EntryMetrics, SharingVectors},
    streams::StreamMetrics,
    tasks::TaskMetrics,
};
use crate::{broadcast::Feed, federation::Cut, spool};

/// A stage of the pipeline; spelled alike in logs, labels, dead letters and configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Taking raw events from MQTT, HTTP and Redis.
    Source,
    /// What of other sites' messages comes in. They see no other stage before they are stored.
    Inbound,
    /// Raw to normalized.
    Normalize,
    /// Which streams.
    Route,
    /// What leaves the site.
    Federate,
    /// Which events are one event. Decided where they are stored.
    Dedup,
    /// Into Redis.
    Publish,
    /// From the outbox to JetStream.
    Relay,
    /// Tasks of agents. No stage of the pipeline, and so not among [`ALL`](Self::ALL): it only has guests as stages do.
    Task,
}

impl Stage {
    /// All of them, in the order in which events flow.
    pub const ALL: [Self; 8] = [
        Self::Source,
        Self::Inbound,
        Self::Normalize,
        Self::Route,
        Self::Federate,
        Self::Dedup,
        Self::Publish,
        Self::Relay,
    ];

    /// As in labels and dead letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Inbound => "inbound",
            Self::Normalize => "normalize",
            Self::Route => "route",
            Self::Federate => "federate",
            Self::Dedup => "dedup",
            Self::Publish => "publish",
            Self::Relay => "relay",
            Self::Task => "task",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A broker that we hold connections to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broker {
    /// The MQTT broker.
    Mqtt,
    /// Redis.
    Redis,
    /// NATS with JetStream.
    Nats,
}

impl Broker {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mqtt, Self::Redis, Self::Nats];

    /// As in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }
}

/// What one stage counts.
#[derive(Clone, Debug)]
pub struct StageMetrics {
    /// Events that came in.
    pub received: IntCounter,
    /// Events that went on to the next stage.
    pub sent: IntCounter,
    /// Events dropped on purpose.
    pub dropped: IntCounter,
    /// Events that became dead letters here.
    pub dead_lettered: IntCounter,
    /// Events put off, to be tried again.
    pub retried: IntCounter,
    /// Time of a batch in the stage, seconds.
    pub seconds: Histogram,
    /// Events of a batch.
    pub batch: Histogram,
    /// Events waiting before the stage.
    pub queue: IntGauge,
}

/// What one broker connection shows.
#[derive(Clone, Debug)]
pub struct BrokerMetrics {
    /// 1 while connected.
    pub connected: IntGauge,
    /// Connections made after the first.
    pub reconnects: IntCounter,
    /// MQTT: deliveries not yet acknowledged. Redis: batches on their way. NATS: messages not yet acknowledged.
    pub in_flight: IntGauge,
}

impl BrokerMetrics {
    /// Counts one more in [`in_flight`](Self::in_flight), until the answer is dropped.
    #[must_use]
    pub fn one_in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }
}

/// One that is in flight.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What waits on disk while Redis is away.
#[derive(Clone, Debug)]
pub struct SpoolMetrics {
    records: IntGauge,
    events: IntGauge,
    bytes: IntGauge,
    oldest: Age,
    /// Records set aside, or missing.
    pub damaged: IntCounter,
    /// Events that went to disk.
    pub appended: IntCounter,
    /// Events that went from there to Redis.
    pub replayed: IntCounter,
}

impl SpoolMetrics {
    /// Shows what is there now.
    pub fn show(&self, depth: &spool::Depth) {
        let set = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.records, depth.records);
        set(&self.events, depth.events);
        set(&self.bytes, depth.bytes);
        self.oldest.since(depth.oldest_ms);
    }

    /// Events in it.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.events.get()
    }

    /// Age of the oldest of them.
    #[must_use]
    pub fn oldest_seconds(&self) -> f64 {
        self.oldest.seconds()
    }
}

/// The daemon's metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Where all of them are registered.
    pub registry: Registry,
    /// `aurora_events_published_total`: entries in the streams of normalized events.
    pub events_published: IntCounter,
    /// `aurora_events_federated_total`: alerts that JetStream has acknowledged.
    pub events_federated: IntCounter,
    /// What JetStream has acknowledged, by what it is.
    pub federation_out: OutboundMetrics,
    /// Deliveries that had been stored before, when they were delivered for the first time.
    pub events_repeated: IntCounter,
    /// Batches missing in Redis before a later one of the same lane: it came back with an older state, or the spool lost
    /// them.
    pub redis_lost_batches: IntCounter,
    /// Entries in the stream of dead letters.
    pub dead_letters: IntGauge,
    /// From the source's receipt to the stored entry, seconds.
    pub event_seconds: Histogram,
    /// The spool.
    pub spool: SpoolMetrics,
    /// Streams and their readers.
    pub streams: StreamMetrics,
    /// Events taken over HTTP and not yet stored.
    pub ingest_in_flight: IntGauge,
    /// Entries of the outbox that a relay has taken and not cleared.
    pub outbox_pending: IntGauge,
    /// Age of the oldest entry of the outbox.
    pub outbox_oldest: Age,
    /// Entries of the outbox that JetStream turned out to have already, when the stream was read for them.
    pub outbox_recognised: IntCounter,
    /// Entries of the raw stream taken and not yet stored.
    pub raw_in_flight: IntGauge,
    /// Entries delivered to any host of the group and not yet stored.
    pub raw_pending: IntGauge,
    /// Entries that no host of the group has read yet.
    pub raw_lag: IntGauge,
    /// Entries delivered again: left by an earlier run, by another host, or given up.
    pub raw_redelivered: IntCounter,
    /// Entries that were deleted from the raw stream before anybody had stored them.
    pub raw_deleted: IntCounter,
    /// Challenges to devices, and verdicts.
    pub attestation: AttestationMetrics,
    /// Shared indicators.
    pub intel: IntelMetrics,
    /// Tasks for agents.
    pub tasks: TaskMetrics,
    ingest_answers: IntCounterVec,
    sharing: SharingVectors,
    inbound: InboundVectors,
    stages: [StageMetrics; Stage::ALL.len()],
    guests: GuestVectors,
    feeds: FeedVectors,
    brokers: [BrokerMetrics; Broker::ALL.len()],
}

/// Latency of one event or one batch: 50 µs to 26 s, by doublings.
const SECONDS: [f64; 20] = {
    let mut buckets = [0.000_05; 20];
    let mut i = 1;
    while i < buckets.len() {
        buckets[i] = buckets[i - 1] * 2.0;
        i += 1;
    }
    buckets
};

const BATCH: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0];

impl Metrics {
    /// A fresh set, all at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let histograms = |name: &str, help: &str, buckets: &[f64], labels: &[&str]| {
            register(&registry, HistogramVec::new(histogram_opts!(name, help, buckets.to_vec()), labels))
        };

        let received = counters("aurora_stage_in_total", "Events that came into the stage", &["stage"]);
        let sent = counters("aurora_stage_out_total", "Events that went on from the stage", &["stage"]);
        let dropped = counters("aurora_stage_dropped_total", "Events dropped on purpose", &["stage"]);
        let dead = counters("aurora_stage_dead_lettered_total", "Events that became dead letters", &["stage"]);
        let retried = counters("aurora_stage_retried_total", "Events put off and tried again", &["stage"]);
        let seconds = histograms("aurora_stage_seconds", "Time of a batch in the stage", &SECONDS, &["stage"]);
        let batch = histograms("aurora_stage_batch_events", "Events of a batch", &BATCH, &["stage"]);
        let queue = gauges("aurora_stage_queue_events", "Events waiting before the stage", &["stage"]);
        let stages = Stage::ALL.map(|stage| {
            let stage = &[stage.as_str()];
            StageMetrics {
                received: received.with_label_values(stage),
                sent: sent.with_label_values(stage),
                dropped: dropped.with_label_values(stage),
                dead_lettered: dead.with_label_values(stage),
                retried: retried.with_label_values(stage),
                seconds: seconds.with_label_values(stage),
                batch: batch.with_label_values(stage),
                queue: queue.with_label_values(stage),
            }
        });

        let connected = gauges("aurora_broker_connected", "1 while connected", &["broker"]);
        let reconnects = counters("aurora_broker_reconnects_total", "Connections made after the first", &["broker"]);
        let in_flight = gauges("aurora_broker_in_flight", "Sent or taken, and not yet acknowledged", &["broker"]);
        let brokers = Broker::ALL.map(|broker| {
            let broker = &[broker.as_str()];
            BrokerMetrics {
                connected: connected.with_label_values(broker),
                reconnects: reconnects.with_label_values(broker),
                in_flight: in_flight.with_label_values(broker),
            }
        });

        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help));
        let spool = SpoolMetrics {
            records: gauge("aurora_spool_records", "Batches in the spool"),
            events: gauge("aurora_spool_events", "Events in the spool"),
            bytes: gauge("aurora_spool_bytes", "Disk space that the spool takes"),
            oldest: register(
                &registry,
                Age::new("aurora_spool_oldest_seconds", "Age of the oldest batch in the spool"),
            ),
            damaged: counter("aurora_spool_damaged_total", "Batches of the spool set aside or missing"),
            appended: counter("aurora_spool_appended_events_total", "Events that went to the spool"),
            replayed: counter("aurora_spool_replayed_events_total", "Events that left the spool for Redis"),
        };

        Self {
            attestation: AttestationMetrics::new(&registry),
            sharing: SharingVectors::new(&registry),
            intel: IntelMetrics::new(&registry),
            events_published: counter("aurora_events_published_total", "Total events published to Redis"),
            events_federated: counter("aurora_events_federated_total", "Total events federated via NATS"),
            federation_out: OutboundMetrics::new(&registry),
            events_repeated: counter("aurora_events_repeated_total", "Deliveries that had been stored before"),
            redis_lost_batches: counter(
                "aurora_redis_lost_batches_total",
                "Batches missing before a later one: Redis came back with an older state, or the spool lost them",
            ),
            dead_letters: register(
                &registry,
                IntGauge::new("aurora_dead_letters", "Entries in the stream of dead letters, asked for every 2 s"),
            ),
            event_seconds: register(
                &registry,
                Histogram::with_opts(histogram_opts!(
                    "aurora_event_seconds",
                    "From the source's receipt to the stored entry",
                    SECONDS.to_vec()
                )),
            ),
            ingest_in_flight: gauge("aurora_ingest_in_flight", "Events taken over HTTP and not yet stored"),
            spool,
            tasks: TaskMetrics::new(&registry),
            streams: StreamMetrics::new(&registry),
            outbox_pending: register(
                &registry,
                IntGauge::new("aurora_outbox_pending", "Entries of the outbox that a relay has taken and not cleared"),
            ),
            outbox_oldest: register(
                &registry,
                Age::new("aurora_outbox_oldest_seconds", "Age of the oldest entry of the outbox"),
            ),
            outbox_recognised: counter(
                "aurora_outbox_recognised_total",
                "Entries of the outbox that were found in the JetStream stream and not sent again",
            ),
            raw_in_flight: gauge("aurora_raw_in_flight", "Entries of the raw stream taken and not yet stored"),
            raw_pending: gauge("aurora_raw_pending", "Entries delivered to any host of the group and not yet stored"),
            raw_lag: gauge("aurora_raw_lag", "Entries that no host of the group has read yet"),
            raw_redelivered: counter(
                "aurora_raw_redelivered_total",
                "Entries delivered again: left by an earlier run, by another host, or given up",
            ),
            raw_deleted: counter(
                "aurora_raw_deleted_total",
                "Entries that were deleted from the raw stream before anybody had stored them",
            ),
            inbound: InboundVectors::new(&registry, &SECONDS),
            ingest_answers: counters("aurora_ingest_answers_total", "Answers to HTTP ingest requests", &["status"]),
            stages,
            guests: GuestVectors::new(&registry),
            feeds: FeedVectors::new(&registry),
            brokers,
            registry,
        }
    }

    /// Counts an answer of HTTP ingest. The label is bounded, because ingest itself chooses among a dozen statuses.
    pub fn ingest_answer(&self, status: u16) {
        self.ingest_answers.with_label_values(&[status.to_string().as_str()]).inc();
    }

    /// Those of the stream of raw events.
    #[must_use]
    pub fn raw_entries(&self) -> EntryMetrics {
        EntryMetrics {
            in_flight: self.raw_in_flight.clone(),
            pending: self.raw_pending.clone(),
            lag: self.raw_lag.clone(),
            redelivered: self.raw_redelivered.clone(),
            deleted: self.raw_deleted.clone(),
        }
    }

    /// Those of a stream that is offered to other sites.
    #[must_use]
    pub fn offered_entries(&self, stream: &'static str) -> EntryMetrics {
        self.sharing.of(stream)
    }

    /// Those of a stream of JetStream that is read for what other sites share. Made when they are first asked for.
    #[must_use]
    pub fn inbound(&self, stream: &str) -> InboundMetrics {
        self.inbound.of(stream)
    }

    /// What came in from each other site, those heard of last first.
    #[must_use]
    pub fn inbound_sites(&self) -> Vec<SiteSeen> {
        self.inbound.sites()
    }

    /// Counts what the ceiling cut for one of its causes.
    #[must_use]
    pub fn federation_cut(&self, cut: Cut) -> &IntCounter {
        self.sharing.cut(cut)
    }

    /// Those of a stage of the pipeline.
    ///
    /// # Panics
    /// For [`Stage::Task`], which is none.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> &StageMetrics {
        &self.stages[stage as usize]
    }

    /// Those of the guest of a slot. Made when they are first asked for, so ask once and keep them.
    #[must_use]
    pub fn guest(&self, slot: impl Into<SlotName>) -> GuestMetrics {
        self.guests.of(slot.into())
    }

    /// Those of a feed of live events. Made when they are first asked for.
    #[must_use]
    pub fn feed(&self, feed: Feed) -> FeedMetrics {
        self.feeds.of(feed)
    }

    /// Those of a broker.
    #[must_use]
    pub fn broker(&self, broker: Broker) -> &BrokerMetrics {
        &self.brokers[broker as usize]
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a collector. It can only fail on a name that is malformed or used twice, which is a fault of this file
/// and shows in any test that makes a [`Metrics`].
pub(super) fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> C {
    let collector = made.expect("a metric of this file is malformed");
    registry.register(Box::new(collector.clone())).expect("a metric of this file is registered twice");
    collector
}
