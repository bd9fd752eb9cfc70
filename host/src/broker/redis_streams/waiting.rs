use bytes::Bytes;

use crate::event::EntryId;

/// What waits to be sent to other sites.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its entry in the outbox.
    pub entry: String,
    /// Whether somebody deleted the entry while a relay had it. The rest is empty then.
    pub is_deleted: bool,
    /// JetStream subject. Empty where the entry has none, and so is not of the publish stage.
    pub subject: String,
    /// Id of the event; of one of its observables, the event's with more behind a colon.
    pub id: String,
    /// As in [`Message::kind`](super::Message::kind).
    pub kind: String,
    /// What made it, JSON; empty of one that an older version stored.
    pub provenance: String,
    /// The message. Of an entry without `subject` and `data`: all its names and values, one a line.
    pub data: Bytes,
}

/// A stream with its entries, each with its fields and their values by turns; none of an entry that was deleted. Not
/// the client's own type: that makes a table with owned keys of each entry, which costs more than sending it.
pub(super) type Stream = (Vec<u8>, Vec<Entry>);

/// See [`Stream`].
pub(super) type Entry = (String, Option<Vec<Vec<u8>>>);

impl Waiting {
    pub(super) fn of((entry, fields): Entry) -> Self {
        let mut waiting = Self {
            entry,
            is_deleted: fields.is_none(),
            subject: String::new(),
            id: String::new(),
            kind: String::new(),
            provenance: String::new(),
            data: Bytes::new(),
        };
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        };
        let fields = fields.unwrap_or_default();
        let is_ours = fields.iter().step_by(2).any(|name| name == b"subject" || name == b"data");
        if !is_ours {
            // Nobody but its maker knows what it was meant to be, so it has to be kept whole.
            waiting.data = fields.join(&b'\n').into();
        }
        let mut fields = fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            match name.as_slice() {
                b"subject" => waiting.subject = text(value),
                b"id" => waiting.id = text(value),
                b"kind" => waiting.kind = text(value),
                b"provenance" => waiting.provenance = text(value),
                b"data" => waiting.data = value.into(),
                // Of a later version.
                _ => {}
            }
        }
        waiting
    }

    /// What becomes `Nats-Msg-Id`: the id with that of the entry, `<id>:<entry>`.
    ///
    /// The id alone would not do. An event's is a digest of what was delivered, packet id and payload included, so that
    /// the same delivery always gets the same; but packet ids come round, at a few hundred events a second within
    /// JetStream's duplicate window, and a device that sends equal payloads, none of which is a repetition to us, would
    /// have its later ones dropped. An entry stands for one event stored here, under whatever id, and keeps its own
    /// through every resend, by whichever host.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("{}:{}", self.id, self.entry)
    }

    /// The id of the event that it is or belongs to.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.id.split(':').next().unwrap_or_default()
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [&self.entry, &self.subject, &self.id, &self.kind, &self.provenance];
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>() + self.data.len()
    }

    /// When the entry was made, milliseconds since 1970-01-01 UTC on the clock of Redis.
    #[must_use]
    pub fn made_ms(&self) -> i64 {
        milliseconds(&self.entry)
    }
}

/// The time in the id of an entry.
pub(super) fn milliseconds(entry: &str) -> i64 {
    entry.parse::<EntryId>().ok().and_then(|id| i64::try_from(id.ms).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_field_by_field_and_what_is_unknown_is_left_out() {
        let fields = ["later", "x", "id", "1", "subject", "a.b", "kind", "alert", "data", "{}"];
        let waiting = Waiting::of(("1700000000123-4".to_owned(), Some(fields.map(|field| field.into()).into())));
        assert_eq!((waiting.subject.as_str(), waiting.id.as_str(), waiting.kind.as_str()), ("a.b", "1", "alert"));
        assert_eq!((waiting.message_id().as_str(), waiting.event_id()), ("1:1700000000123-4", "1"));
        assert_eq!((&waiting.data[..], waiting.made_ms()), (&b"{}"[..], 1_700_000_000_123));
    }

    #[test]
    fn an_observable_belongs_to_its_event() {
        let fields = ["id", "0b8e:ioc:7", "subject", "a.b"].map(|field| field.into()).into();
        let waiting = Waiting::of(("1-0".to_owned(), Some(fields)));
        assert_eq!((waiting.message_id().as_str(), waiting.event_id()), ("0b8e:ioc:7:1-0", "0b8e"));
    }

    #[test]
    fn a_deleted_entry_is_told_from_one_without_a_subject_which_is_kept_whole() {
        assert!(Waiting::of(("1-0".to_owned(), None)).is_deleted);
        let fields = ["body", "a", "id", "1"].map(|field| field.into()).into();
        let malformed = Waiting::of(("1-0".to_owned(), Some(fields)));
        assert!(!malformed.is_deleted && malformed.subject.is_empty());
        assert_eq!((malformed.id.as_str(), &malformed.data[..]), ("1", &b"body\na\nid\n1"[..]));
    }
}
