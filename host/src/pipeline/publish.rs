//! From decided to stored. A lane encodes its batch as one [`Commit`]; the lane's publisher stores it, again and again
//! until Redis has it, and then settles the batch's deliveries. Batches of a lane are stored in order, one at a time,
//! so events of one device stand in their streams in the order in which they came.
//!
//! What leaves the site goes into the outbox in the same commit: an event is never in a stream here and missing in the
//! outbox, and NATS being away never keeps Redis waiting.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    DeadLetter,
    decided::{Decided, DecidedEvent, Outcome},
    record::{alert_json, attestation_json, event_json, ioc_json},
};
use crate::{
    admin::{Part, PartState, Readiness},
    broker::{
        backoff,
        redis_streams::{self, Commit, CommitError, Pool},
    },
    event::{Delivery, Duty, Settlement},
    telemetry::{Broker, Chain, Metrics, Stage},
};

/// Where things are stored.
#[derive(Clone, Debug)]
pub struct Target {
    /// Streams and their lengths, in the order of [`Stages::streams`](super::Stages::streams).
    pub streams: Vec<(String, u64)>,
    /// Stream of dead letters, and its length.
    pub dead_letter: (String, u64),
    /// Stream of what waits for JetStream; none where nothing leaves.
    pub outbox: Option<String>,
    /// Name of this site.
    pub site: String,
}

impl Target {
    /// Of a configuration.
    #[must_use]
    pub fn new(redis: &redis_streams::Config, site: &str, shares: bool) -> Self {
        let length = |name: &str, lengths: &BTreeMap<String, u64>| lengths.get(name).copied().unwrap_or(50_000);
        Self {
            streams: redis.streams.iter().map(|(name, length)| (name.clone(), *length)).collect(),
            dead_letter: (redis.dead_letter.clone(), length(&redis.dead_letter, &redis.streams)),
            outbox: shares.then(|| redis.outbox.clone()),
            site: site.to_owned(),
        }
    }
}

/// A batch, encoded and not yet stored.
pub struct Ready {
    commit: Commit,
    duties: Vec<(Duty, Settlement)>,
    /// When each of its published events was received, milliseconds since 1970-01-01 UTC.
    received_ms: Vec<i64>,
    /// Entries in the streams of normalized events.
    published: u64,
}

/// Encodes a batch, and gives back what a guest has put off.
#[must_use]
pub fn encode(decided: Decided, target: &Target) -> (Ready, Vec<(Duration, Delivery)>) {
    let mut ready = Ready {
        commit: Commit::new(),
        duties: Vec::with_capacity(decided.deliveries.len()),
        received_ms: Vec::new(),
        published: 0,
    };
    let settlements: Vec<_> = (0..decided.deliveries.len())
        .map(|index| {
            let count = decided.events_of(index).map(|event| add_event(&mut ready, &event, target)).count();
            match &decided.outcomes[index] {
                Outcome::Accepted { .. } => Ok(Settlement::Published(count as u32)),
                Outcome::Dropped(reason) => Ok(Settlement::Dropped(reason.clone())),
                Outcome::Rejected(reason) => Ok(Settlement::DeadLettered(reason.clone())),
                Outcome::RetryAfter { wait, .. } => Err(*wait),
            }
        })
        .collect();
    for letter in &decided.dead_letters {
        add_dead_letter(&mut ready.commit, letter, target);
    }
    let mut put_off = Vec::new();
    for (delivery, settlement) in decided.deliveries.into_iter().zip(settlements) {
        match settlement {
            Ok(settlement) => ready.duties.push((delivery.duty, settlement)),
            Err(wait) => put_off.push((wait, delivery)),
        }
    }
    (ready, put_off)
}

fn add_event(ready: &mut Ready, event: &DecidedEvent<'_>, target: &Target) {
    if !event.streams.is_empty() {
        let data = event_json(event);
        let fields: [(&str, &[u8]); 4] = [
            ("data", &data),
            ("severity", event.event.severity().as_str().as_bytes()),
            ("source", event.source().as_bytes()),
            ("category", event.event.category().as_str().as_bytes()),
        ];
        for &stream in event.streams {
            let (name, length) = &target.streams[stream];
            ready.commit.add(name, *length, &fields);
            ready.published += 1;
        }
        ready.received_ms.push(event.received_ms);
    }
    if let (Some(outbox), Some(share)) = (&target.outbox, event.share) {
        let id = event.id.to_string();
        let attestation = event.event.kind().is_attestation();
        let (kind, data) = if attestation {
            ("attestation", attestation_json(event, &target.site))
        } else {
            ("alert", alert_json(event, &target.site))
        };
        add_outbox(&mut ready.commit, outbox, kind, &share.subject, &id, &data);
        for &position in &share.observables {
            let data = ioc_json(event, position as usize, &target.site, share.tlp);
            let (observable, ..) = event.event.observable(position as usize);
            let subject = format!("aurora.intel.ioc.{}", observable.as_str());
            add_outbox(&mut ready.commit, outbox, "ioc", &subject, &format!("{id}:ioc:{position}"), &data);
        }
    }
}

fn add_outbox(commit: &mut Commit, outbox: &str, kind: &str, subject: &str, id: &str, data: &[u8]) {
    let fields: [(&str, &[u8]); 4] =
        [("subject", subject.as_bytes()), ("id", id.as_bytes()), ("kind", kind.as_bytes()), ("data", data)];
    // Never trimmed: an entry goes when JetStream has acknowledged it.
    commit.add(outbox, 0, &fields);
}

fn add_dead_letter(commit: &mut Commit, letter: &DeadLetter, target: &Target) {
    let time = chrono::DateTime::from_timestamp_millis(letter.received_ms).unwrap_or_default().to_rfc3339();
    let context = &letter.context;
    let attempts = letter.attempts.to_string();
    let text = |text: &'_ Option<String>| text.as_deref().unwrap_or_default().as_bytes().to_vec();
    let (topic, device, address) = (text(&context.topic), text(&context.device_id), text(&context.source_ip));
    let fields: [(&str, &[u8]); 12] = [
        ("stage", letter.stage.as_str().as_bytes()),
        ("reason", letter.reason.as_bytes()),
        ("guest", letter.guest.as_deref().unwrap_or_default().as_bytes()),
        ("payload", &letter.payload),
        ("source", context.source.as_bytes()),
        ("topic", &topic),
        ("time", time.as_bytes()),
        ("format", context.format.as_bytes()),
        ("device_id", &device),
        ("source_ip", &address),
        ("attempts", attempts.as_bytes()),
        ("effect", letter.effect.as_str().as_bytes()),
    ];
    commit.add(&target.dead_letter.0, target.dead_letter.1, &fields);
}

/// Stores a lane's batches.
pub struct Publisher {
    /// Encoded batches of the lane.
    pub decided: mpsc::Receiver<Ready>,
    /// Connections to Redis.
    pub redis: Pool,
    /// Where refused entries go.
    pub dead_letter: (String, u64),
    /// Ceiling of the back-off.
    pub reconnect_max: Duration,
    /// Who hears of Redis being away.
    pub readiness: Readiness,
    /// The counters.
    pub metrics: Metrics,
    /// Gives up what is not stored yet.
    pub give_up: CancellationToken,
}

impl Publisher {
    /// Runs until the lane has ended and all of its batches are stored, or until `give_up`; what is not stored then is
    /// abandoned, and its sources deliver it again.
    pub async fn run(mut self) {
        while let Some(ready) = self.decided.recv().await {
            let give_up = self.give_up.clone();
            tokio::select! {
                () = self.store(ready) => {}
                () = give_up.cancelled() => return,
            }
        }
    }

    async fn store(&self, ready: Ready) {
        let (stage, broker) = (self.metrics.stage(Stage::Publish), self.metrics.broker(Broker::Redis));
        let (begun, entries) = (std::time::Instant::now(), ready.commit.len() as u64);
        stage.received.inc_by(entries);
        stage.batch.observe(entries as f64);
        broker.in_flight.inc();
        let refused = self.store_commit(ready.commit).await;
        broker.in_flight.dec();
        stage.seconds.observe(begun.elapsed().as_secs_f64());
        stage.sent.inc_by(entries.saturating_sub(refused));
        self.metrics.events_published.inc_by(ready.published.saturating_sub(refused));
        let now = chrono::Utc::now().timestamp_millis();
        // Counted here and entered at once: lanes would contend for it event by event.
        let seconds = self.metrics.event_seconds.local();
        for received in &ready.received_ms {
            seconds.observe((now - received).max(0) as f64 / 1000.0);
        }
        seconds.flush();
        // Last: only what is stored may be acknowledged.
        for (duty, settlement) in ready.duties {
            duty.settle(settlement);
        }
    }

    /// Stores `commit`, however long it takes. Returns the number of entries that Redis refused and that became dead
    /// letters instead.
    async fn store_commit(&self, mut commit: Commit) -> u64 {
        let (mut waits, mut refused_in_all, mut failed) = (backoff(self.reconnect_max), 0, false);
        loop {
            match commit.store(&self.redis).await {
                Ok(()) => {
                    if failed {
                        tracing::info!("Redis stores again");
                        self.metrics.broker(Broker::Redis).reconnects.inc();
                    }
                    self.metrics.broker(Broker::Redis).connected.set(1);
                    self.readiness.set(Part::Redis, PartState::Ready);
                    return refused_in_all;
                }
                Err(CommitError::Refused { entries, reason }) => {
                    refused_in_all += entries.len() as u64;
                    self.metrics.stage(Stage::Publish).dead_lettered.inc_by(entries.len() as u64);
                    tracing::error!(reason, entries = entries.len(), "Redis refused entries, they become dead letters");
                    commit = self.dead_letters(&commit, &entries, &reason);
                }
                Err(error) => {
                    if !failed {
                        tracing::warn!(error = %Chain(&error), "cannot store a batch, will try again until it is");
                    }
                    failed = true;
                    self.metrics.broker(Broker::Redis).connected.set(0);
                    self.readiness.set(Part::Redis, PartState::NotReady(Chain(&error).to_string()));
                    tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
                }
            }
        }
    }

    fn dead_letters(&self, commit: &Commit, entries: &[usize], reason: &str) -> Commit {
        let (mut letters, time) = (Commit::new(), chrono::Utc::now().to_rfc3339());
        for (stream, values) in entries.iter().filter_map(|&entry| commit.entry(entry)) {
            let reason = format!("stream {stream}: {reason}");
            let payload = values.get(1).map(Vec::as_slice).unwrap_or_default();
            let fields: [(&str, &[u8]); 6] = [
                ("stage", b"publish"),
                ("reason", reason.as_bytes()),
                ("guest", b""),
                ("payload", payload),
                ("topic", stream.as_bytes()),
                ("time", time.as_bytes()),
            ];
            // Without a length: a stream that refuses this too has to be mended, and nothing may go until then.
            letters.add(&self.dead_letter.0, 0, &fields);
        }
        letters
    }
}
