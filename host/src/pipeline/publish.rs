//! From decided to stored. A lane encodes its batch as one [`Commit`]; the lane's publisher stores it, again and again
//! until Redis has it, and then settles the batch's deliveries. Batches of a lane are stored in order, one at a time,
//! so events of one device stand in their streams in the order in which they came.
//!
//! What leaves the site goes into the outbox in the same commit: an event is never in a stream here and missing in the
//! outbox, and NATS being away never keeps Redis waiting.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    dead_letter::{DeadLetter, Effect},
    decided::{Decided, DecidedEvent, Outcome},
    record::{alert_json, attestation_json, event_json, ioc_json},
};
use crate::{
    admin::{Part, PartState, Readiness},
    broker::{
        backoff,
        redis_streams::{self, Commit, CommitError, Pool},
    },
    event::{Context, Delivery, Duty, Settlement},
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
            streams: redis.routable().map(|(name, length)| (name.clone(), length)).collect(),
            dead_letter: (redis.dead_letter.clone(), length(&redis.dead_letter, &redis.streams)),
            outbox: shares.then(|| redis.outbox.clone()),
            site: site.to_owned(),
        }
    }
}

/// A batch, encoded and not yet stored.
pub struct Ready {
    commit: Commit,
    /// Of each entry of the commit: what it is.
    entries: Vec<Entry>,
    duties: Vec<(Duty, Settlement)>,
    /// Of each duty: what was delivered, for the dead letter that an entry of it may become.
    delivered: Vec<Delivered>,
    /// When each of its published events was received, milliseconds since 1970-01-01 UTC.
    received_ms: Vec<i64>,
    /// Entries in the streams of normalized events.
    published: u64,
}

/// What an entry of a commit is.
#[derive(Clone, Copy)]
enum Entry {
    /// A normalized event, of the duty at this position.
    Event(usize),
    /// Something for other sites, of the duty at this position.
    Shared(usize),
    /// A dead letter.
    DeadLetter,
}

struct Delivered {
    context: Arc<Context>,
    received_ms: i64,
    payload: Bytes,
    attempts: u32,
}

/// Encodes a batch, and gives back what a guest has put off.
#[must_use]
pub fn encode(decided: Decided, target: &Target) -> (Ready, Vec<(Duration, Delivery)>) {
    let all = decided.deliveries.len();
    let mut ready = Ready {
        commit: Commit::new(),
        entries: Vec::with_capacity(all),
        duties: Vec::with_capacity(all),
        delivered: Vec::with_capacity(all),
        received_ms: Vec::with_capacity(all),
        published: 0,
    };
    let mut settlements = Vec::with_capacity(all);
    let mut duty = 0;
    for (index, outcome) in decided.outcomes.iter().enumerate() {
        let count = decided.events_of(index).map(|event| add_event(&mut ready, duty, &event, target)).count();
        let settlement = match outcome {
            Outcome::Accepted { .. } => Ok(Settlement::Published(count as u32)),
            Outcome::Dropped(reason) => Ok(Settlement::Dropped(reason.clone())),
            Outcome::Rejected(reason) => Ok(Settlement::DeadLettered(reason.clone())),
            Outcome::RetryAfter { wait, .. } => Err(*wait),
        };
        duty += usize::from(settlement.is_ok());
        settlements.push(settlement);
    }
    for letter in &decided.dead_letters {
        add_dead_letter(&mut ready.commit, letter, target);
        ready.entries.push(Entry::DeadLetter);
    }
    let mut put_off = Vec::new();
    for (delivery, settlement) in decided.deliveries.into_iter().zip(settlements) {
        match settlement {
            Ok(settlement) => {
                let Delivery { context, received_ms, payload, attempts, .. } = delivery;
                ready.delivered.push(Delivered { context, received_ms, payload, attempts });
                ready.duties.push((delivery.duty, settlement));
            }
            Err(wait) => put_off.push((wait, delivery)),
        }
    }
    (ready, put_off)
}

fn add_event(ready: &mut Ready, duty: usize, event: &DecidedEvent<'_>, target: &Target) {
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
            ready.entries.push(Entry::Event(duty));
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
        ready.entries.push(Entry::Shared(duty));
        for &position in &share.observables {
            let data = ioc_json(event, position as usize, &target.site, share.tlp);
            let (observable, ..) = event.event.observable(position as usize);
            let subject = format!("aurora.intel.ioc.{}", observable.as_str());
            add_outbox(&mut ready.commit, outbox, "ioc", &subject, &format!("{id}:ioc:{position}"), &data);
            ready.entries.push(Entry::Shared(duty));
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
    pub target: Arc<Target>,
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

    async fn store(&self, mut ready: Ready) {
        let (stage, broker) = (self.metrics.stage(Stage::Publish), self.metrics.broker(Broker::Redis));
        let (begun, entries) = (std::time::Instant::now(), ready.commit.len() as u64);
        stage.received.inc_by(entries);
        stage.batch.observe(entries as f64);
        broker.in_flight.inc();
        let refused = self.store_all(&mut ready).await;
        broker.in_flight.dec();
        stage.seconds.observe(begun.elapsed().as_secs_f64());
        stage.sent.inc_by(entries.saturating_sub(refused));
        self.metrics.events_published.inc_by(ready.published);
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

    /// Stores all of `ready`, however long it takes. Returns the number of entries that Redis refused and that became
    /// dead letters instead.
    async fn store_all(&self, ready: &mut Ready) -> u64 {
        let (mut waits, mut refused_in_all, mut failed) = (backoff(self.reconnect_max), 0, false);
        loop {
            let error = match ready.commit.store(&self.redis).await {
                Ok(()) => break,
                Err(CommitError::Refused { entries, reason }) => {
                    let (refused, stuck) = self.bury(ready, &entries, &reason);
                    refused_in_all += refused;
                    if !stuck {
                        continue;
                    }
                    format!("stream {} is refused, mend it: {reason}", self.target.dead_letter.0)
                }
                Err(error) => Chain(&error).to_string(),
            };
            if !failed {
                tracing::warn!(error, "cannot store a batch, will try again until it is");
            }
            failed = true;
            self.metrics.broker(Broker::Redis).connected.set(0);
            self.readiness.set(Part::Redis, PartState::NotReady(error));
            tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
        }
        if failed {
            tracing::info!("Redis stores again");
            self.metrics.broker(Broker::Redis).reconnects.inc();
        }
        self.metrics.broker(Broker::Redis).connected.set(1);
        self.readiness.set(Part::Redis, PartState::Ready);
        refused_in_all
    }

    /// What is left to store of `ready` once Redis has refused `refused` and taken the rest: a dead letter with the raw
    /// bytes for each refused event, and dead letters that were refused themselves, unchanged. Returns how many became
    /// dead letters, and whether there are any of the latter kind.
    fn bury(&self, ready: &mut Ready, refused: &[usize], reason: &str) -> (u64, bool) {
        let (mut left, mut buried, mut stuck) = (Commit::new(), 0, false);
        for &position in refused {
            let (duty, effect) = match ready.entries.get(position) {
                Some(&Entry::Event(duty)) => {
                    ready.published = ready.published.saturating_sub(1);
                    ready.duties[duty].1 = Settlement::DeadLettered(reason.to_owned());
                    (duty, Effect::NotPublished)
                }
                Some(&Entry::Shared(duty)) => (duty, Effect::NotShared),
                Some(Entry::DeadLetter) | None => {
                    left.take_over(&ready.commit, position);
                    stuck = true;
                    continue;
                }
            };
            let stream = ready.commit.stream(position).unwrap_or_default();
            let Delivered { context, received_ms, payload, attempts } = &ready.delivered[duty];
            let letter = DeadLetter {
                stage: Stage::Publish,
                reason: format!("stream {stream}: {reason}"),
                guest: None,
                effect,
                context: Arc::clone(context),
                received_ms: *received_ms,
                attempts: (*attempts).max(1),
                payload: payload.clone(),
            };
            add_dead_letter(&mut left, &letter, &self.target);
            buried += 1;
        }
        if buried > 0 {
            self.metrics.stage(Stage::Publish).dead_lettered.inc_by(buried);
            tracing::error!(reason, entries = buried, "Redis refused entries, they become dead letters");
        }
        ready.entries = vec![Entry::DeadLetter; left.len()];
        ready.commit = left;
        (buried, stuck)
    }
}
