//! Whether a record of the spool can be stored here. Another version may have written it, or one that was configured
//! otherwise.

use redis::{ErrorKind, RedisError, from_redis_value};

use super::{CommitError, Layout, layout::OWN};

/// A record can never be stored by this daemon as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is not what a batch is kept as.
    #[error("it is no batch")]
    NoBatch(#[source] RedisError),
    /// Its keys lie in another slot of a cluster, where nobody reads them.
    #[error(
        "its keys have {}, and those of this daemon {}: redis.hash_tag or redis.cluster was changed",
        tag_name(theirs),
        tag_name(ours)
    )]
    OtherTag {
        /// The hash tag of its keys, if they have one.
        theirs: Option<String>,
        /// The one of ours.
        ours: Option<String>,
    },
}

/// What a record holds.
pub(super) struct Record {
    /// The arguments of its command.
    pub arguments: Vec<Vec<u8>>,
    /// The keys of its streams, as its script numbers them.
    pub keys: Vec<String>,
}

/// Where the keys begin: behind the name of the command, the script and their number.
const KEYS: usize = 3;

/// Which of the script's own keys has no name in it that may hold braces of its own.
const DEDUP: usize = 3;

impl Record {
    /// A `record`, if it fits `layout`.
    pub fn read(record: &[u8], layout: &Layout) -> Result<Self, RecordError> {
        let parsed = redis::parse_redis_value(record).and_then(|value| Ok(from_redis_value::<Vec<Vec<u8>>>(value)?));
        let arguments = parsed.map_err(RecordError::NoBatch)?;
        let keys = keys(&arguments).ok_or_else(|| RecordError::NoBatch((ErrorKind::Parse, "it has no keys").into()))?;
        match (tag(&keys[DEDUP]), tag(layout.keys[DEDUP].as_bytes())) {
            (theirs, ours) if theirs == ours => {}
            (theirs, ours) => return Err(RecordError::OtherTag { theirs, ours }),
        }
        let keys = keys[OWN..].iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        Ok(Self { arguments, keys })
    }
}

/// The script's own keys and those of the streams.
fn keys(arguments: &[Vec<u8>]) -> Option<&[Vec<u8>]> {
    let count: usize = std::str::from_utf8(arguments.get(KEYS - 1)?).ok()?.parse().ok()?;
    arguments.get(KEYS..KEYS.checked_add(count)?).filter(|keys| keys.len() >= OWN)
}

impl CommitError {
    /// Why the script cannot read the batch, if that is the error: a newer version has written it.
    #[must_use]
    pub fn unreadable(&self) -> Option<String> {
        match self {
            Self::Again(error) if error.code() == Some("AURORA") => Some(error.detail().unwrap_or_default().to_owned()),
            _ => None,
        }
    }
}

/// What keys begin with that have a hash tag.
fn tag(key: &[u8]) -> Option<String> {
    let rest = key.strip_prefix(b"{")?;
    let end = rest.iter().position(|&byte| byte == b'}')?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn tag_name(tag: &Option<String>) -> String {
    tag.as_ref().map_or_else(|| "no hash tag".to_owned(), |tag| format!("the hash tag {tag:?}"))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{
        super::{Config, Durability, Level, Memory, Sealed, Session},
        *,
    };

    fn layout(hash_tag: Option<&str>) -> Arc<Layout> {
        let config = Config { hash_tag: hash_tag.map(str::to_owned), ..Config::default() };
        let memory = Memory { dedup: Duration::ZERO, horizon: 10, session: Duration::from_secs(60) };
        // A client id may be anything.
        Layout::new(&config, "{odd} client".to_owned(), vec![("aurora:audit".to_owned(), 0)], &memory)
    }

    fn record(layout: &Arc<Layout>) -> Vec<u8> {
        let durability = Durability { level: Level::Memory, replicas: 0, timeout: Duration::ZERO };
        let mut producer = Session::new(layout, durability, false).producer("lane-0");
        let mut commit = producer.begin(0);
        commit.entry(layout.stream("aurora:audit").unwrap(), &[("a", b"b")]);
        producer.seal(commit).unwrap().record()
    }

    fn of_record(record: &[u8], layout: &Arc<Layout>) -> Result<(), RecordError> {
        Sealed::of_record(record, layout, layout.stream("aurora:audit").unwrap()).map(drop)
    }

    #[test]
    fn a_record_of_another_hash_tag_is_none_of_ours() {
        for (theirs, ours, expected) in [
            (None, None, None),
            (Some("site"), Some("site"), None),
            (Some("site"), None, Some("its keys have the hash tag \"site\", and those of this daemon no hash tag:")),
            (None, Some("b"), Some("its keys have no hash tag, and those of this daemon the hash tag \"b\":")),
        ] {
            let found = of_record(&record(&layout(theirs)), &layout(ours));
            match expected {
                None => assert!(found.is_ok(), "{found:?}"),
                Some(expected) => assert!(found.unwrap_err().to_string().starts_with(expected)),
            }
        }
    }

    #[test]
    fn what_is_no_batch_is_refused_and_nothing_panics() {
        let whole = record(&layout(None));
        for bytes in [&b""[..], b"hello", b"*0\r\n", b"*1\r\n$4\r\nPING\r\n", &whole[..whole.len() - 3]] {
            let found = of_record(bytes, &layout(None));
            assert!(matches!(found, Err(RecordError::NoBatch(_))), "{found:?}");
        }
    }
}
