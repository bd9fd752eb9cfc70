//! The stream of dead letters, for reading. It may hold 50,000 entries of 1 MiB, so nothing here holds more than a part.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use redis::{AsyncTypedCommands, RedisError, Script, aio::MultiplexedConnection};

use super::{Layout, Pool, PoolError, Stream};
use crate::event::EntryId;

static PART: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("letters.lua")));

/// Most letters of a part.
const PART_LETTERS: usize = 512;

/// Most bytes of payload that Redis passes over for one part: a few milliseconds of its time.
const PART_BYTES: usize = 4 << 20;

/// Reads dead letters.
#[derive(Clone)]
pub struct Letters {
    redis: Pool,
    layout: Arc<Layout>,
    stream: Stream,
}

/// The fields of an entry.
pub type Fields = HashMap<String, Vec<u8>>;

/// An entry as it is listed: everything but its payload.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its id.
    pub id: EntryId,
    /// Bytes of its payload.
    pub size: usize,
    /// Its other fields.
    pub fields: Fields,
}

/// When letters were kept, milliseconds since 1970-01-01 UTC by the clock of Redis, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The earliest; none: from the beginning.
    pub since: Option<u64>,
    /// The latest; none: to the end.
    pub until: Option<u64>,
}

/// In which direction letters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they were kept.
    OldestFirst,
    /// The other way.
    NewestFirst,
}

/// Letters of a [`Span`], part by part.
pub struct Walk<'a> {
    letters: &'a Letters,
    order: Order,
    from: String,
    to: String,
    is_over: bool,
}

/// Letters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LettersError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke.
    #[error("the stream of dead letters, {stream}, cannot be read")]
    Redis {
        /// Its name.
        stream: String,
        /// Why.
        #[source]
        source: RedisError,
    },
    /// An answer that Redis does not give.
    #[error("{0:?} is no entry id, and Redis says that it is one")]
    Id(String),
}

impl Letters {
    /// Of `stream`.
    #[must_use]
    pub fn new(redis: &Pool, layout: &Arc<Layout>, stream: Stream) -> Self {
        Self { redis: redis.clone(), layout: Arc::clone(layout), stream }
    }

    /// Name of the stream.
    #[must_use]
    pub fn name(&self) -> &str {
        self.layout.name(self.stream)
    }

    /// How many there are.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn count(&self) -> Result<usize, LettersError> {
        self.ask(async |connection, key| connection.xlen(key).await).await
    }

    /// Walks through those of `span`.
    #[must_use]
    pub fn walk(&self, span: Span, order: Order) -> Walk<'_> {
        let bound = |bound: Option<u64>, end: &str| bound.map_or_else(|| end.to_owned(), |ms| ms.to_string());
        let (first, last) = (bound(span.since, "-"), bound(span.until, "+"));
        let (from, to) = if order == Order::OldestFirst { (first, last) } else { (last, first) };
        Walk { letters: self, order, from, to, is_over: false }
    }

    /// Those of `ids` that are there, with their payloads. All of them are in memory then.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn get(&self, ids: &[EntryId]) -> Result<Vec<(EntryId, Fields)>, LettersError> {
        type Found = Vec<Vec<(String, Vec<Vec<u8>>)>>;
        let found: Found = self
            .ask(async |connection, key| {
                let mut pipeline = redis::pipe();
                for id in ids.iter().map(EntryId::to_string) {
                    pipeline.cmd("XRANGE").arg(key).arg(&id).arg(&id);
                }
                pipeline.query_async(connection).await
            })
            .await?;
        found.into_iter().flatten().map(|(id, fields)| Ok((entry_id(id)?, pairs(fields)))).collect()
    }

    async fn part(&self, walk: &mut Walk<'_>) -> Result<Vec<Listed>, LettersError> {
        type Part = (u8, Vec<(String, usize, Vec<Vec<u8>>)>);
        let command = if walk.order == Order::OldestFirst { "XRANGE" } else { "XREVRANGE" };
        let (is_over, found): Part = self
            .ask(async |connection, key| {
                let mut call = PART.key(key);
                call.arg(command).arg(&walk.from).arg(&walk.to).arg(PART_LETTERS).arg(PART_BYTES);
                call.invoke_async(connection).await
            })
            .await?;
        walk.is_over = is_over == 1;
        if let Some((last, ..)) = found.last() {
            walk.from = format!("({last}");
        }
        let listed = |(id, size, fields)| Ok(Listed { id: entry_id(id)?, size, fields: pairs(fields) });
        found.into_iter().map(listed).collect()
    }

    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut MultiplexedConnection, &str) -> redis::RedisResult<T>,
    ) -> Result<T, LettersError> {
        let mut connection = self.redis.get().await?;
        let answer = question(&mut connection, self.layout.key(self.stream)).await;
        answer.map_err(|source| {
            self.redis.discard(connection);
            LettersError::Redis { stream: self.name().to_owned(), source }
        })
    }
}

impl Walk<'_> {
    /// The next part; none at the end. A part may be small and even empty.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn next(&mut self) -> Result<Option<Vec<Listed>>, LettersError> {
        if self.is_over {
            return Ok(None);
        }
        self.letters.part(self).await.map(Some)
    }
}

fn entry_id(id: String) -> Result<EntryId, LettersError> {
    id.parse().map_err(|_| LettersError::Id(id))
}

pub(super) fn pairs(fields: Vec<Vec<u8>>) -> Fields {
    let mut fields = fields.into_iter();
    let mut pairs = Fields::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        pairs.insert(String::from_utf8_lossy(&name).into_owned(), value);
    }
    pairs
}
