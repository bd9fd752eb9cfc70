//! Looks for entries of a stream by what they hold. A stream has no index, so it is read backwards, part by part, inside
//! Redis: only what is found leaves it.

use std::sync::LazyLock;

use redis::{RedisError, Script};

use super::{Connection, Fields, Pool, PoolError, letters::pairs};
use crate::event::EntryId;

static PART: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("search.lua")));

/// Most entries of a part: about a millisecond of Redis's time.
const PART_ENTRIES: usize = 1024;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Which field.
    pub field: &'a str,
    /// A text that it contains.
    pub text: &'a str,
    /// Not older than this, milliseconds since 1970-01-01 UTC by the clock of Redis.
    pub since: Option<u64>,
    /// Most entries to look at.
    pub most: usize,
    /// So many are all that there can be, or all that anybody wants.
    pub enough: usize,
}

/// How far was looked, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// Entries looked at.
    pub entries: usize,
    /// The oldest of them.
    pub oldest: Option<EntryId>,
    /// Whether there is none beyond: the stream, or the time that was asked for, ends there.
    pub is_over: bool,
    /// Newest first.
    pub found: Vec<(EntryId, Fields)>,
}

/// A stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke.
    #[error("the stream {key} cannot be read")]
    Redis {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: RedisError,
    },
}

/// Looks for `wanted` in the stream at `key`.
///
/// # Errors
/// If Redis cannot be reached or refuses.
pub async fn search(redis: &Pool, key: &str, wanted: &Wanted<'_>) -> Result<Looked, SearchError> {
    type Part = (u8, usize, String, Vec<(String, Vec<Vec<u8>>)>);
    let (mut looked, mut from) = (Looked::default(), "+".to_owned());
    let to = wanted.since.map_or_else(|| "-".to_owned(), |since| since.to_string());
    while !looked.is_over && looked.entries < wanted.most && looked.found.len() < wanted.enough {
        let mut connection = redis.get().await?;
        let mut call = PART.key(key);
        let most = PART_ENTRIES.min(wanted.most - looked.entries);
        call.arg(&from).arg(&to).arg(wanted.field).arg(wanted.text).arg(most);
        let (is_over, read, last, found): Part = match call.invoke_async(&mut *connection).await {
            Ok(part) => part,
            Err(source) => {
                // It may be dead, or have answers under way that nobody waits for.
                drop(Connection::take(connection));
                return Err(SearchError::Redis { key: key.to_owned(), source });
            }
        };
        looked.is_over = is_over == 1;
        looked.entries += read;
        looked.oldest = last.parse().ok().or(looked.oldest);
        from = format!("({last}");
        let entry = |(id, fields): (String, _)| Some((id.parse().ok()?, pairs(fields)));
        looked.found.extend(found.into_iter().filter_map(entry));
    }
    looked.found.truncate(wanted.enough);
    Ok(looked)
}

/// The text at `key`; none where there is none.
///
/// # Errors
/// If Redis cannot be reached or refuses.
pub async fn text_at(redis: &Pool, key: &str) -> Result<Option<String>, SearchError> {
    let mut connection = redis.get().await?;
    let text = redis::cmd("GET").arg(key).query_async(&mut *connection).await;
    text.map_err(|source| {
        drop(Connection::take(connection));
        SearchError::Redis { key: key.to_owned(), source }
    })
}
