//! One batch, stored in one step of Redis: the script `commit.lua`. Everything that says that the batch was stored is
//! written in the step that stores it, so there is no instant at which one is true without the other.
//!
//! # Why nothing is stored twice
//!
//! A batch has a producer (one lane of one process) and a number. The script keeps the number of each producer's last
//! batch; a batch with a number that is not higher was stored, and is not stored again. Batches of a producer are sent
//! one after the other, from the lane or out of the spool, so the numbers only rise. What can go wrong, in order:
//!
//! | broken at this point | what happens then |
//! |---|---|
//! | before the script has run | nothing is stored; the same batch is sent again |
//! | a stream refuses an entry in the middle | the script takes back what it has written, and nothing is stored |
//! | the script has run, its answer is lost | the same batch is sent again under its number, and is recognised |
//! | the batch waits in the spool, with its number | likewise: it may have run before it was spooled, or between its replay and its removal |
//! | Redis dies inside the script | a script's writes reach the append-only file together; a torn end is cut off when Redis starts |
//! | the host dies before the answer | its sources deliver again: see below |
//! | what the dead host had sent arrives late, after its successor began | it has an older epoch, and is refused: each process registers before its first commit, which raises the epoch |
//! | Redis comes back with an older state | the number of the last batch is older by as much, which the next batch notices and reports: [`Stored::lost`]. No client can repair that; see "How sure is stored" in `deploy/README.md` |
//!
//! A delivery that comes again in another batch is recognised by its [`Guard`], in the same step:
//!
//! * **MQTT**: the session keeps the packet ids of what was stored, each with a digest of where it came from and what it
//!   says. A delivery that the broker marks as a repetition (DUP), with the last digest of its packet id, is a repeat. One
//!   without DUP is new, for a broker reuses an id only after it has our acknowledgement. Both together could still be
//!   wrong among events that are equal (heartbeats without a time) where an id has been used again, and we die before
//!   the second delivery is stored. So a mark counts only for half of a round of ids (the horizon). Within that a broker that counts its ids up (mosquitto,
//!   EMQX, NATS, RabbitMQ) gives none out twice, unless it was killed and lost its count. That shows as soon as one such
//!   delivery is stored: from there on the marks of before tell nothing of events that are equal. Likewise from an
//!   instant on at which nothing is under way and the broker has all our acknowledgements, which the session notes once
//!   a connection ([`Session::all_acknowledged`](super::Session::all_acknowledged)). What remains: a broker is killed and
//!   comes back with an older count, and we are killed, too, after it has begun to deliver anew and before we have stored
//!   or noted anything. Equal events among those deliveries (no others) are then taken for those of before, and lost:
//!   nothing that MQTT carries tells the one from the other.
//! * **Entries of a Redis stream**: the step acknowledges the entry itself. If it was not pending any more, another
//!   commit has stored it.
//! * **Lines of an HTTP request with a key**: each has a mark, for a day.
//! * **Messages of other sites**: each has a mark, for longer than messages of its age are taken at all. It is made of the
//!   site and of the id that the event has there, and not of a place in a stream: a mirror has other places, and so has a
//!   stream that was made again.
//!
//! **Events of equal content** within the window of dedup are one event, whatever delivered them: the step looks all
//! of the batch's keys up, stores those that are new, and counts the others towards the first. This also catches what a
//! broker delivers again under new packet ids, because it was killed and forgot that it had delivered it.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry as Slot},
    sync::{Arc, LazyLock},
};

use redis::{Cmd, Pipeline, Script};
use uuid::Uuid;

use super::{
    Layout, Sealed, Stream,
    sealed::{Ends, Shape},
};

pub(super) static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// Layout of the script's arguments, first of them. A spool may hold batches of an older version.
const LAYOUT: &str = "2";

/// Arguments behind the operations, forms and keys: the ids, the marks, the streams, three counts and the number.
const BEHIND: usize = 7;

/// Under what a delivery is recognised when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard<'a> {
    /// It never comes again.
    None,
    /// A packet of MQTT.
    Packet {
        /// Its packet id.
        id: u16,
        /// Digest of what it says and where it came from.
        digest: [u8; 6],
        /// Whether the broker says that it delivers it again.
        dup: bool,
    },
    /// A line of a request that its client may send again.
    Request {
        /// Digest of the request's key.
        key: &'a [u8; 16],
        /// Which line.
        line: u64,
        /// Digest of what it says: another text under the same key is another event.
        digest: [u8; 8],
    },
    /// A message of another site.
    Message {
        /// Digest of its site and id.
        mark: &'a [u8; 16],
        /// The day of which it speaks; marks are kept by days.
        day: u32,
        /// For how long the marks of that day are kept from now on, seconds.
        life: u64,
        /// Whether it is turned away, which its mark says from then on.
        away: bool,
    },
    /// An entry that was read through a consumer group. It is acknowledged, and removed from its stream or not.
    Entry {
        /// The stream.
        stream: Stream,
        /// The group.
        group: &'a str,
        /// The entry's id.
        id: &'a str,
        /// Whether it goes from the stream.
        remove: bool,
    },
    /// An entry that is taken out of its stream.
    Removal {
        /// The stream.
        stream: Stream,
        /// The entry's id.
        id: &'a str,
    },
}

/// A batch while it is put together: deliveries, each with its events, each with its entries. Made by a [`Producer`].
#[derive(Debug)]
pub struct Commit {
    layout: Arc<Layout>,
    command: Cmd,
    /// The entries alone, where the step is [`Step::Plain`](super::Step::Plain).
    plain: Option<Pipeline>,
    deliveries: usize,
    events: usize,
    /// Whether the delivery before could be a repeat.
    guarded: bool,
    /// Marks of packets, as the script takes them.
    packets: Vec<u8>,
    /// Keys of dedup with the place of each, and with the ids of their events, as the script takes them.
    keys: HashMap<[u8; 16], usize>,
    key_ids: Vec<u8>,
    /// Forms of entries: an entry names its form by its place.
    forms: Vec<Form>,
    begun: Begun,
    entries: Vec<Stream>,
    /// The streams of entries that have no form.
    others: BTreeSet<usize>,
    /// Whether there is anything to do: a delivery alone may have to be acknowledged.
    is_empty: bool,
}

/// A normalized event, as consumers read it: each is a field of its entry.
#[derive(Clone, Copy, Debug)]
pub struct Normalized<'a> {
    /// The event, JSON.
    pub data: &'a [u8],
    /// How bad it is.
    pub severity: &'a str,
    /// Where it came from.
    pub source: &'a str,
    /// What part of the site it concerns.
    pub category: &'a str,
    /// SHA-256 of the raw bytes, in hexadecimal.
    pub raw: &'a str,
    /// MQTT topic; empty where there is none.
    pub topic: &'a str,
    /// Which guests made it, and why it went where it did, JSON.
    pub provenance: &'a str,
    /// The site that it comes from; empty where it is this one, and then there is no such field.
    pub origin: &'a str,
}

/// A message for other sites, as the relay reads it: each is a field of its entry.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// JetStream subject.
    pub subject: &'a str,
    /// What becomes `Nats-Msg-Id`.
    pub id: &'a str,
    /// `alert`, `ioc` or `attestation`; `copy` of an alert in the second set of subjects; of an entry of a stream that is
    /// offered, which: `agent_results`, `audit` or `soar`.
    pub kind: &'a str,
    /// The message.
    pub data: &'a [u8],
    /// Which guests made it, and why it leaves, JSON.
    pub provenance: &'a str,
}

/// What entries have in common.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Event { stream: Stream, severity: String, source: String, category: String, provenance: String, is_own: bool },
    Outbox { stream: Stream, subject: String, kind: String, provenance: String },
}

/// How the first entry of an event begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// It has.
    Yes,
    WithKey,
    WithoutKey,
}

/// Numbers the batches of one lane.
#[derive(Debug)]
pub struct Producer {
    name: String,
    layout: Arc<Layout>,
    number: u64,
}

impl Producer {
    pub(super) fn new(name: String, layout: &Arc<Layout>) -> Self {
        Self { name, layout: Arc::clone(layout), number: 0 }
    }

    /// Begins a batch of about `bytes` bytes.
    #[must_use]
    pub fn begin(&self, bytes: usize) -> Commit {
        let keys = &self.layout.keys;
        let mut command = Cmd::with_capacity(64 + bytes / 64, 512 + bytes);
        command.arg("EVALSHA").arg(SCRIPT.get_hash()).arg(keys.len()).arg(keys);
        command.arg(LAYOUT).arg(&self.name).arg(&self.layout.settings);
        Commit {
            layout: Arc::clone(&self.layout),
            command,
            plain: self.layout.is_plain.then(Pipeline::new),
            deliveries: 0,
            events: 0,
            guarded: false,
            packets: Vec::new(),
            keys: HashMap::new(),
            key_ids: Vec::new(),
            forms: Vec::new(),
            begun: Begun::Yes,
            entries: Vec::new(),
            others: BTreeSet::new(),
            is_empty: true,
        }
    }

    /// Ends a batch; it is this producer's next. None if there is nothing to store.
    pub fn seal(&mut self, commit: Commit) -> Option<Sealed> {
        if commit.is_empty {
            return None;
        }
        let Commit {
            mut command,
            plain,
            layout,
            deliveries,
            events,
            packets,
            keys,
            key_ids,
            forms,
            entries,
            others,
            ..
        } = commit;
        self.number += 1;
        for form in &forms {
            match form {
                Form::Event { stream, severity, source, category, provenance, is_own } => {
                    let form = if *is_own { "e" } else { "f" };
                    command.arg(form).arg(stream.0 + 1).arg(severity).arg(source).arg(category).arg(provenance)
                }
                Form::Outbox { stream, subject, kind, provenance } => {
                    command.arg("o").arg(stream.0 + 1).arg(subject).arg(kind).arg("").arg(provenance)
                }
            };
        }
        for key_id in key_ids.chunks(32) {
            command.arg(&key_id[..16]);
        }
        command.arg(&key_ids).arg(&packets).arg(listed(&others));
        command.arg(packets.len() / 8).arg(keys.len()).arg(forms.len()).arg(self.number);
        let ends = Ends { behind: 6 * forms.len() + keys.len() + BEHIND, others };
        let shape = Shape { deliveries, events, entries: entries.len() };
        Some(Sealed::new(command, plain, layout, entries, ends, shape, self.number))
    }
}

impl Commit {
    /// Begins a delivery.
    pub fn delivery(&mut self, guard: Guard<'_>) {
        let (command, place) = (&mut self.command, self.deliveries);
        self.deliveries += 1;
        let was_guarded = std::mem::replace(&mut self.guarded, true);
        match guard {
            Guard::None => self.guarded = false,
            Guard::Packet { id, digest, dup } => {
                let mark = self.packets.len();
                self.packets.extend_from_slice(&id.to_be_bytes());
                self.packets.extend_from_slice(&digest);
                self.guarded = dup;
                if dup {
                    command.arg("m").arg(place).arg(&self.packets[mark..]);
                }
            }
            Guard::Request { key, line, digest } => {
                command.arg("k").arg(place).arg(hex(key)).arg(format!("{line}:{}", hex(&digest)));
            }
            Guard::Message { mark, day, life, away } => {
                // What is turned away, or tells of an indicator alone, has no entry, and is to be known all the same.
                self.is_empty = false;
                command.arg(if away { "t" } else { "j" }).arg(place).arg(day).arg(mark).arg(life);
            }
            Guard::Entry { stream, group, id, remove } => {
                self.is_empty = false;
                command.arg(if remove { "a" } else { "c" }).arg(place).arg(stream.0 + 1).arg(group).arg(id);
            }
            Guard::Removal { stream, id } => {
                self.is_empty = false;
                command.arg("x").arg(place).arg(stream.0 + 1).arg(id);
            }
        }
        if was_guarded && !self.guarded {
            command.arg("n");
        }
    }

    /// Begins an event of the delivery, which must have an entry. Events of the same `key` are one, within the window;
    /// none: it is never.
    pub fn event(&mut self, key: Option<[u8; 16]>, id: Uuid) {
        self.events += 1;
        let Some(key) = key else {
            self.begun = Begun::WithoutKey;
            return;
        };
        let place = self.keys.len() + 1;
        match self.keys.entry(key) {
            Slot::Vacant(slot) => {
                slot.insert(place);
                self.key_ids.extend_from_slice(&key);
                self.key_ids.extend_from_slice(id.as_bytes());
                self.begun = Begun::WithKey;
            }
            // The same content twice in one batch.
            Slot::Occupied(slot) => {
                self.command.arg("w").arg(slot.get()).arg(id.as_bytes());
                self.begun = Begun::Yes;
            }
        }
    }

    /// An entry of the event: normalized.
    pub fn normalized(&mut self, stream: Stream, event: &Normalized<'_>) {
        let Normalized { data, severity, source, category, raw, topic, provenance, origin } = *event;
        let is_own = origin.is_empty();
        if self.plain.is_some() {
            let fields = [
                ("data", data),
                ("severity", severity.as_bytes()),
                ("source", source.as_bytes()),
                ("category", category.as_bytes()),
                ("raw", raw.as_bytes()),
                ("topic", topic.as_bytes()),
                ("provenance", provenance.as_bytes()),
                ("origin", origin.as_bytes()),
            ];
            return self.add_plain(stream, &fields[..fields.len() - usize::from(is_own)]);
        }
        let of = |form: &Form| match form {
            Form::Event { stream: s, severity: a, source: b, category: c, provenance: d, is_own: e } => {
                *s == stream && a == severity && b == source && c == category && d == provenance && *e == is_own
            }
            Form::Outbox { .. } => false,
        };
        let form = self.forms.iter().position(of).unwrap_or_else(|| {
            let [severity, source, category, provenance] = [severity, source, category, provenance].map(str::to_owned);
            self.forms.push(Form::Event { stream, severity, source, category, provenance, is_own });
            self.forms.len() - 1
        });
        let command = self.add(form, stream).arg(data).arg(raw).arg(topic);
        if !is_own {
            command.arg(origin);
        }
    }

    /// An entry of the event: a message for other sites.
    pub fn outbox(&mut self, stream: Stream, message: &Message<'_>) {
        let Message { subject, id, kind, data, provenance } = *message;
        if self.plain.is_some() {
            let texts = [("subject", subject), ("id", id), ("kind", kind), ("provenance", provenance)];
            let [subject, id, kind, provenance] = texts.map(|(name, text)| (name, text.as_bytes()));
            return self.add_plain(stream, &[subject, id, kind, ("data", data), provenance]);
        }
        let of = |form: &Form| match form {
            Form::Outbox { stream: s, subject: a, kind: b, provenance: c } => {
                *s == stream && a == subject && b == kind && c == provenance
            }
            Form::Event { .. } => false,
        };
        let form = self.forms.iter().position(of).unwrap_or_else(|| {
            let [subject, kind, provenance] = [subject, kind, provenance].map(str::to_owned);
            self.forms.push(Form::Outbox { stream, subject, kind, provenance });
            self.forms.len() - 1
        });
        self.add(form, stream).arg(id).arg(data);
    }

    /// An entry of the delivery, or of none.
    pub fn entry(&mut self, stream: Stream, fields: &[(&str, &[u8])]) {
        if self.plain.is_some() {
            return self.add_plain(stream, fields);
        }
        self.entries.push(stream);
        self.others.insert(stream.0 + 1);
        self.is_empty = false;
        self.command.arg("g").arg(stream.0 + 1).arg(2 * fields.len());
        for (name, value) in fields {
            self.command.arg(name).arg(value);
        }
    }

    /// An entry about the delivery, or about those of its `events` that are named, by their positions in the batch: a dead
    /// letter. It is left out where the delivery is a repeat, or all of those events are suppressed.
    pub fn letter(&mut self, stream: Stream, delivery: usize, events: &[usize], fields: &[(&str, &[u8])]) {
        if self.plain.is_some() {
            return self.add_plain(stream, fields);
        }
        self.entries.push(stream);
        self.others.insert(stream.0 + 1);
        self.is_empty = false;
        add_letter(&mut self.command, stream, delivery, events, fields);
    }

    /// How many events have begun.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events
    }

    /// How many entries it has.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch without entries may still have something to store")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn add_plain(&mut self, stream: Stream, fields: &[(&str, &[u8])]) {
        self.entries.push(stream);
        self.is_empty = false;
        let Some(pipeline) = &mut self.plain else { return };
        // As much as it takes: entries are large, and growing one would copy it.
        let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut command = Cmd::with_capacity(2 * fields.len() + 6, bytes + 64);
        command.arg("XADD").arg(self.layout.key(stream));
        let length = self.layout.length(stream);
        if length > 0 {
            command.arg("MAXLEN").arg("~").arg(length);
        }
        command.arg("*");
        for (name, value) in fields {
            command.arg(*name).arg(*value);
        }
        pipeline.add_command(command);
    }

    /// The script counts forms from 1.
    fn add(&mut self, form: usize, stream: Stream) -> &mut Cmd {
        self.entries.push(stream);
        self.is_empty = false;
        let begins = match std::mem::replace(&mut self.begun, Begun::Yes) {
            Begun::Yes => "",
            Begun::WithKey => "v",
            Begun::WithoutKey => "u",
        };
        self.command.arg(format!("{begins}{}", form + 1))
    }
}

/// Adds the operation of [`Commit::letter`].
pub(super) fn add_letter(
    command: &mut Cmd,
    stream: Stream,
    delivery: usize,
    events: &[usize],
    fields: &[(&str, &[u8])],
) {
    command.arg("l").arg(delivery).arg(stream.0 + 1).arg(events.len()).arg(events).arg(2 * fields.len());
    for (name, value) in fields {
        command.arg(name).arg(value);
    }
}

/// Positions of streams as the script takes them.
pub(super) fn listed(streams: &BTreeSet<usize>) -> String {
    streams.iter().fold(",".to_owned(), |text, stream| format!("{text}{stream},"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
