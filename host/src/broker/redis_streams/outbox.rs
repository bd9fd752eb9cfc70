use std::{collections::HashMap, time::Duration};

use redis::{AsyncTypedCommands, RedisError, RedisResult, Value, aio::MultiplexedConnection};

use super::{
    Pool,
    waiting::{Entry, Stream, Waiting, milliseconds},
};

/// The stream of what waits to be sent to other sites, read by a consumer group so that nothing is forgotten by a host
/// that dies, and several hosts can share the work. Never trimmed: an entry goes when it is cleared or buried.
pub struct Outbox {
    connection: MultiplexedConnection,
    stream: String,
    consumer: String,
    stale: Duration,
}

/// How much waits, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Entries that are not cleared.
    pub entries: i64,
    /// Those among them that a relay has taken.
    pub taken: i64,
    /// Age of the oldest, on the clock of Redis; none where there is none.
    pub oldest: Option<Duration>,
}

/// Consumer group of the relays.
pub const GROUP: &str = "aurora-relay";

/// Ids of entries in one round trip.
const PAGE: usize = 1000;

/// Entries read in one round trip. Redis counts entries and not their bytes, so few enough that they can be held, and
/// come in time, where all of them are as large as NATS takes any.
const AT_ONCE: usize = 64;

/// No more is read for one page once it has so many bytes.
const PAGE_BYTES: usize = 16 << 20;

impl Outbox {
    /// Opens `stream` as `consumer`, and makes the stream and its group if they are missing. `block` is the longest that
    /// [`Self::next`] waits; entries of a consumer that has not touched them for `stale` can be taken over.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn open(
        redis: &Pool,
        stream: &str,
        consumer: &str,
        timeout: Duration,
        block: Duration,
        stale: Duration,
    ) -> RedisResult<Self> {
        let mut connection = redis.dedicated(block + timeout).await?;
        match connection.xgroup_create_mkstream(stream, GROUP, "0").await {
            Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
            _ => {}
        }
        Ok(Self { connection, stream: stream.to_owned(), consumer: consumer.to_owned(), stale })
    }

    /// The clock of Redis, milliseconds since 1970-01-01 UTC: the one that made the ids of the entries.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn now(&mut self) -> RedisResult<i64> {
        let (seconds, microseconds): (i64, i64) = redis::cmd("TIME").query_async(&mut self.connection).await?;
        Ok(seconds * 1000 + microseconds / 1000)
    }

    /// Of each entry that this consumer has taken and not cleared: the earliest moment at which it can have been sent,
    /// on the clock of [`Self::now`].
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn taken(&mut self) -> RedisResult<HashMap<String, i64>> {
        let now = self.now().await?;
        let (mut taken, mut from) = (HashMap::new(), "-".to_owned());
        loop {
            let mut command = redis::cmd("XPENDING");
            command.arg(&self.stream).arg(GROUP).arg(&from).arg("+").arg(PAGE).arg(&self.consumer);
            let page: Vec<(String, String, i64, i64)> = command.query_async(&mut self.connection).await?;
            let more = page.len() == PAGE;
            for (entry, _, idle, deliveries) in page {
                from = format!("({entry}");
                // Delivered once, so it was delivered to us, and that was then; the time of an earlier delivery is not
                // kept, so it can have been as soon as the entry was made.
                let since = if deliveries == 1 { now - idle } else { milliseconds(&entry) };
                taken.insert(entry, since);
            }
            if !more {
                return Ok(taken);
            }
        }
    }

    /// A page of entries behind `after` that this consumer has taken and not cleared: what a run before left. At most
    /// `most`, and fewer where they are large.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn left_over(&mut self, after: &str, most: usize) -> RedisResult<Vec<Waiting>> {
        let (mut page, mut after) = (Page::new(most), after.to_owned());
        while let Some(count) = page.wanted() {
            let entries = self.read(&after, count, None).await?;
            let Some(last) = entries.last() else { break };
            after.clone_from(&last.entry);
            let is_last = entries.len() < count;
            page.add(entries);
            if is_last {
                break;
            }
        }
        Ok(page.entries)
    }

    /// A page of new entries; waits up to `block` for some. At most `most`, and fewer where they are large.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses. It may have handed some out nonetheless.
    pub async fn next(&mut self, most: usize, block: Duration) -> RedisResult<Vec<Waiting>> {
        let (mut page, mut block) = (Page::new(most), Some(block));
        while let Some(count) = page.wanted() {
            let entries = self.read(">", count, block.take()).await?;
            let is_last = entries.len() < count;
            page.add(entries);
            if is_last {
                break;
            }
        }
        Ok(page.entries)
    }

    /// Takes over a page of entries of consumers that have gone away, from `cursor` on; `0-0` is the beginning. At most
    /// `most`, and fewer where they are large. Returns the cursor to go on from, which is `0-0` again at the end.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn take_over(&mut self, cursor: &str, most: usize) -> RedisResult<(String, Vec<Waiting>)> {
        let (mut page, mut cursor) = (Page::new(most), cursor.to_owned());
        while let Some(count) = page.wanted() {
            // Not JUSTID: that would not count as a delivery, and the next run would take the entries for unsent ones.
            let mut command = redis::cmd("XAUTOCLAIM");
            command.arg(&self.stream).arg(GROUP).arg(&self.consumer).arg(self.stale.as_millis() as u64);
            command.arg(&cursor).arg("COUNT").arg(count);
            let (next, entries, _deleted): (String, Vec<Entry>, Value) =
                command.query_async(&mut self.connection).await?;
            page.add(entries.into_iter().map(Waiting::of).collect());
            cursor = next;
            if cursor == "0-0" {
                break;
            }
        }
        Ok((cursor, page.entries))
    }

    /// Clears entries that JetStream has. Doing it twice does no harm.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses; then it is open whether they are cleared.
    pub async fn clear(&mut self, entries: &[String]) -> RedisResult<()> {
        for entries in entries.chunks(PAGE) {
            let mut pipeline = redis::pipe();
            pipeline.atomic().cmd("XACK").arg(&self.stream).arg(GROUP).arg(entries).ignore();
            pipeline.cmd("XDEL").arg(&self.stream).arg(entries).ignore();
            pipeline.query_async::<()>(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Moves an entry to the stream of dead letters, of `length` entries or 0 for any number, in one step. Returns
    /// whether it was still there: nothing is buried twice.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses; then the entry is where it was, or buried.
    pub async fn bury(
        &mut self,
        entry: &str,
        (dead_letter, length): (&str, u64),
        fields: &[(&str, &[u8])],
    ) -> RedisResult<bool> {
        // The dead letter first: if it is refused, the script ends there and the entry stays.
        const BURY: &str = "
            if #redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2]) == 0 then
                redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
                return 0
            end
            local add = {'XADD', KEYS[2]}
            if ARGV[3] ~= '0' then
                add[#add + 1] = 'MAXLEN' add[#add + 1] = '~' add[#add + 1] = ARGV[3]
            end
            add[#add + 1] = '*'
            for i = 4, #ARGV do add[#add + 1] = ARGV[i] end
            redis.call(unpack(add))
            redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
            redis.call('XDEL', KEYS[1], ARGV[2])
            return 1";
        let mut command = redis::cmd("EVAL");
        command.arg(BURY).arg(2).arg(&self.stream).arg(dead_letter).arg(GROUP).arg(entry).arg(length);
        for (name, value) in fields {
            command.arg(*name).arg(*value);
        }
        Ok(command.query_async::<i64>(&mut self.connection).await? == 1)
    }

    /// How much waits in `stream`, over a connection of the pool, so that it can be asked at any time.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn backlog(redis: &Pool, stream: &str) -> RedisResult<Backlog> {
        // The oldest entry can be large; only its id leaves Redis.
        const LOOK: &str = "
            local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
            local taken = redis.pcall('XPENDING', KEYS[1], ARGV[1])
            local time = redis.call('TIME')
            return {redis.call('XLEN', KEYS[1]), type(taken[1]) == 'number' and taken[1] or 0,
                    oldest[1] and oldest[1][1] or '', time[1] * 1000 + math.floor(time[2] / 1000)}";
        let mut connection =
            redis.get().await.map_err(|error| (redis::ErrorKind::Io, "no connection", error.to_string()))?;
        let mut command = redis::cmd("EVAL");
        command.arg(LOOK).arg(1).arg(stream).arg(GROUP);
        let (entries, taken, oldest, now): (i64, i64, String, i64) = match command.query_async(&mut *connection).await {
            Ok(looked) => looked,
            Err(error) => {
                redis.discard(connection);
                return Err(error);
            }
        };
        let age = || Duration::from_millis(u64::try_from(now - milliseconds(&oldest)).unwrap_or(0));
        Ok(Backlog { entries, taken, oldest: (!oldest.is_empty()).then(age) })
    }

    async fn read(&mut self, after: &str, most: usize, block: Option<Duration>) -> RedisResult<Vec<Waiting>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(most);
        if let Some(block) = block {
            // 0 would wait for ever.
            command.arg("BLOCK").arg(block.as_millis().max(1) as u64);
        }
        command.arg("STREAMS").arg(&self.stream).arg(after);
        let reply: Option<Vec<Stream>> = command.query_async(&mut self.connection).await?;
        let entries = reply.into_iter().flatten().flat_map(|(_, entries)| entries);
        Ok(entries.map(Waiting::of).collect())
    }
}

/// Entries that are read together: as many as wanted, until they have too many bytes.
struct Page {
    entries: Vec<Waiting>,
    bytes: usize,
    most: usize,
}

impl Page {
    fn new(most: usize) -> Self {
        Self { entries: Vec::new(), bytes: 0, most }
    }

    /// How many may be read now; nothing where it is full.
    fn wanted(&self) -> Option<usize> {
        let left = self.most.saturating_sub(self.entries.len());
        (left > 0 && self.bytes < PAGE_BYTES).then(|| left.min(AT_ONCE))
    }

    fn add(&mut self, entries: Vec<Waiting>) {
        self.bytes += entries.iter().map(Waiting::bytes).sum::<usize>();
        self.entries.extend(entries);
    }
}

/// Whether the group is gone, as after somebody emptied Redis: then it has to be made again.
#[must_use]
pub fn group_is_gone(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, bytes: usize) -> Vec<Waiting> {
        let fields = [b"subject".to_vec(), b"a".to_vec(), b"data".to_vec(), vec![0; bytes]];
        vec![Waiting::of(("1-0".to_owned(), Some(fields.into()))); count]
    }

    #[test]
    fn a_page_ends_with_its_count_or_with_its_bytes() {
        let mut page = Page::new(100);
        assert_eq!(page.wanted(), Some(AT_ONCE));
        page.add(entries(AT_ONCE, 10));
        assert_eq!(page.wanted(), Some(100 - AT_ONCE));
        page.add(entries(100 - AT_ONCE, 10));
        assert_eq!(page.wanted(), None);
        let mut page = Page::new(1000);
        page.add(entries(2, PAGE_BYTES / 2));
        assert_eq!((page.wanted(), page.entries.len()), (None, 2));
    }
}
