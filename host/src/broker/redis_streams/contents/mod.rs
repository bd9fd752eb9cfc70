//! What a record of the spool says, for a person and for who stores it by hand. Read as `commit.lua` reads it, but for
//! bytes that may be damaged: what does not fit is skipped, and nothing here is an error.

mod strings;
mod reading;

use uuid::Uuid;

use self::{reading::Reading, strings::bulk_strings};
use super::layout::OWN;

/// A record, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its parts, in their order.
    pub parts: Vec<Part>,
    /// Whether it was read to its end. Otherwise only events and letters are there, without the streams of the events,
    /// and there may have been more.
    pub is_whole: bool,
}

/// Something that a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A delivery begins.
    Delivery {
        /// Its position, as dead letters name it, where that can be told.
        position: Option<usize>,
        /// How it is recognised when it comes again, where that is of use now: packet ids are not.
        known_by: Option<KnownBy>,
    },
    /// An event begins, whose entries follow. Events of one key are one.
    Event {
        /// Its key.
        key: Option<[u8; 16]>,
    },
    /// What becomes an entry.
    Entry {
        /// Its position among the entries.
        position: usize,
        /// Key of its stream, where that can be told.
        stream: Option<String>,
        /// What it says.
        what: What,
    },
}

/// How a delivery is recognised when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// The line of a request.
    Request {
        /// Digest of the request's key.
        key: [u8; 16],
        /// Which line.
        line: u64,
        /// Digest of what it says.
        digest: [u8; 8],
    },
    /// The message of another site.
    Message {
        /// Digest of its site and id.
        mark: [u8; 16],
        /// The day of which it speaks.
        day: u32,
        /// For how long the marks of that day are kept, seconds.
        life: u64,
        /// Whether it is turned away.
        away: bool,
    },
    /// The entry of a stream that was read through a group.
    Entry {
        /// Key of the stream.
        stream: String,
        /// The group.
        group: String,
        /// The entry.
        id: String,
        /// Whether it goes from the stream.
        remove: bool,
    },
}

/// What an entry says, by its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A normalized event.
    Normalized(Fields),
    /// A message for other sites.
    Message(Fields),
    /// A dead letter.
    Letter {
        /// The position of its delivery.
        delivery: usize,
        /// Its fields.
        fields: Fields,
    },
    /// Anything else.
    Other(Fields),
}

/// Names and values. Empty ones are those that an older version did not have.
pub type Fields = Vec<(String, Vec<u8>)>;

impl What {
    /// Its fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        match self {
            Self::Normalized(fields) | Self::Message(fields) | Self::Letter { fields, .. } | Self::Other(fields) => {
                fields
            }
        }
    }

    /// One of its fields; empty where it has none of this name.
    #[must_use]
    pub fn bytes(&self, field: &str) -> &[u8] {
        self.fields().iter().find(|(name, _)| name == field).map_or(&[], |(_, value)| value)
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        str::from_utf8(self.bytes(field)).unwrap_or_default()
    }

    /// Id of the event that it is, or belongs to.
    #[must_use]
    pub fn event_id(&self) -> Option<Uuid> {
        match self {
            Self::Normalized(_) => id_of(self.bytes("data")),
            // Of an observable it has something behind it.
            Self::Message(_) => Uuid::parse_str(self.text("id").get(..36)?).ok(),
            Self::Letter { .. } | Self::Other(_) => None,
        }
    }
}

/// What the JSON of every normalized event begins with.
const BEGINNING: &[u8] = b"{\"id\":\"";

/// Id of a normalized event out of its JSON.
#[must_use]
pub fn id_of(data: &[u8]) -> Option<Uuid> {
    let id = data.strip_prefix(BEGINNING)?.get(..36)?;
    Uuid::try_parse_ascii(id).ok()
}

impl Contents {
    /// Takes a record apart.
    #[must_use]
    pub fn of(record: &[u8]) -> Self {
        let (arguments, is_framed) = bulk_strings(record);
        match is_framed.then(|| Reading::begin(&arguments)?.parts()).flatten() {
            Some(parts) => Self { parts, is_whole: true },
            None => Self { parts: fragments(&arguments), is_whole: false },
        }
    }

    /// Its entries: of each its position, the key of its stream, and what it says.
    pub fn entries(&self) -> impl Iterator<Item = (usize, Option<&str>, &What)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Entry { position, stream, what } => Some((*position, stream.as_deref(), what)),
            _ => None,
        })
    }
}

/// What can be told of strings without what stood around them: events by how they begin, and letters by their fields.
fn fragments(strings: &[&[u8]]) -> Vec<Part> {
    let (mut parts, mut at) = (Vec::new(), 0);
    let mut add = |what| {
        let position = parts.len();
        parts.push(Part::Entry { position, stream: None, what });
    };
    while let Some(&string) = strings.get(at) {
        at += 1;
        if id_of(string).is_some() {
            add(What::Normalized(pairs([("data", string)])));
        } else if string == b"stage" {
            let rest = strings[at - 1..].chunks_exact(2);
            let fields: Vec<_> = rest.map_while(|pair| Some((letter_field(pair[0])?, pair[1]))).collect();
            // The name was counted, if it has a value.
            at += (2 * fields.len()).saturating_sub(1);
            add(What::Letter { delivery: 0, fields: pairs(fields) });
        }
    }
    parts
}

/// The fields of a dead letter.
const OF_LETTERS: [&str; 17] = [
    "stage",
    "reason",
    "guest",
    "payload",
    "source",
    "format",
    "time",
    "attempts",
    "effect",
    "events",
    "streams",
    "delivery",
    "raw",
    "topic",
    "device_id",
    "channel",
    "source_ip",
];

fn letter_field(name: &[u8]) -> Option<&'static str> {
    OF_LETTERS.into_iter().find(|field| field.as_bytes() == name)
}

fn pairs<'a>(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{
        super::{Commit, Config, Durability, Guard, Layout, Level, Memory, Message, Normalized, Session},
        *,
    };

    const DATA: &str = r#"{"id":"00000000-0000-0000-0000-000000000007","source":"x"}"#;

    fn layout() -> Arc<Layout> {
        let memory = Memory { dedup: Duration::from_secs(60), horizon: 10, session: Duration::from_secs(60) };
        let streams = ["aurora:alerts", "aurora:outbox", "aurora:dead_letter", "aurora:raw"];
        Layout::new(&Config::default(), "host".to_owned(), streams.map(|name| (name.to_owned(), 0)).into(), &memory)
    }

    /// A batch with all that there may be in one.
    fn record() -> Vec<u8> {
        let layout = layout();
        let durability = Durability { level: Level::Memory, replicas: 0, timeout: Duration::ZERO };
        let mut producer = Session::new(&layout, durability, false).producer("lane-0");
        let mut commit = producer.begin(0);
        let [alerts, outbox, letters, raw] = ["aurora:alerts", "aurora:outbox", "aurora:dead_letter", "aurora:raw"]
            .map(|name| layout.stream(name).unwrap());
        let normalized = Normalized {
            data: DATA.as_bytes(),
            severity: "high",
            source: "x",
            category: "network",
            raw: "ab",
            topic: "t",
            provenance: "{}",
            origin: "",
        };
        let event = |commit: &mut Commit, key: Option<u8>| {
            commit.event(key.map(|key| [key; 16]), Uuid::from_u128(7));
            commit.normalized(alerts, &normalized);
        };
        commit.delivery(Guard::Packet { id: 1, digest: [1; 6], dup: false });
        event(&mut commit, Some(1));
        commit.outbox(
            outbox,
            &Message {
                subject: "s",
                id: "00000000-0000-0000-0000-000000000007:ioc:1",
                kind: "ioc",
                data: b"{}",
                provenance: "p",
            },
        );
        commit.delivery(Guard::Packet { id: 2, digest: [2; 6], dup: true });
        event(&mut commit, Some(1));
        commit.delivery(Guard::Request { key: &[0xab; 16], line: 5, digest: [0xcd; 8] });
        event(&mut commit, None);
        commit.delivery(Guard::Entry { stream: raw, group: "g", id: "5-1", remove: true });
        commit.letter(letters, 3, &[0, 2], &[("stage", b"route"), ("reason", b"r"), ("payload", b"a\r\n$1\r\n\xff")]);
        commit.entry(letters, &[("any", b"thing")]);
        commit.delivery(Guard::Message { mark: &[0xfe; 16], day: 20_000, life: 60, away: true });
        commit.event(None, Uuid::from_u128(7));
        commit.normalized(alerts, &Normalized { origin: "elsewhere", ..normalized });
        producer.seal(commit).unwrap().record()
    }

    #[test]
    fn a_record_is_read_as_the_script_reads_it() {
        let Contents { parts, is_whole } = Contents::of(&record());
        assert!(is_whole);
        let entry = |position, stream: &str, what| Part::Entry { position, stream: Some(stream.to_owned()), what };
        let fields = |fields: &[(&'static str, &'static [u8])]| pairs(fields.iter().copied());
        let normalized = || {
            What::Normalized(fields(&[
                ("data", DATA.as_bytes()),
                ("severity", b"high"),
                ("source", b"x"),
                ("category", b"network"),
                ("raw", b"ab"),
                ("topic", b"t"),
                ("provenance", b"{}"),
            ]))
        };
        let id: &[u8] = b"00000000-0000-0000-0000-000000000007:ioc:1";
        let message = What::Message(fields(&[
            ("subject", b"s"),
            ("id", id),
            ("kind", b"ioc"),
            ("data", b"{}"),
            ("provenance", b"p"),
        ]));
        assert_eq!(message.event_id(), Some(Uuid::from_u128(7)));
        assert_eq!(normalized().event_id(), Some(Uuid::from_u128(7)));
        let of_raw = KnownBy::Entry {
            stream: "aurora:raw".to_owned(),
            group: "g".to_owned(),
            id: "5-1".to_owned(),
            remove: true,
        };
        let letter = fields(&[("stage", b"route"), ("reason", b"r"), ("payload", b"a\r\n$1\r\n\xff")]);
        let What::Normalized(mut foreign) = normalized() else { unreachable!("it is made just above") };
        foreign.push(("origin".to_owned(), b"elsewhere".to_vec()));
        let foreign = What::Normalized(foreign);
        let expected = [
            Part::Event { key: Some([1; 16]) },
            entry(0, "aurora:alerts", normalized()),
            entry(1, "aurora:outbox", message),
            Part::Delivery { position: Some(1), known_by: None },
            Part::Event { key: Some([1; 16]) },
            entry(2, "aurora:alerts", normalized()),
            Part::Delivery {
                position: Some(2),
                known_by: Some(KnownBy::Request { key: [0xab; 16], line: 5, digest: [0xcd; 8] }),
            },
            Part::Event { key: None },
            entry(3, "aurora:alerts", normalized()),
            Part::Delivery { position: Some(3), known_by: Some(of_raw) },
            entry(4, "aurora:dead_letter", What::Letter { delivery: 3, fields: letter }),
            entry(5, "aurora:dead_letter", What::Other(fields(&[("any", b"thing")]))),
            Part::Delivery {
                position: Some(4),
                known_by: Some(KnownBy::Message { mark: [0xfe; 16], day: 20_000, life: 60, away: true }),
            },
            Part::Event { key: None },
            entry(6, "aurora:alerts", foreign),
        ];
        assert_eq!(parts.len(), expected.len());
        for (part, expected) in parts.into_iter().zip(expected) {
            assert_eq!(part, expected);
        }
    }

    /// How many events and letters are found.
    fn found(contents: &Contents) -> (usize, usize) {
        let of = |is: fn(&What) -> bool| contents.entries().filter(|(_, _, what)| is(what)).count();
        (of(|what| matches!(what, What::Normalized(_))), of(|what| matches!(what, What::Letter { .. })))
    }

    #[test]
    fn of_a_torn_record_what_is_left_is_found() {
        let whole = record();
        let cut = Contents::of(&whole[..whole.len() - 10]);
        assert!(!cut.is_whole);
        assert_eq!(found(&cut), (4, 1));
        // A length that is wrong costs what it is the length of.
        let at = whole.windows(DATA.len()).position(|bytes| bytes == DATA.as_bytes()).unwrap();
        let mut torn = whole.clone();
        torn[at - 3] = b'9';
        assert_eq!(found(&Contents::of(&torn)), (3, 1));
    }

    #[test]
    fn whatever_byte_is_wrong_nothing_panics_and_most_is_found() {
        let whole = record();
        for at in 0..whole.len() {
            for wrong in [0, b'9', b'$', b'\r', 0xff] {
                let mut torn = whole.clone();
                torn[at] = wrong;
                let (events, _) = found(&Contents::of(&torn));
                assert!(events >= 3, "byte {at} as {wrong}: {events} events");
            }
            let _ = Contents::of(&whole[..at]);
            let _ = Contents::of(&whole[at..]);
        }
    }
}
