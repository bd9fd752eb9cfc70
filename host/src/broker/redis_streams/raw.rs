use std::{collections::HashSet, time::Duration};

use redis::{
    AsyncTypedCommands, Cmd, FromRedisValue, RedisResult, aio::MultiplexedConnection, streams::StreamInfoGroup,
};

use super::{Pool, PoolError};
use crate::event::EntryId;

/// The stream that collectors add raw events to, read by a consumer group. What was read is pending until a
/// [`Commit`](super::Commit) acknowledges it; nothing here does.
pub struct RawStream {
    connection: MultiplexedConnection,
    stream: String,
    group: String,
    consumer: String,
}

/// An entry as it was added: its fields and their values by turns.
#[derive(Clone, Debug)]
pub struct RawEntry {
    /// Its id.
    pub id: EntryId,
    /// Names and values.
    pub fields: Vec<Vec<u8>>,
}

/// An entry that was delivered and is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its id.
    pub id: EntryId,
    /// How long ago it was delivered, or said to be in good hands.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// Entries that were delivered once more.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// In order.
    pub entries: Vec<RawEntry>,
    /// Entries that were deleted from the stream before anybody stored them.
    pub deleted: usize,
}

/// What was taken over from consumers that have gone away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Ours now, and not read yet.
    pub entries: Vec<EntryId>,
    /// Entries that were deleted from the stream before anybody stored them.
    pub deleted: usize,
    /// Where to go on; none at the end.
    pub next: Option<EntryId>,
}

/// How the group stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Other groups of the stream.
    pub others: Vec<String>,
    /// Entries that were delivered to any of our group's consumers and are not acknowledged.
    pub pending: usize,
    /// Entries that the group has not read yet, where Redis knows.
    pub lag: Option<usize>,
}

/// Longest wait for new entries. Redis answers empty after it.
const BLOCK: Duration = Duration::from_secs(1);

impl RawStream {
    /// Most entries that are looked at or taken over in one step.
    pub const PAGE: usize = 1000;

    /// Opens `stream` as `consumer` of `group`, and makes both if they are missing, the group from the beginning of the
    /// stream. Says whether it made the group.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn open(
        redis: &Pool,
        stream: &str,
        group: &str,
        consumer: &str,
        timeout: Duration,
    ) -> RedisResult<(Self, bool)> {
        let mut connection = redis.dedicated(BLOCK + timeout).await?;
        let made = match connection.xgroup_create_mkstream(stream, group, "0").await {
            Ok(_) => true,
            Err(error) if error.code() == Some("BUSYGROUP") => false,
            Err(error) => return Err(error),
        };
        let [stream, group, consumer] = [stream, group, consumer].map(ToOwned::to_owned);
        Ok((Self { connection, stream, group, consumer }, made))
    }

    /// At most `most` entries that the group has not read yet; waits for some, a moment and `wait` at the most.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn next(&mut self, most: usize, wait: Duration) -> RedisResult<Vec<RawEntry>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(most);
        // Redis takes 0 for ever.
        let wait = wait.min(BLOCK).as_millis().max(1) as u64;
        command.arg("BLOCK").arg(wait).arg("STREAMS").arg(&self.stream).arg(">");
        let reply: Option<Vec<Stream>> = command.query_async(&mut self.connection).await?;
        reply.into_iter().flatten().flat_map(|(_, entries)| entries).filter_map(entry).collect()
    }

    /// At most `most` entries behind `after` that are pending with this consumer. Reads none of them, and so raises no
    /// count, as reading one's own history with `XREADGROUP` would.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn mine(&mut self, after: Option<EntryId>, most: usize) -> RedisResult<Vec<Pending>> {
        let after = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let reply: Vec<PendingReply> = self.mine_between(&after, "+", most).query_async(&mut self.connection).await?;
        reply.into_iter().map(pending).collect()
    }

    /// Has entries out of one answer of [`mine`](Self::mine) delivered to this consumer once more, which counts as one
    /// more delivery of each. Those that are not pending any more are left out.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn take(&mut self, ids: &[EntryId]) -> RedisResult<Taken> {
        let claim = self.claim(Duration::ZERO, ids);
        let (mut gone, reply): (_, Vec<Fields>) = self.claim_of_mine(claim, Duration::ZERO, ids).await?;
        let entries: Vec<RawEntry> = reply.into_iter().filter_map(entry).collect::<RedisResult<_>>()?;
        entries.iter().for_each(|entry| _ = gone.remove(&entry.id));
        Ok(Taken { entries, deleted: gone.len() })
    }

    /// Says that entries out of one answer of [`mine`](Self::mine), which have been pending for `idle`, are in good hands,
    /// so that nobody takes them over. This counts as no delivery. Returns how many of them were deleted from the stream
    /// before anybody stored them: they are not pending any more, so nobody will.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn hold(&mut self, ids: &[EntryId], idle: Duration) -> RedisResult<usize> {
        let mut claim = self.claim(idle, ids);
        claim.arg("JUSTID");
        let (mut gone, held): (_, Vec<String>) = self.claim_of_mine(claim, idle, ids).await?;
        for held in held {
            gone.remove(&id(&held)?);
        }
        Ok(gone.len())
    }

    /// Sends `claim`, of `ids` that have been pending for `idle`. Returns those that were pending with us when it was
    /// carried out, with its answer: what is missing in that was deleted from the stream, for then `XCLAIM` forgets it
    /// without a word. Both in one step, so that nobody settles an entry in between.
    async fn claim_of_mine<T: FromRedisValue>(
        &mut self,
        claim: Cmd,
        idle: Duration,
        ids: &[EntryId],
    ) -> RedisResult<(HashSet<EntryId>, T)> {
        let (first, last) = (ids.iter().min(), ids.iter().max());
        let [first, last] = [first, last].map(|end| end.map(EntryId::to_string).unwrap_or_default());
        let mut step = redis::pipe();
        step.atomic().add_command(self.mine_between(&first, &last, Self::PAGE)).add_command(claim);
        let (mine, claimed): (Vec<PendingReply>, T) = step.query_async(&mut self.connection).await?;
        let mine: RedisResult<Vec<Pending>> = mine.into_iter().map(pending).collect();
        let claimable: HashSet<_> = mine?.iter().filter(|mine| mine.idle >= idle).map(|mine| mine.id).collect();
        Ok((ids.iter().copied().filter(|id| claimable.contains(id)).collect(), claimed))
    }

    /// Takes over what is pending for `stale` with any consumer, from `from` on. This counts as no delivery; the
    /// entries are then among [`mine`](Self::mine).
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn take_over(&mut self, stale: Duration, from: Option<EntryId>) -> RedisResult<Claimed> {
        let mut command = self.of_group("XAUTOCLAIM");
        command.arg(&self.consumer).arg(stale.as_millis() as u64);
        command.arg(from.map_or_else(|| "0-0".to_owned(), |from| from.to_string()));
        command.arg("COUNT").arg(Self::PAGE).arg("JUSTID");
        let reply: (String, Vec<String>, Vec<String>) = command.query_async(&mut self.connection).await?;
        let (next, entries, deleted) = reply;
        let next = Some(id(&next)?).filter(|next| *next != EntryId { ms: 0, sequence: 0 });
        let entries: RedisResult<_> = entries.iter().map(|entry| id(entry)).collect();
        Ok(Claimed { entries: entries?, deleted: deleted.len(), next })
    }

    /// Gives back what is pending with this consumer, all that `is_left`: the next one to look, whoever it is, finds it
    /// idle for `stale`, and the delivery that we took does not count. Returns how many there were.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses; then it becomes stale by itself.
    pub async fn give_back(&mut self, stale: Duration, is_left: impl Fn(EntryId) -> bool) -> RedisResult<usize> {
        let (mut after, mut count) = (None, 0);
        loop {
            let mut page = self.mine(after, Self::PAGE).await?;
            after = page.last().filter(|_| page.len() == Self::PAGE).map(|pending| pending.id);
            page.retain(|pending| is_left(pending.id));
            let mut pipeline = redis::pipe();
            for alike in page.chunk_by(|a, b| a.deliveries == b.deliveries) {
                let ids: Vec<_> = alike.iter().map(|pending| pending.id).collect();
                let mut command = self.claim(Duration::ZERO, &ids);
                command.arg("IDLE").arg(stale.as_millis() as u64);
                command.arg("RETRYCOUNT").arg(alike[0].deliveries.saturating_sub(1)).arg("JUSTID");
                pipeline.add_command(command).ignore();
            }
            if !page.is_empty() {
                pipeline.exec_async(&mut self.connection).await?;
            }
            count += page.len();
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// How the group stands.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn standing(&mut self) -> RedisResult<Standing> {
        let groups = self.connection.xinfo_groups(&self.stream).await?.groups;
        let (ours, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.name == self.group);
        let (pending, lag) = ours.first().map_or((0, None), |ours| (ours.pending, ours.lag));
        Ok(Standing { others: others.into_iter().map(|group| group.name).collect(), pending, lag })
    }

    /// Entries of the stream in all.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn len(&mut self) -> RedisResult<usize> {
        self.connection.xlen(&self.stream).await
    }

    /// For scripts about the same entries.
    pub(super) fn connection(&mut self) -> &mut MultiplexedConnection {
        &mut self.connection
    }

    fn mine_between(&self, first: &str, last: &str, most: usize) -> Cmd {
        let mut command = self.of_group("XPENDING");
        command.arg(first).arg(last).arg(most).arg(&self.consumer);
        command
    }

    fn of_group(&self, command: &str) -> Cmd {
        let mut command = redis::cmd(command);
        command.arg(&self.stream).arg(&self.group);
        command
    }

    fn claim(&self, idle: Duration, entries: &[EntryId]) -> Cmd {
        let mut command = self.of_group("XCLAIM");
        command.arg(&self.consumer).arg(idle.as_millis() as u64);
        for entry in entries {
            command.arg(entry.to_string());
        }
        command
    }
}

/// The groups of the stream `key`; none if there is no such stream.
///
/// # Errors
/// If Redis cannot be reached or refuses, or `key` is something else than a stream.
pub async fn groups_of(redis: &Pool, key: &str) -> Result<Option<Vec<StreamInfoGroup>>, PoolError> {
    let mut connection = redis.get().await?;
    let asked = async {
        // Not EXISTS, for which the daemon has no other use and so no right.
        let kind: String = redis::cmd("TYPE").arg(key).query_async(&mut *connection).await?;
        Ok(match kind.as_str() {
            "none" => None,
            _ => Some(connection.xinfo_groups(key).await?.groups),
        })
    };
    asked.await.map_err(|error| {
        redis.discard(connection);
        PoolError::Connect(deadpool::managed::PoolError::Backend(error))
    })
}

/// An entry with its fields and their values by turns; none of an entry that was deleted. Not the client's own type:
/// that makes a table with owned keys of each entry, and names need not be UTF-8.
type Fields = (String, Option<Vec<Vec<u8>>>);

/// A stream with its entries.
type Stream = (Vec<u8>, Vec<Fields>);

/// A pending entry, its consumer, milliseconds since its last delivery, and the number of its deliveries.
type PendingReply = (String, String, u64, u64);

fn pending((entry, _, idle, deliveries): PendingReply) -> RedisResult<Pending> {
    Ok(Pending { id: id(&entry)?, idle: Duration::from_millis(idle), deliveries })
}

fn entry((entry, fields): Fields) -> Option<RedisResult<RawEntry>> {
    fields.map(|fields| Ok(RawEntry { id: id(&entry)?, fields }))
}

fn id(text: &str) -> RedisResult<EntryId> {
    text.parse().map_err(|_| (redis::ErrorKind::Parse, "an entry without an id").into())
}
