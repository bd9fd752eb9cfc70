use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::event::EntryId;

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// An event by its id.
    Event(Uuid),
    /// All events out of raw bytes with this SHA-256, in hexadecimal.
    Raw(String),
    /// A dead letter, and what else there is of its raw bytes; or an entry of a stream that is offered to other sites.
    Entry(EntryId),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digest = text.strip_prefix("sha256:").unwrap_or(text);
        if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Raw(digest.to_ascii_lowercase()));
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Entry(id));
        }
        // What stands in JetStream as the id of an indicator begins with its event's.
        let id = text.split(':').next().unwrap_or(text);
        id.parse().map(Self::Event).map_err(|_| {
            "is neither the id of an event (a UUID), nor a SHA-256, nor the id of a dead letter or of an offered \
             stream's entry (1763780000000-0)"
                .to_owned()
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(id) => write!(f, "event {id}"),
            Self::Raw(digest) => write!(f, "raw bytes sha256:{digest}"),
            Self::Entry(id) => write!(f, "entry {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ids_digests_and_letters_apart() {
        let id = "3d1f0c1e-6f0e-8d0a-9a5b-0c6a1b2c3d4e";
        let event = Subject::Event(id.parse().unwrap());
        assert_eq!(id.parse(), Ok(event.clone()));
        assert_eq!(format!("{id}:ioc:2").parse(), Ok(event));
        let digest = "AB".repeat(32);
        assert_eq!(format!("sha256:{digest}").parse(), Ok(Subject::Raw("ab".repeat(32))));
        assert_eq!("1763780000000-1".parse(), Ok(Subject::Entry(EntryId { ms: 1_763_780_000_000, sequence: 1 })));
        assert!("yesterday".parse::<Subject>().is_err() && "ab".repeat(31).parse::<Subject>().is_err());
    }
}
