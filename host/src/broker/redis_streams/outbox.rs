use std::{collections::HashMap, time::Duration};

use redis::{
    AsyncTypedCommands, RedisError, RedisResult, Value,
    aio::MultiplexedConnection,
    streams::{StreamId, StreamReadOptions, StreamReadReply},
};

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
    pub data: Vec<u8>,
}

/// Consumer group of the relays.
const GROUP: &str = "aurora-relay";

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
        let mut options = StreamReadOptions::default().group(GROUP, &self.consumer).count(most);
        if let Some(block) = block {
            options = options.block(block.as_millis() as usize);
        }
        let reply: Option<StreamReadReply> = self.connection.xread_options(&[&self.stream], &[after], &options).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        Ok(entries.map(Waiting::from).collect())
    }
}

impl From<StreamId> for Waiting {
    fn from(entry: StreamId) -> Self {
        let mut fields: HashMap<String, Value> = entry.map;
        let mut bytes = |name: &str| match fields.remove(name) {
            Some(Value::BulkString(bytes)) => bytes,
            _ => Vec::new(),
        };
        let mut text = |name: &str| String::from_utf8_lossy(&bytes(name)).into_owned();
        let (subject, id, kind) = (text("subject"), text("id"), text("kind"));
        Self { entry: entry.id, subject, id, kind, data: bytes("data") }
    }
}

/// Whether the group is gone, as after somebody emptied Redis: then it has to be made again.
#[must_use]
pub fn group_is_gone(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP")
}
