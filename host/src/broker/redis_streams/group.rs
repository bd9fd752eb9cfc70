//! Reads streams through a consumer group, for those who pass on what they read at once and keep nothing.

use std::time::Duration;

use redis::{AsyncTypedCommands, RedisResult, aio::MultiplexedConnection};

use super::{Followed, Pool, waiting::Stream};
use crate::event::EntryId;

/// Streams that are read through a group.
pub struct GroupReader {
    redis: Pool,
    timeout: Duration,
    link: Option<MultiplexedConnection>,
    streams: Vec<String>,
    group: String,
    consumer: String,
}

/// Longest wait for new entries. Redis answers empty after it.
const BLOCK: Duration = Duration::from_secs(1);

/// A consumer that has asked for something within this time is there.
const PRESENT: Duration = Duration::from_secs(10);

/// A consumer that has asked for nothing for this long has gone; what it left was meant for viewers who have gone as well.
const GONE: Duration = Duration::from_secs(60);

/// Entries in one step.
const PAGE: usize = 1000;

impl GroupReader {
    /// For the streams at these keys. Nothing is asked of Redis yet.
    #[must_use]
    pub fn new(redis: &Pool, streams: Vec<String>, group: String, consumer: String, timeout: Duration) -> Self {
        Self { redis: redis.clone(), timeout, link: None, streams, group, consumer }
    }

    /// At most `most` entries of each stream that the group has not read yet; waits a moment for some. The first call, and
    /// the first after an error, makes what is missing of streams and group, and gives what an earlier answer had that was
    /// lost on its way: some of that may have arrived.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn next(&mut self, most: usize) -> RedisResult<Vec<Followed>> {
        let (mut connection, ids) = match self.link.take() {
            Some(connection) => (connection, ">"),
            None => (self.open().await?, "0"),
        };
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(most);
        command.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS");
        self.streams.iter().for_each(|key| _ = command.arg(key));
        self.streams.iter().for_each(|_| _ = command.arg(ids));
        let reply: Option<Vec<Stream>> = command.query_async(&mut connection).await?;
        self.link = Some(connection);
        let mut read = Vec::new();
        for (key, entries) in reply.into_iter().flatten() {
            let Some(stream) = self.streams.iter().position(|known| known.as_bytes() == key) else { continue };
            for (id, fields) in entries {
                let id = id.parse().map_err(|_| (redis::ErrorKind::Parse, "an entry without an id"))?;
                // One that was trimmed away is acknowledged all the same.
                read.push(Followed { stream, id, fields: fields.unwrap_or_default() });
            }
        }
        Ok(read)
    }

    async fn open(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.redis.dedicated(BLOCK + self.timeout).await?;
        for key in &self.streams {
            match connection.xgroup_create_mkstream(key, &self.group, "0").await {
                Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
                _ => self.clear_away(&mut connection, key).await?,
            }
        }
        Ok(connection)
    }

    /// Acknowledges what consumers have left that are gone.
    async fn clear_away(&self, connection: &mut MultiplexedConnection, key: &str) -> RedisResult<()> {
        let mut from = "0-0".to_owned();
        loop {
            let mut claim = redis::cmd("XAUTOCLAIM");
            claim.arg(key).arg(&self.group).arg(&self.consumer).arg(GONE.as_millis() as u64).arg(&from);
            claim.arg("COUNT").arg(PAGE).arg("JUSTID");
            let (next, left, _): (String, Vec<String>, Vec<String>) = claim.query_async(connection).await?;
            if !left.is_empty() {
                let mut acknowledge = redis::cmd("XACK");
                acknowledge.arg(key).arg(&self.group).arg(&left);
                acknowledge.query_async::<()>(connection).await?;
            }
            if next == "0-0" {
                return Ok(());
            }
            from = next;
        }
    }

    /// Acknowledges entries: position of their stream, and their ids.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn acknowledge(&mut self, read: &[(usize, EntryId)]) -> RedisResult<()> {
        let Some(mut connection) = self.link.take() else { return Ok(()) };
        let mut pipeline = redis::pipe();
        for of_one in read.chunk_by(|a, b| a.0 == b.0) {
            let ids: Vec<String> = of_one.iter().map(|(_, id)| id.to_string()).collect();
            pipeline.cmd("XACK").arg(&self.streams[of_one[0].0]).arg(&self.group).arg(ids).ignore();
        }
        pipeline.exec_async(&mut connection).await?;
        self.link = Some(connection);
        Ok(())
    }

    /// Consumers of the group beside us that are there now. Others see us by it as well, so ask it every few
    /// seconds.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn others(&mut self) -> RedisResult<Vec<String>> {
        let Some(mut connection) = self.link.take() else { return Ok(Vec::new()) };
        // Redis before 7.2 takes who waits and is given nothing for idle; who asks for what it has already is seen by all
        // versions. Everything is acknowledged by now, so that this is nothing.
        let mut seen = redis::cmd("XREADGROUP");
        seen.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(1).arg("STREAMS").arg(&self.streams);
        self.streams.iter().for_each(|_| _ = seen.arg("0"));
        seen.exec_async(&mut connection).await?;
        let mut others = Vec::new();
        for key in &self.streams {
            let consumers = connection.xinfo_consumers(key, &self.group).await?.consumers;
            let present = consumers
                .into_iter()
                .filter(|one| one.name != self.consumer && one.idle < PRESENT.as_millis() as usize);
            others.extend(present.map(|one| one.name));
        }
        self.link = Some(connection);
        others.sort_unstable();
        others.dedup();
        Ok(others)
    }
}
