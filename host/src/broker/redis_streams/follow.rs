//! Reads streams as they grow, without a group: leaves no trace in Redis, and takes nothing from anybody.

use std::time::Duration;

use redis::{RedisResult, aio::MultiplexedConnection};

use super::{Pool, waiting::Stream};
use crate::event::EntryId;

/// Streams that are read as they grow.
pub struct Follow {
    redis: Pool,
    timeout: Duration,
    link: Option<MultiplexedConnection>,
    /// Of each stream its key, and the last entry that was read.
    streams: Vec<(String, EntryId)>,
}

/// An entry as it was added: its fields and their values by turns.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Position of its stream.
    pub stream: usize,
    /// Its id.
    pub id: EntryId,
    /// Names and values.
    pub fields: Vec<Vec<u8>>,
}

/// Longest wait for new entries. Redis answers empty after it.
const BLOCK: Duration = Duration::from_secs(1);

/// Before the first entry that there can be.
const BEGINNING: EntryId = EntryId { ms: 0, sequence: 0 };

impl Follow {
    /// Follows the streams at `keys` from now on, or from the entries on that were added at `since` (milliseconds since
    /// 1970-01-01 UTC).
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn open(
        redis: &Pool,
        keys: impl IntoIterator<Item = String>,
        since: Option<u64>,
        timeout: Duration,
    ) -> RedisResult<Self> {
        let mut connection = redis.dedicated(BLOCK + timeout).await?;
        let mut streams = Vec::new();
        for key in keys {
            let from = match since.map(|since| since.checked_sub(1)) {
                Some(None) => BEGINNING,
                Some(Some(ms)) => EntryId { ms, sequence: u64::MAX },
                // Not `$`: what comes between two reads would be missed.
                None => end_of(&mut connection, &key, "XREVRANGE", ["+", "-"]).await?.unwrap_or(BEGINNING),
            };
            streams.push((key, from));
        }
        Ok(Self { redis: redis.clone(), timeout, link: Some(connection), streams })
    }

    /// At most `most` entries of each stream that were not read yet; waits a moment for some. After an error the next call
    /// connects again, and goes on where this one was.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn next(&mut self, most: usize) -> RedisResult<Vec<Followed>> {
        let mut connection = match self.link.take() {
            Some(connection) => connection,
            None => self.redis.dedicated(BLOCK + self.timeout).await?,
        };
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(most).arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS");
        self.streams.iter().for_each(|(key, _)| _ = command.arg(key));
        self.streams.iter().for_each(|(_, last)| _ = command.arg(last.to_string()));
        let reply: Option<Vec<Stream>> = command.query_async(&mut connection).await?;
        self.link = Some(connection);
        let mut read = Vec::new();
        for (key, entries) in reply.into_iter().flatten() {
            let Some(stream) = self.streams.iter().position(|(known, _)| known.as_bytes() == key) else { continue };
            for (id, fields) in entries {
                let id: EntryId = id.parse().map_err(|_| (redis::ErrorKind::Parse, "an entry without an id"))?;
                self.streams[stream].1 = id;
                read.extend(fields.map(|fields| Followed { stream, id, fields }));
            }
        }
        Ok(read)
    }

    /// Positions of those streams of which entries may have been trimmed away before they were read: the oldest that is
    /// there is newer than the last that was read.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn overtaken(&mut self) -> RedisResult<Vec<usize>> {
        let Some(connection) = &mut self.link else { return Ok(Vec::new()) };
        let mut overtaken = Vec::new();
        for (position, (key, last)) in self.streams.iter().enumerate() {
            let oldest = end_of(connection, key, "XRANGE", ["-", "+"]).await?;
            if *last != BEGINNING && oldest.is_some_and(|oldest| oldest > *last) {
                overtaken.push(position);
            }
        }
        Ok(overtaken)
    }
}

/// The entry at one end of the stream.
async fn end_of(
    connection: &mut MultiplexedConnection,
    key: &str,
    command: &str,
    [from, to]: [&str; 2],
) -> RedisResult<Option<EntryId>> {
    let mut range = redis::cmd(command);
    range.arg(key).arg(from).arg(to).arg("COUNT").arg(1);
    let found: Vec<(String, Vec<Vec<u8>>)> = range.query_async(connection).await?;
    Ok(found.first().and_then(|(id, _)| id.parse().ok()))
}
