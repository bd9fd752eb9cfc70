use std::time::Duration;

use bytes::Bytes;
use redis::{AsyncTypedCommands, RedisError, RedisResult, Value, aio::MultiplexedConnection};

use super::Pool;

/// The stream of what waits to be sent to other sites, read by a consumer group so that nothing is forgotten by a host
/// that dies, and several hosts can share the work.
pub struct Outbox {
    connection: MultiplexedConnection,
    stream: String,
    consumer: String,
}

/// What waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its entry in the outbox.
    pub entry: String,
    /// JetStream subject.
    pub subject: String,
    /// What becomes `Nats-Msg-Id`.
    pub id: String,
    /// `alert`, `ioc` or `attestation`.
    pub kind: String,
    /// The message.
    pub data: Bytes,
}

/// Consumer group of the relays.
pub const GROUP: &str = "aurora-relay";

/// Longest wait for new entries. Redis answers empty after it.
const BLOCK: Duration = Duration::from_secs(1);

/// Entries of a consumer that has not come back for this long are taken over.
const STALE: Duration = Duration::from_secs(60);

impl Outbox {
    /// Opens `stream` as `consumer`, and makes the stream and its group if they are missing.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn open(redis: &Pool, stream: &str, consumer: &str, timeout: Duration) -> RedisResult<Self> {
        let mut connection = redis.dedicated(BLOCK + timeout).await?;
        match connection.xgroup_create_mkstream(stream, GROUP, "0").await {
            Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
            _ => {}
        }
        Ok(Self { connection, stream: stream.to_owned(), consumer: consumer.to_owned() })
    }

    /// Entries that this consumer took and has not cleared: what a run before left.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn left_over(&mut self, most: usize) -> RedisResult<Vec<Waiting>> {
        self.read("0", most, None).await
    }

    /// New entries; waits a moment for some.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn next(&mut self, most: usize) -> RedisResult<Vec<Waiting>> {
        self.read(">", most, Some(BLOCK)).await
    }

    /// Takes over entries of consumers that have gone away. They are then among those of [`Self::left_over`].
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn take_over(&mut self) -> RedisResult<()> {
        redis::cmd("XAUTOCLAIM")
            .arg(&self.stream)
            .arg(GROUP)
            .arg(&self.consumer)
            .arg(STALE.as_millis() as u64)
            .arg("0")
            .arg("JUSTID")
            .query_async::<Value>(&mut self.connection)
            .await
            .map(drop)
    }

    /// Clears entries that JetStream has.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses; then they are left over.
    pub async fn clear(&mut self, entries: &[&str]) -> RedisResult<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("XACK").arg(&self.stream).arg(GROUP).arg(entries).ignore();
        pipeline.cmd("XDEL").arg(&self.stream).arg(entries).ignore();
        pipeline.query_async::<()>(&mut self.connection).await
    }

    /// Entries in all, sent ones not among them.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn len(&mut self) -> RedisResult<usize> {
        self.connection.xlen(&self.stream).await
    }

    async fn read(&mut self, after: &str, most: usize, block: Option<Duration>) -> RedisResult<Vec<Waiting>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(most);
        if let Some(block) = block {
            command.arg("BLOCK").arg(block.as_millis() as u64);
        }
        command.arg("STREAMS").arg(&self.stream).arg(after);
        let reply: Option<Vec<Stream>> = command.query_async(&mut self.connection).await?;
        let entries = reply.into_iter().flatten().flat_map(|(_, entries)| entries);
        Ok(entries.map(|(entry, fields)| Waiting::new(entry, fields.unwrap_or_default())).collect())
    }
}

/// A stream with its entries, each with its fields and their values by turns; none of an entry that was deleted. Not
/// the client's own type: that makes a table with owned keys of each entry, which costs more than sending it.
type Stream = (Vec<u8>, Vec<(String, Option<Vec<Vec<u8>>>)>);

impl Waiting {
    fn new(entry: String, fields: Vec<Vec<u8>>) -> Self {
        let mut waiting =
            Self { entry, subject: String::new(), id: String::new(), kind: String::new(), data: Bytes::new() };
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        };
        let mut fields = fields.into_iter();
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
}

/// Whether the group is gone, as after somebody emptied Redis: then it has to be made again.
#[must_use]
pub fn group_is_gone(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP")
}
