//! From decided to what is stored: a batch as one commit, with what its duties will hear.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    decided::{Decided, DecidedEvent, Outcome},
    identity::Fingerprint,
    leaving::Planned,
    provenance::{Provenances, Texts},
    record::event_json,
    target::{Raw, Target},
};
use crate::{
    broker::redis_streams::{Commit, Guard, Normalized, Producer, Sealed},
    event::{Context, Delivery, Duty, EntryId, Identity, Settlement},
    federation::Offer,
};

/// A batch, encoded and not yet stored.
#[derive(Debug)]
pub struct Ready {
    /// What there is to store; none if there is nothing.
    pub(super) commit: Option<Sealed>,
    /// Its deliveries, in the order of the commit.
    pub(super) delivered: Vec<Delivered>,
    /// Of each event of the commit: its delivery, and its position among that one's events.
    pub(super) events: Vec<(usize, u32)>,
    /// Of each event of the commit: whether it may be one with others.
    pub(super) have_keys: Vec<bool>,
    /// Of each entry of the commit: what it is.
    pub(super) entries: Vec<Entry>,
}

impl Ready {
    /// How many entries of normalized events it has.
    pub(super) fn published(&self) -> u32 {
        self.entries.iter().filter(|entry| matches!(entry, Entry::Event { .. })).count() as u32
    }
}

/// A delivery of the batch.
#[derive(Debug)]
pub(super) struct Delivered {
    pub duty: Duty,
    /// What its source hears, unless Redis knows better.
    pub settlement: Settlement,
    pub identity: Identity,
    pub context: Arc<Context>,
    pub received_ms: i64,
    pub payload: Bytes,
    pub attempts: u32,
}

/// What an entry of a commit is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    /// A normalized event: the one at this position of the commit.
    Event(usize),
    /// Something for other sites, of the event at this position.
    Shared(usize),
    /// What was decided on an entry of a stream that is offered.
    Decision,
    /// A dead letter, or what has become one since.
    DeadLetter,
}

/// Encodes a batch, as the next of `producer`, and gives back what a guest has put off.
#[must_use]
pub fn encode(mut decided: Decided, target: &Target, producer: &mut Producer) -> (Ready, Vec<(Duration, Delivery)>) {
    let all = decided.deliveries.len();
    let bytes: usize = decided.deliveries.iter().map(|delivery| delivery.payload.len()).sum();
    let mut batch = Batch::new(producer.begin(3 * bytes + 256 * all), target, all);
    let mut letters = std::mem::take(&mut decided.dead_letters);
    letters.sort_by_key(|letter| letter.delivery);
    let mut next_letter = 0;
    let mut settlements = Vec::with_capacity(all);
    let mut position = 0;
    for (index, outcome) in decided.outcomes.iter().enumerate() {
        let settlement = match outcome {
            Outcome::Accepted { .. } => Ok(Settlement::Published(0)),
            Outcome::Dropped(reason) => Ok(Settlement::Dropped(reason.clone())),
            Outcome::Rejected(reason) => Ok(Settlement::DeadLettered(reason.clone())),
            Outcome::RetryAfter { wait, .. } => Err(*wait),
        };
        settlements.push(match settlement {
            Err(wait) => Err(wait),
            Ok(settlement) => {
                let count = batch.add(position, index, &decided);
                while let Some(letter) = letters.get(next_letter).filter(|letter| letter.delivery == index) {
                    let events = batch.events_of(position, &letter.positions);
                    letter.with_fields(|fields| batch.commit.letter(target.dead_letter, position, &events, fields));
                    batch.entries.push(Entry::DeadLetter);
                    next_letter += 1;
                }
                position += 1;
                Ok(if let Settlement::Published(_) = settlement { Settlement::Published(count) } else { settlement })
            }
        });
    }
    let Batch { commit, events, have_keys, entries, .. } = batch;
    let (mut delivered, mut put_off) = (Vec::with_capacity(position), Vec::new());
    for (delivery, settlement) in decided.deliveries.into_iter().zip(settlements) {
        match settlement {
            Ok(settlement) => {
                let Delivery { context, received_ms, payload, attempts, identity, duty, .. } = delivery;
                delivered.push(Delivered { duty, settlement, identity, context, received_ms, payload, attempts });
            }
            Err(wait) => put_off.push((wait, delivery)),
        }
    }
    (Ready { commit: producer.seal(commit).map(Sealed::whole), delivered, events, have_keys, entries }, put_off)
}

/// A commit while it is put together, with what its parts are.
pub(super) struct Batch<'a> {
    pub commit: Commit,
    target: &'a Target,
    provenances: Provenances,
    pub events: Vec<(usize, u32)>,
    pub have_keys: Vec<bool>,
    pub entries: Vec<Entry>,
}

impl<'a> Batch<'a> {
    /// Into `commit`, with room for `deliveries`.
    pub fn new(commit: Commit, target: &'a Target, deliveries: usize) -> Self {
        let (events, have_keys) = (Vec::with_capacity(deliveries), Vec::with_capacity(deliveries));
        let entries = Vec::with_capacity(deliveries);
        Self { commit, target, provenances: Provenances::default(), events, have_keys, entries }
    }

    /// Adds the delivery at `index`, which is the commit's at `position`. Returns the number of its events.
    fn add(&mut self, position: usize, index: usize, decided: &Decided) -> u32 {
        let delivery = &decided.deliveries[index];
        let fingerprint = decided.fingerprint(index);
        // Remembered as such: its indicators are not to be recorded when it comes again.
        let away = !matches!(decided.outcomes[index], Outcome::Accepted { .. });
        self.begin(delivery, &fingerprint, away);
        let entry = match delivery.identity {
            Identity::Offer(_, id) => Some(id),
            _ => None,
        };
        let mut count = 0;
        for event in decided.events_of(index, fingerprint) {
            // Two equal entries of a stream are two.
            let key = if Offer::of(event.context).is_some() { None } else { self.target.dedup.key(&event) };
            self.add_event(position, &event, key, entry);
            count += 1;
        }
        count
    }

    /// The places in the commit of the events at `positions` of the last delivery; none if one of them is not in it, for
    /// nobody wants it.
    fn events_of(&self, delivery: usize, positions: &[u32]) -> Vec<usize> {
        let own = self.events.iter().enumerate().rev().take_while(|(_, (of, _))| *of == delivery);
        let place = |&wanted: &u32| own.clone().find(|(_, (_, position))| *position == wanted).map(|(place, _)| place);
        positions.iter().map(place).collect::<Option<_>>().unwrap_or_default()
    }

    /// Begins a dead letter, which goes from its stream with this commit.
    pub fn begin_letter(&mut self, id: EntryId) {
        self.commit.delivery(Guard::Removal { stream: self.target.dead_letter, id: &id.to_string() });
    }

    fn begin(&mut self, delivery: &Delivery, fingerprint: &Fingerprint, away: bool) {
        match delivery.identity {
            Identity::Packet { id, dup, .. } => {
                self.commit.delivery(Guard::Packet { id, digest: fingerprint.mark(&delivery.context), dup });
            }
            Identity::Request { key, line } => {
                let digest = fingerprint.mark(&delivery.context);
                self.commit.delivery(Guard::Request { key: &key, line, digest });
            }
            Identity::Entry(id) => self.begin_entry(self.target.raw.as_ref(), id),
            Identity::Offer(offer, id) => {
                let from = self.target.offers.iter().find(|(known, _)| *known == offer);
                self.begin_entry(from.map(|(_, raw)| raw), id);
            }
            Identity::Message { mark, day } => {
                let life = self.target.remember.as_secs();
                self.commit.delivery(Guard::Message { mark: &mark, day, life, away });
            }
            Identity::Letter(id) => self.begin_letter(id),
            Identity::Once(_) => self.commit.delivery(Guard::None),
        }
    }

    fn begin_entry(&mut self, from: Option<&Raw>, id: EntryId) {
        match from {
            Some(raw) => {
                let (group, id) = (raw.group.as_str(), id.to_string());
                self.commit.delivery(Guard::Entry { stream: raw.stream, group, id: &id, remove: raw.remove });
            }
            None => self.commit.delivery(Guard::None),
        }
    }

    /// Adds an event of the delivery at `position`, which is one with others of the same `key`. Where it is an `entry` of a
    /// stream that is offered, what was decided on it as well.
    pub fn add_event(
        &mut self,
        position: usize,
        event: &DecidedEvent<'_>,
        key: Option<[u8; 16]>,
        entry: Option<EntryId>,
    ) {
        if event.streams.is_empty() && event.share.is_none() {
            if Offer::of(event.context).is_some() {
                let provenance = self.provenances.of(event, &[]);
                self.add_decision(event, entry, &provenance);
            }
            return;
        }
        self.commit.event(key, event.id);
        let index = self.events.len();
        self.events.push((position, event.position));
        self.have_keys.push(key.is_some());
        let plan = planned(self.target, event);
        let provenance = self.provenances.of(event, &plan);
        if !event.streams.is_empty() {
            let normalized = Normalized {
                data: &event_json(event),
                severity: event.event.severity().as_str(),
                source: event.source(),
                category: event.event.category().as_str(),
                raw: &event.fingerprint.raw(),
                topic: event.context.topic.as_deref().unwrap_or_default(),
                provenance: &provenance.stored,
                origin: event.origin.map_or("", |origin| &origin.site),
            };
            for &stream in event.streams {
                self.commit.normalized(self.target.streams[stream], &normalized);
                self.entries.push(Entry::Event(index));
            }
        }
        self.add_share(index, event, &plan, &provenance);
        self.add_decision(event, entry, &provenance);
    }

    /// Writes down what was decided on an entry of an offered stream, in the step that acknowledges it: its own stream is
    /// somebody else's, and of one that is kept there would be nothing at all.
    fn add_decision(&mut self, event: &DecidedEvent<'_>, entry: Option<EntryId>, provenance: &Texts) {
        let (Some(decisions), Some(offer)) = (self.target.decisions, Offer::of(event.context)) else { return };
        let target = self.target;
        let from = target.offers.iter().find(|(known, _)| *known == offer);
        let from = from.map_or(offer.source(), |(_, raw)| target.layout.name(raw.stream));
        let (id, entry) = (event.id.to_string(), entry.map(|entry| entry.to_string()).unwrap_or_default());
        let texts = [("id", &*id), ("stream", from), ("entry", &*entry), ("provenance", &*provenance.stored)];
        self.commit.entry(decisions, &texts.map(|(name, text)| (name, text.as_bytes())));
        self.entries.push(Entry::Decision);
    }

    fn add_share(&mut self, index: usize, event: &DecidedEvent<'_>, plan: &[Planned<'_>], provenance: &Texts) {
        let (Some(outbox), target) = (self.target.outbox, self.target) else { return };
        target.leaving.each(event, plan, &provenance.leaving, |message| {
            self.commit.outbox(outbox, message);
            self.entries.push(Entry::Shared(index));
        });
    }
}

/// The messages of `event` that leave. Whatever was decided: what came from another site never leaves again, or it would go
/// round for ever.
fn planned<'a>(target: &'a Target, event: &DecidedEvent<'a>) -> Vec<Planned<'a>> {
    match (target.outbox, event.origin) {
        (Some(_), None) => target.leaving.plan(event),
        _ => Vec::new(),
    }
}
