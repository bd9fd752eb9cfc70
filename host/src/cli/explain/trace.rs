//! Follows an event through what the daemon has written: the streams of normalized events, the outbox, JetStream, the
//! dead letters.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    arrived::{Told, naming, told},
    guests::{Named, Names},
    offered::{Which, decided},
    sent::{Asker, Sent},
    subject::Subject,
};
use crate::{
    broker::redis_streams::{Config, Fields, Looked, Order, Pool, Span, Wanted, search, text_at},
    cli::dead_letter::Opened,
    event::EntryId,
    federation::{Ceiling, inbound::site_of},
    intel::Table,
    moment::rfc3339,
    pipeline::{Fingerprint, Letter},
    telemetry::Metrics,
};

/// How far to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Nothing older, milliseconds since 1970-01-01 UTC.
    pub since: Option<u64>,
    /// Most entries of a stream.
    pub most: usize,
}

/// Everything that is known of the subject.
#[derive(Debug, Default, Serialize)]
pub(super) struct Traced {
    /// What was asked for.
    pub subject: String,
    /// Its events.
    pub events: Vec<Traces>,
    /// Indicators that its message told, where another site sent it.
    pub indicators: Vec<Told>,
    /// Dead letters of the same raw bytes, and of the same id.
    pub dead_letters: Vec<Buried>,
    /// Where was looked, and how far.
    pub looked_at: Vec<Place>,
}

/// What is known of one event.
#[derive(Debug, Default, Serialize)]
pub(super) struct Traces {
    pub id: Uuid,
    /// SHA-256 of its raw bytes.
    pub raw: Option<String>,
    pub source: String,
    pub topic: Option<String>,
    /// The site that it came from, where that is another one.
    pub origin: Option<String>,
    /// Its marking, as it came.
    pub tlp: Option<String>,
    pub device_id: Option<String>,
    pub severity: String,
    pub category: String,
    pub title: String,
    /// When it happened, as it says itself.
    pub timestamp: Option<String>,
    /// Who decided on it, in the order of the stages.
    pub guests: Vec<Named>,
    /// The shared indicators that were found in it.
    pub intel: Option<Intel>,
    /// Why it is in its streams.
    pub route_reason: Option<String>,
    /// Its entries.
    pub streams: Vec<Stored>,
    /// Where it was to be sent to, and why; none if it was kept.
    pub share: Option<Shared>,
    /// What the ceiling cut of what was shared.
    pub ceiling: Vec<String>,
    /// Why it was kept, if it was.
    pub keep_reason: Option<String>,
    /// How many of equal content were counted towards it instead of being stored.
    pub suppressed: u64,
    /// What of it still waits to be sent.
    pub outbox: Vec<InOutbox>,
    /// What JetStream says of it, if it was shared.
    pub jetstream: Option<Sent>,
    /// All that leaves of it, if it was shared: its own message first, then copies and indicators.
    pub messages: Vec<Leaving>,
    /// Which entry of an offered stream it is, and when was decided on that; none if it is an event.
    pub offered: Option<Stored>,
    /// The same moment, milliseconds since 1970-01-01 UTC by the clock of Redis.
    #[serde(skip)]
    pub decided_ms: Option<u64>,
    /// What stands behind the event's id in the ids of its other messages, and their subjects.
    #[serde(skip)]
    pub also: BTreeMap<String, String>,
}

/// A message that leaves, or has left.
#[derive(Debug, Serialize)]
pub(super) struct Leaving {
    /// As in the outbox.
    pub id: String,
    pub subject: String,
    /// Whether it is in the outbox.
    pub waits: bool,
    pub jetstream: Option<Sent>,
}

/// An entry of a stream.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    pub stream: String,
    pub entry: String,
    pub stored: String,
}

/// That an event was to leave the site.
#[derive(Debug, Serialize)]
pub(super) struct Shared {
    pub subject: Option<String>,
    pub reason: String,
}

/// A message in the outbox.
#[derive(Debug, Serialize)]
pub(super) struct InOutbox {
    pub entry: String,
    pub since: String,
    pub id: String,
    pub kind: String,
    pub subject: String,
}

/// A dead letter.
#[derive(Debug, Serialize)]
pub(super) struct Buried {
    pub id: String,
    pub kept: String,
    pub stage: String,
    pub reason: String,
    pub effect: String,
}

/// A stream that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Place {
    pub stream: String,
    pub entries: usize,
    /// Time of the oldest entry that was looked at.
    pub oldest: Option<String>,
    /// Whether there was nothing beyond, within the time that was asked for.
    pub complete: bool,
}

/// Most events out of equal raw bytes that are followed.
const MOST_EVENTS: usize = 20;

/// Most messages of one event: itself and its observables.
const MOST_MESSAGES: usize = 1000;

/// What of an event's own JSON is shown.
#[derive(Deserialize)]
struct Record {
    id: Uuid,
    #[serde(default)]
    source: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    title: String,
    timestamp_ms: Option<i64>,
    device_id: Option<String>,
    tlp: Option<String>,
    #[serde(default)]
    fields: Intel,
}

/// What the host has written into an event of shared indicators.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Intel {
    /// What was found.
    #[serde(rename(deserialize = "intel.match"))]
    pub matches: Option<String>,
    /// Who tells it.
    #[serde(rename(deserialize = "intel.sources"))]
    pub sources: Option<String>,
    /// How far it may go.
    #[serde(rename(deserialize = "intel.tlp"))]
    pub tlp: Option<String>,
    /// From which severity to which.
    #[serde(rename(deserialize = "intel.raised"))]
    pub raised: Option<String>,
    /// Why there is none of this.
    #[serde(rename(deserialize = "intel"))]
    pub status: Option<String>,
}

/// What stands beside it.
#[derive(Default, Deserialize)]
struct Provenance {
    #[serde(default)]
    guests: Vec<String>,
    route: Option<String>,
    share: Option<String>,
    keep: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    also: BTreeMap<String, String>,
    #[serde(default)]
    ceiling: Vec<String>,
}

impl Buried {
    fn of(letter: Letter) -> Self {
        let Letter { id, stage, reason, effect, .. } = letter;
        Self { id: id.to_string(), kept: rfc3339(id.ms), stage, reason, effect }
    }
}

impl Traced {
    /// Whether anything is known.
    pub(super) fn is_found(&self) -> bool {
        !self.events.is_empty() || !self.indicators.is_empty() || !self.dead_letters.is_empty()
    }
}

/// Finds all that there is of `subject`.
pub(super) async fn trace(opened: &Opened, subject: &Subject, bounds: Bounds) -> anyhow::Result<Traced> {
    let redis = opened.config.redis.clone().unwrap_or_default();
    let pool = Pool::new(&redis)?;
    let mut traced = Traced { subject: subject.to_string(), ..Traced::default() };
    let mut names = Names::new(&opened.config, &pool, redis.key(&redis.audit), bounds.most);
    let mut events: BTreeMap<Uuid, Traces> = BTreeMap::new();
    let decisions = (&pool, &redis, opened.config.federation.streams.decisions.as_str());
    let (id, mut raw) = match subject {
        Subject::Event(id) => (Some(*id), None),
        Subject::Raw(digest) => (None, Some(digest.clone())),
        Subject::Entry(entry) => match of_letter(opened, *entry).await? {
            Some(found) => found,
            None => {
                let which = Which::Entry(*entry);
                decided(decisions, which, bounds, &mut events, &mut traced.looked_at, &mut names).await?;
                anyhow::ensure!(
                    !events.is_empty(),
                    "there is no dead letter {entry} in {}: it was replayed, discarded or trimmed; and no entry of an offered \
                     stream with this id was decided on, as far as {} goes back; ask by the event's id, or by the SHA-256 of \
                     its raw bytes",
                    opened.letters.name(),
                    decisions.2
                );
                (None, None)
            }
        },
    };
    let (field, text) = match (&id, &raw) {
        (Some(id), _) => ("data", format!("\"id\":\"{id}\"")),
        (None, digest) => ("raw", digest.clone().unwrap_or_default()),
    };
    let enough = if id.is_some() { 1 } else { MOST_EVENTS };
    let wanted = Wanted { field, text: &text, since: bounds.since, most: bounds.most, enough };
    // An entry that was offered is in no stream of events.
    for (stream, _) in redis.routable().filter(|_| !text.is_empty()) {
        let looked = search(&pool, &redis.key(stream), &wanted).await?;
        traced.looked_at.push(Place::of(stream, &looked));
        for (entry, fields) in looked.found {
            if let Some(found) = read(&fields, &mut names).await.filter(|found| id.is_none_or(|id| id == found.id)) {
                raw = raw.or_else(|| found.raw.clone());
                let stored = rfc3339(entry.ms);
                let stored = Stored { stream: stream.clone(), entry: entry.to_string(), stored };
                events.entry(found.id).or_insert(found).streams.push(stored);
            }
        }
    }
    if let Some(id) = id.filter(|id| !events.contains_key(id)) {
        decided(decisions, Which::Event(id), bounds, &mut events, &mut traced.looked_at, &mut names).await?;
    }
    let ids: Vec<Uuid> = id.into_iter().chain(events.keys().copied()).collect();
    for &id in &ids[usize::from(id.is_some() && ids.len() > 1)..] {
        waiting(&pool, &redis, id, bounds, &mut events, &mut traced.looked_at, &mut names).await?;
    }
    let mut asker = Asker::new(opened.config.nats.as_ref(), &opened.config.site.id);
    for traces in events.values_mut() {
        let key = redis.state_key(&format!("suppressed:{}", traces.id));
        traces.suppressed = text_at(&pool, &key).await?.and_then(|count| count.parse().ok()).unwrap_or(0);
        sent(traces, &mut asker).await;
    }
    if let (Some(id), Some(intel)) = (id, &opened.config.intel) {
        let ceiling = Arc::new(Ceiling::new(&opened.config));
        let table = Table::new(&pool, &redis, intel, ceiling, &Metrics::new().intel);
        traced.indicators = told(&table, &redis, id, bounds, &mut traced.looked_at).await?;
    }
    letters(opened, &ids, raw.as_deref(), bounds, &mut traced).await?;
    traced.events = events.into_values().collect();
    Ok(traced)
}

/// What a dead letter is about: an event, if it is a message of one, else its raw bytes. None: there is no such letter.
async fn of_letter(opened: &Opened, id: EntryId) -> anyhow::Result<Option<(Option<Uuid>, Option<String>)>> {
    let Some((id, fields)) = opened.letters.get(&[id]).await?.pop() else { return Ok(None) };
    let letter = Letter::new(id, fields);
    let of_message = letter.message_id.split(':').next().and_then(|id| id.parse().ok());
    Ok(Some(match of_message {
        Some(event) => (Some(event), None),
        None => (None, Some(hex(&Sha256::digest(&letter.payload)))),
    }))
}

/// Reads an entry; none if it is not one of ours.
async fn read(fields: &Fields, names: &mut Names) -> Option<Traces> {
    let record: Record = serde_json::from_slice(fields.get("data")?).ok()?;
    let text = |name: &str| {
        let text = fields.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        text.filter(|text| !text.is_empty())
    };
    let mut traces = Traces {
        id: record.id,
        raw: text("raw"),
        source: record.source,
        topic: text("topic"),
        origin: text("origin"),
        tlp: record.tlp,
        device_id: record.device_id,
        severity: record.severity,
        category: record.category,
        title: record.title,
        timestamp: record.timestamp_ms.map(rfc3339),
        intel: Some(record.fields).filter(|intel| intel.matches.is_some() || intel.status.is_some()),
        ..Traces::default()
    };
    read_provenance(fields, &mut traces, names).await;
    Some(traces)
}

/// Enters who decided on it, and how.
pub(super) async fn read_provenance(fields: &Fields, traces: &mut Traces, names: &mut Names) {
    let provenance = fields.get("provenance").and_then(|json| serde_json::from_slice(json).ok());
    let Provenance { guests, route, share, keep, subject, also, ceiling } = provenance.unwrap_or_default();
    for guest in &guests {
        traces.guests.push(names.of(guest).await);
    }
    traces.route_reason = route;
    traces.share = share.map(|reason| Shared { subject, reason });
    traces.keep_reason = keep;
    traces.also = also;
    traces.ceiling = ceiling;
}

/// What of the event `id` is in the outbox. An event that is only shared has no other place.
async fn waiting(
    pool: &Pool,
    redis: &Config,
    id: Uuid,
    bounds: Bounds,
    events: &mut BTreeMap<Uuid, Traces>,
    looked_at: &mut Vec<Place>,
    names: &mut Names,
) -> anyhow::Result<()> {
    let text = id.to_string();
    let wanted = Wanted { field: "id", text: &text, since: bounds.since, most: bounds.most, enough: MOST_MESSAGES };
    let looked = search(pool, &redis.key(&redis.outbox), &wanted).await?;
    if looked_at.iter().all(|place| place.stream != redis.outbox) {
        looked_at.push(Place::of(&redis.outbox, &looked));
    }
    for (entry, fields) in looked.found {
        let text =
            |name: &str| fields.get(name).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
        let message = InOutbox {
            entry: entry.to_string(),
            since: rfc3339(entry.ms),
            id: text("id"),
            kind: text("kind"),
            subject: text("subject"),
        };
        if message.id.split(':').next() != Some(&*id.to_string()) {
            continue;
        }
        if message.id == id.to_string() && !events.contains_key(&id) {
            let mut found = read(&fields, names).await.unwrap_or_else(|| Traces { id, ..Traces::default() });
            // An attestation has no id of its own in its message.
            found.id = id;
            events.insert(id, found);
        }
        if let Some(traces) = events.get_mut(&id) {
            if let Some(share) = traces.share.as_mut().filter(|_| message.id == id.to_string()) {
                share.subject.get_or_insert_with(|| message.subject.clone());
            }
            traces.outbox.push(message);
        }
    }
    Ok(())
}

/// Asks JetStream for all messages of a shared event.
async fn sent(traces: &mut Traces, asker: &mut Asker<'_>) {
    let Some(share) = &traces.share else { return };
    let Some(subject) = &share.subject else {
        let reason = "its entry does not say on which subject".to_owned();
        traces.jetstream = Some(Sent::Unknown { reason });
        return;
    };
    let mut messages = messages(traces, subject);
    // All entries of an event are of one step, so any says when that was.
    let entries = traces.streams.iter().map(|stored| &stored.entry).chain(traces.outbox.iter().map(|one| &one.entry));
    let entries = entries.filter_map(|entry| entry.parse::<EntryId>().ok()).map(|entry| entry.ms);
    let first = entries.chain(traces.decided_ms).min();
    let since = first.and_then(|ms| i64::try_from(ms).ok()).unwrap_or_default();
    let mut subjects: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, message) in messages.iter().enumerate() {
        subjects.entry(message.subject.clone()).or_default().push(place);
    }
    for (subject, places) in subjects {
        let ids: Vec<&str> = places.iter().map(|&place| messages[place].id.as_str()).collect();
        let answers = asker.ask(&subject, &ids, since).await;
        for (place, answer) in places.into_iter().zip(answers) {
            messages[place].jetstream = Some(answer);
        }
    }
    traces.jetstream = messages.first().and_then(|own| own.jetstream.clone());
    traces.messages = messages;
}

/// What leaves of an event whose own message goes to `subject`: what is written beside it, and what waits besides, for an
/// older version wrote nothing.
fn messages(traces: &Traces, subject: &str) -> Vec<Leaving> {
    let own = (traces.id.to_string(), subject.to_owned());
    let also = traces.also.iter().map(|(suffix, subject)| (format!("{}{suffix}", traces.id), subject.clone()));
    let mut all: Vec<_> = std::iter::once(own).chain(also).collect();
    for waiting in &traces.outbox {
        if all.iter().all(|(id, _)| *id != waiting.id) {
            all.push((waiting.id.clone(), waiting.subject.clone()));
        }
    }
    let of = |(id, subject): (String, String)| {
        let waits = traces.outbox.iter().any(|waiting| waiting.id == id);
        Leaving { id, subject, waits, jetstream: None }
    };
    all.into_iter().map(of).collect()
}

/// Dead letters of the events `ids`, and of the raw bytes with the digest `raw`.
async fn letters(
    opened: &Opened,
    ids: &[Uuid],
    raw: Option<&str>,
    bounds: Bounds,
    traced: &mut Traced,
) -> anyhow::Result<()> {
    let mut walk = opened.letters.walk(Span { since: bounds.since, until: None }, Order::NewestFirst);
    let mut place = Place { stream: opened.letters.name().to_owned(), entries: 0, oldest: None, complete: true };
    while let Some(part) = walk.next().await? {
        // What another site sent has an id that only its payload says.
        let mut suspects = Vec::new();
        for listed in part {
            let letter = Letter::of(listed);
            place.entries += 1;
            place.oldest = Some(rfc3339(letter.id.ms));
            if raw.is_some_and(|raw| raw == letter.raw) || ids.iter().any(|&id| concerns(&letter, id)) {
                traced.dead_letters.push(Buried::of(letter));
            } else if !ids.is_empty() && site_of(&letter.context).is_some() {
                suspects.push(letter.id);
            }
        }
        traced.dead_letters.extend(naming(&opened.letters, &suspects, ids).await?.into_iter().map(Buried::of));
        if place.entries >= bounds.most {
            place.complete = false;
            break;
        }
    }
    traced.looked_at.push(place);
    Ok(())
}

/// Events of one delivery that an id is tried against, where a letter does not say which it concerns.
const FIRST_EVENTS: u32 = 16;

/// Whether a letter is one of the event `id`.
fn concerns(letter: &Letter, id: Uuid) -> bool {
    if letter.message_id.split(':').next() == Some(&*id.to_string()) {
        return true;
    }
    // Ids are made of the digest of the delivery alone, so the payload is not asked for.
    let Some(fingerprint) = Fingerprint::recall(&letter.delivery, b"") else { return false };
    (0..FIRST_EVENTS).chain(letter.positions.iter().copied()).any(|position| fingerprint.event_id(position) == id)
}

impl Place {
    pub(super) fn of(stream: &str, looked: &Looked) -> Self {
        let oldest = looked.oldest.map(|id| rfc3339(id.ms));
        // What was found early needs no further look.
        Self {
            stream: stream.to_owned(),
            entries: looked.entries,
            oldest,
            complete: looked.is_over || !looked.found.is_empty(),
        }
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(fields: &[(&str, &str)]) -> Letter {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Letter::new(EntryId { ms: 1, sequence: 0 }, fields.collect())
    }

    #[test]
    fn every_message_of_an_event_is_asked_for_whether_it_is_written_down_or_waits() {
        let id = Uuid::from_u128(7);
        let waiting = |id: String, subject: &str| InOutbox {
            entry: "1-0".to_owned(),
            since: String::new(),
            id,
            kind: "ioc".to_owned(),
            subject: subject.to_owned(),
        };
        let traces = Traces {
            id,
            also: BTreeMap::from([(":AURORA".to_owned(), "AURORA.alerts".to_owned())]),
            outbox: vec![waiting(format!("{id}:AURORA"), "AURORA.alerts"), waiting(format!("{id}:ioc:0"), "i")],
            ..Traces::default()
        };
        let all = messages(&traces, "a.b");
        let all: Vec<_> = all.iter().map(|one| (&*one.id, &*one.subject, one.waits)).collect();
        let (copy, indicator, own) = (format!("{id}:AURORA"), format!("{id}:ioc:0"), id.to_string());
        assert_eq!(all, [(&*own, "a.b", false), (&*copy, "AURORA.alerts", true), (&*indicator, "i", true)]);
    }

    #[test]
    fn a_letter_concerns_the_events_of_its_delivery_and_the_messages_of_an_event() {
        let delivery = "07".repeat(32);
        let fingerprint = Fingerprint::recall(&delivery, b"anything").unwrap();
        let of_delivery = letter(&[("delivery", &delivery), ("events", "40")]);
        for position in [0, 3, 40] {
            assert!(concerns(&of_delivery, fingerprint.event_id(position)), "{position}");
        }
        assert!(!concerns(&of_delivery, fingerprint.event_id(17)));
        let id = fingerprint.event_id(0);
        assert!(concerns(&letter(&[("id", &format!("{id}:ioc:1"))]), id));
        assert!(!concerns(&letter(&[("id", "x")]), id));
    }
}
