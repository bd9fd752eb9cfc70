use bytes::Bytes;

use crate::event::EntryId;

/// What waits to be sent to other sites.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its entry in the outbox.
    pub entry: String,
    /// JetStream subject. Empty where somebody deleted the entry while a relay had it.
    pub subject: String,
    /// What becomes `Nats-Msg-Id`.
    pub id: String,
    /// `alert`, `ioc` or `attestation`.
    pub kind: String,
    /// The message.
    pub data: Bytes,
}

/// A stream with its entries, each with its fields and their values by turns; none of an entry that was deleted. Not
/// the client's own type: that makes a table with owned keys of each entry, which costs more than sending it.
pub(super) type Stream = (Vec<u8>, Vec<Entry>);

/// See [`Stream`].
pub(super) type Entry = (String, Option<Vec<Vec<u8>>>);

impl Waiting {
    pub(super) fn of((entry, fields): Entry) -> Self {
        let mut waiting =
            Self { entry, subject: String::new(), id: String::new(), kind: String::new(), data: Bytes::new() };
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        };
        let mut fields = fields.unwrap_or_default().into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            match name.as_slice() {
                b"subject" => waiting.subject = text(value),
                b"id" => waiting.id = text(value),
                b"kind" => waiting.kind = text(value),
                b"data" => waiting.data = value.into(),
                // Of a later version.
                _ => {}
            }
        }
        waiting
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
        assert_eq!((&waiting.data[..], waiting.made_ms()), (&b"{}"[..], 1_700_000_000_123));
    }

    #[test]
    fn a_deleted_entry_has_no_subject() {
        assert!(Waiting::of(("1-0".to_owned(), None)).subject.is_empty());
    }
}
