//! From an entry's fields to an event. All of it is hostile: whoever may add entries may write anything into them.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use bytes::Bytes;
use serde::Serializer as _;

use crate::{
    broker::redis_streams::RawEntry,
    event::{Context, device_of, is_device_id, is_format, is_source},
    federation::Offer,
};

/// What an entry says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub context: Context,
    pub received_ms: i64,
    pub payload: Bytes,
    /// Why no guest may see it.
    pub unfit: Option<String>,
}

/// Longest topic, bytes. MQTT has 65,535, which no topic of ours comes near.
const TOPIC: usize = 1024;

/// The last millisecond of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

/// Reads `entry` as of `now_ms`. Never fails: what is wrong makes it unfit, with a reason that says what to mend. Of an
/// unfit payload no more than `max_payload` bytes are kept: a dead letter that Redis does not take would stop its lane.
pub(super) fn read(entry: RawEntry, max_payload: usize, now_ms: i64) -> Read {
    let added_ms = added(entry.id.ms, now_ms);
    let Fields { mut payload, mut is_cut, rest, mut fault } = Fields::of(entry.fields, max_payload);
    let [source, format, topic, device_id, source_ip, timestamp_ms] = rest;
    let source = fault.check("source", source, is_source, "does not match [A-Za-z0-9_.-]{1,64}");
    let format = fault.check("format", format, is_format, "does not match [a-z0-9_-]{1,32}");
    let topic = fault.check("topic", topic, |topic| topic.len() <= TOPIC, "is longer than 1024 bytes");
    let device_id = fault.check("device_id", device_id, is_device_id, DEVICE_ID);
    let source_ip = fault.check("source_ip", source_ip, |ip| ip.parse::<IpAddr>().is_ok(), "is no IP address");
    let in_time = |ms: &str| ms.parse().is_ok_and(|ms| (0..=LAST_MS).contains(&ms));
    let timestamp_ms = fault.check("timestamp_ms", timestamp_ms, in_time, "is no time in milliseconds since 1970");
    // As of MQTT: who copies its messages here need not take the topic apart.
    let of_topic = topic.as_deref().and_then(device_of).map(|id| id.as_bytes().to_vec());
    let of_topic = fault.check("topic's device id", of_topic, is_device_id, DEVICE_ID);
    if let (Some(given), Some(of_topic)) = (&device_id, &of_topic)
        && given != of_topic
    {
        fault.note(format!("`device_id` is `{given}`, but `topic` is of `{of_topic}`"));
    }
    if payload.len() > max_payload {
        fault.note(format!("payload of {} bytes is larger than raw.max_payload ({max_payload})", payload.len()));
        is_cut = true;
        payload.truncate(max_payload);
        payload.shrink_to_fit();
    }
    let kept = payload.len();
    let unfit = fault.0.map(|why| if is_cut { format!("{why}; only the first {kept} bytes are kept") } else { why });
    let context = Context {
        source: source.unwrap_or_else(|| "redis".to_owned()),
        format: format.unwrap_or_else(|| "auto".to_owned()),
        channel: topic.as_deref().and_then(|topic| topic.rsplit('/').next()).map(ToOwned::to_owned),
        topic,
        device_id: device_id.or(of_topic),
        source_ip,
    };
    let received_ms = timestamp_ms.and_then(|ms| ms.parse().ok()).unwrap_or(added_ms);
    Read { context, received_ms, payload: payload.into(), unfit }
}

/// Reads an entry of a stream that is offered to other sites: all of its fields, as JSON.
pub(super) fn read_offer(offer: Offer, entry: RawEntry, max_payload: usize, now_ms: i64) -> Read {
    let received_ms = added(entry.id.ms, now_ms);
    let (payload, is_cut) = whole(&entry.fields, max_payload);
    let not_text = entry.fields.chunks(2).find(|pair| pair.iter().any(|text| str::from_utf8(text).is_err()));
    let unfit = match not_text {
        Some(pair) => {
            let name = pair.first().map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
            Some(format!("the field `{}` is not UTF-8", shown(&name)))
        }
        None if is_cut => Some(format!(
            "an entry whose fields are longer than federation.streams.max_payload; only the first {} bytes are kept",
            payload.len()
        )),
        None => None,
    };
    let context = Context {
        source: offer.source().to_owned(),
        format: "json".to_owned(),
        channel: Some(offer.as_str().to_owned()),
        ..Context::default()
    };
    Read { context, received_ms, payload: payload.into(), unfit }
}

const DEVICE_ID: &str = "does not match [A-Za-z0-9_-]{1,64}";

/// The first thing that is wrong with an entry.
#[derive(Default)]
struct Fault(Option<String>);

impl Fault {
    fn note(&mut self, what: String) {
        self.0.get_or_insert(what);
    }

    /// The text of a field, if there is one and it is `valid`. An empty one is none: collectors write all of their
    /// columns.
    fn check(
        &mut self,
        name: &str,
        value: Option<Vec<u8>>,
        valid: impl Fn(&str) -> bool,
        otherwise: &str,
    ) -> Option<String> {
        let value = value.filter(|value| !value.is_empty())?;
        match String::from_utf8(value) {
            Ok(text) if valid(&text) => return Some(text),
            Ok(text) => self.note(format!("`{name}` is `{}`, which {otherwise}", shown(&text))),
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                self.note(format!("`{name}` is `{}`, which is not UTF-8", shown(&text)));
            }
        }
        None
    }
}

/// When the entry was added, by the clock of Redis, so that it is the same however often the entry is read; or now,
/// where a collector gave it an id of its own that is no time.
fn added(id_ms: u64, now_ms: i64) -> i64 {
    const YEAR_2001: i64 = 1_000_000_000_000;
    const DAY: i64 = 86_400_000;
    i64::try_from(id_ms).ok().filter(|ms| (YEAR_2001..=now_ms.saturating_add(DAY)).contains(ms)).unwrap_or(now_ms)
}

/// The fields, by name.
struct Fields {
    payload: Vec<u8>,
    /// Whether `payload` is a beginning, because it would have become too long.
    is_cut: bool,
    /// Those of [`NAMES`].
    rest: [Option<Vec<u8>>; NAMES.len()],
    fault: Fault,
}

const NAMES: [&str; 6] = ["source", "format", "topic", "device_id", "source_ip", "timestamp_ms"];

impl Fields {
    fn of(fields: Vec<Vec<u8>>, max_payload: usize) -> Self {
        let mut found = Self { payload: Vec::new(), is_cut: false, rest: Default::default(), fault: Fault::default() };
        if !fields.iter().step_by(2).any(|name| name == b"payload") {
            found.fault.note("the entry has no field `payload`".to_owned());
            (found.payload, found.is_cut) = whole(&fields, max_payload);
        }
        let (mut fields, mut has_payload) = (fields.into_iter(), false);
        // Fields of other names are not ours to judge.
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            let twice = if name == b"payload" {
                found.payload = value;
                std::mem::replace(&mut has_payload, true)
            } else {
                let known = NAMES.iter().position(|known| known.as_bytes() == name);
                known.is_some_and(|index| found.rest[index].replace(value).is_some())
            };
            if twice {
                found.fault.note(format!("the field `{}` is there twice", String::from_utf8_lossy(&name)));
            }
        }
        found
    }
}

/// All of an entry's fields as JSON, for a dead letter: the entry itself goes. No more than the first `most` bytes, and
/// whether that is not all: what has to be escaped becomes six times as long.
fn whole(fields: &[Vec<u8>], most: usize) -> (Vec<u8>, bool) {
    let mut first = First { kept: Vec::new(), most };
    // Of a longer field nothing behind `most` could be kept: neither step makes anything shorter.
    let text = |field: &Vec<u8>| String::from_utf8_lossy(&field[..field.len().min(most)]).into_owned();
    let pairs = fields.chunks(2).map(|pair| pair.iter().map(text).collect::<Vec<_>>());
    // Lists of texts are always JSON, so it can only be full.
    let is_cut = serde_json::Serializer::new(&mut first).collect_seq(pairs).is_err();
    (first.kept, is_cut)
}

/// Keeps the first `most` bytes, and fails at the next.
struct First {
    kept: Vec<u8>,
    most: usize,
}

impl Write for First {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.most - self.kept.len());
        self.kept.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Enough of a text to recognise it by.
fn shown(text: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EntryId;

    const NOW: i64 = 1_763_780_000_000;
    const ADDED: u64 = 1_763_779_999_000;

    fn of(fields: &[(&str, &[u8])]) -> Read {
        let fields = fields.iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.to_vec()]).collect();
        read(RawEntry { id: EntryId { ms: ADDED, sequence: 0 }, fields }, 100, NOW)
    }

    #[test]
    fn a_payload_is_all_that_an_entry_needs() {
        let read = of(&[("payload", b"{}"), ("colour", b"red"), ("topic", b"")]);
        let context = Context { source: "redis".to_owned(), format: "auto".to_owned(), ..Context::default() };
        assert_eq!(read, Read { context, received_ms: ADDED as i64, payload: "{}".into(), unfit: None });
    }

    #[test]
    fn takes_device_and_channel_from_the_topic_as_mqtt_does() {
        let read = of(&[("payload", b"x"), ("topic", b"aurora/sensors/door_1/alerts"), ("timestamp_ms", b"7")]);
        assert_eq!(
            (read.context.device_id.as_deref(), read.context.channel.as_deref()),
            (Some("door_1"), Some("alerts"))
        );
        assert_eq!((read.received_ms, read.unfit), (7, None));
    }

    #[test]
    fn whatever_is_wrong_makes_an_entry_unfit_and_is_not_passed_on() {
        for (name, value, said) in [
            ("source", &b"a b"[..], "`source` is `a b`, which does not match"),
            ("source", &[b'x'; 65], "does not match"),
            ("source", b"\xff\n", "which is not UTF-8"),
            ("format", b"CEF", "`format` is `CEF`"),
            ("topic", &[b'x'; 1025], "is longer than 1024 bytes"),
            ("topic", b"aurora/sensors/a.b/alerts", "`topic's device id` is `a.b`"),
            ("device_id", b"a.b", "`device_id` is `a.b`"),
            ("device_id", b"\x00*", "`\\0*`"),
            ("source_ip", b"10.0.0.256", "is no IP address"),
            ("timestamp_ms", b"-1", "is no time"),
            ("timestamp_ms", b"1e3", "is no time"),
            ("timestamp_ms", b"99999999999999999999", "is no time"),
            ("payload", b"again", "the field `payload` is there twice"),
        ] {
            let read = of(&[("payload", b"x"), (name, value)]);
            let unfit = read.unfit.unwrap_or_default();
            assert!(unfit.contains(said), "{name}: {unfit}");
            assert!(unfit.len() < 400, "{unfit}");
            assert_eq!((read.context.source.as_str(), read.context.device_id), ("redis", None), "{name}");
        }
        let other = of(&[("payload", b"x"), ("topic", b"aurora/sensors/a/alerts"), ("device_id", b"b")]);
        assert_eq!(other.unfit.as_deref(), Some("`device_id` is `b`, but `topic` is of `a`"));
    }

    #[test]
    fn of_what_is_too_long_only_the_beginning_is_kept_and_that_is_said() {
        let large = of(&[("payload", &[b'x'; 101])]);
        let said = "payload of 101 bytes is larger than raw.max_payload (100); only the first 100 bytes are kept";
        assert_eq!((large.payload.len(), large.unfit.as_deref()), (100, Some(said)));
        let also_wrong = of(&[("payload", &[b'x'; 101]), ("format", b"CEF")]);
        let unfit = also_wrong.unfit.unwrap_or_default();
        assert!(unfit.starts_with("`format`") && unfit.ends_with("only the first 100 bytes are kept"), "{unfit}");
        assert_eq!(also_wrong.payload.len(), 100);
        // Each byte is six of JSON.
        let escaped = of(&[("data", &[1; 90]), ("more", b"x")]);
        let said = "the entry has no field `payload`; only the first 100 bytes are kept";
        assert_eq!(escaped.unfit.as_deref(), Some(said));
        assert!(escaped.payload.len() == 100 && escaped.payload.starts_with(br#"[["data","\u0001"#), "{escaped:?}");
    }

    #[test]
    fn an_entry_without_payload_keeps_all_that_it_says() {
        let read = of(&[("data", b"\xffx"), ("source", b"zeek")]);
        assert_eq!(read.unfit.as_deref(), Some("the entry has no field `payload`"));
        assert_eq!(read.payload, "[[\"data\",\"\u{fffd}x\"],[\"source\",\"zeek\"]]");
        assert_eq!(read.context.source, "zeek");
    }

    #[test]
    fn an_offered_entry_is_kept_whole_or_unfit() {
        let read = |fields: &[(&str, &[u8])], most| {
            let fields = fields.iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.to_vec()]).collect();
            read_offer(Offer::Audit, RawEntry { id: EntryId { ms: ADDED, sequence: 0 }, fields }, most, NOW)
        };
        let sound = read(&[("agent", b"triage"), ("action", b"close")], 100);
        assert_eq!((sound.payload, sound.unfit), (r#"[["agent","triage"],["action","close"]]"#.into(), None));
        assert_eq!((sound.context.source.as_str(), sound.received_ms), ("aurora:audit", ADDED as i64));
        let unfit = read(&[("agent", b"triage"), ("action", b"\xff")], 100).unfit.unwrap_or_default();
        assert_eq!(unfit, "the field `action` is not UTF-8");
        let unfit = read(&[("agent", &[b'x'; 101])], 100).unfit.unwrap_or_default();
        assert!(unfit.ends_with("only the first 100 bytes are kept"), "{unfit}");
    }

    #[test]
    fn an_id_that_is_no_time_is_not_taken_for_one() {
        assert_eq!(added(5, NOW), NOW);
        assert_eq!(added(u64::MAX, NOW), NOW);
        assert_eq!(added(NOW as u64 + 90_000_000, NOW), NOW);
        assert_eq!(added(ADDED, NOW), ADDED as i64);
    }
}
