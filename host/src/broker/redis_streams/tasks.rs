//! The stream of tasks for agents, as a worker reads it: through the group that other workers share, in whatever language
//! they are written.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use redis::{RedisResult, Script, aio::MultiplexedConnection};

use super::{Durability, Named, Pending, Pool, RawEntry, RawStream, Taken, waiting::Stream};
use crate::event::EntryId;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tasks_take.lua")));
static FINISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tasks_finish.lua")));

/// The consumer with which tasks are pending that were passed over. Nobody reads as it.
const LEFT: &str = "left-to-other-workers";

/// How long what is passed over has been idle, ms: longer than any worker waits before it takes over.
const IDLE: u64 = 86_400_000;

/// Longest wait for new entries.
const BLOCK: Duration = Duration::from_secs(1);

/// Keys and names.
#[derive(Clone, Debug)]
pub struct TaskNames {
    /// Key of the stream of tasks.
    pub tasks: String,
    /// Key of the stream of results.
    pub results: String,
    /// Key of the stream of dead letters.
    pub dead_letters: String,
    /// What the keys begin with of what is known of names.
    pub known: String,
    /// The group of workers.
    pub group: String,
    /// Our name in it.
    pub consumer: String,
}

/// Whose tasks are wanted.
#[derive(Clone, Debug)]
pub struct Served {
    /// Names of agents.
    pub agents: Vec<String>,
    /// Whether the tasks of all others are wanted as well.
    pub all: bool,
    /// How long a task of others is left at the head of the stream before it is passed over.
    pub patience: Duration,
    /// How long after it was added such a task is given up that nobody has done.
    pub left_for: Duration,
}

/// A task that was delivered.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Its entry.
    pub entry: RawEntry,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    /// It is for none of ours, and is to be given up: nobody has done it.
    pub is_left: bool,
}

/// What a look at the stream gave.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Tasks.
    pub tasks: Vec<Delivered>,
    /// Tasks of others that were passed over.
    pub passed: usize,
    /// Pending entries that were deleted before anybody had done them.
    pub deleted: usize,
    /// There is a task of others at the head, which may be passed over in so long.
    pub head: Option<Duration>,
    /// News come behind this entry.
    pub after: String,
    /// Where taking over goes on; none at the end.
    pub next: Option<String>,
}

/// How a task has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its entry.
    pub id: EntryId,
    /// Names and values of its result.
    pub result: Vec<(&'static str, Vec<u8>)>,
    /// Names and values of its dead letter, if it has failed for good.
    pub letter: Option<Vec<(&'static str, Vec<u8>)>>,
    /// The name that has its result with that, if who added it gave one.
    pub named: Option<Named>,
}

/// What became of an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is stored.
    Stored,
    /// The task's name had a result, of another entry. It was acknowledged and adds none.
    Repeated,
    /// It was not pending any more: somebody else has ended it, or we have and did not hear of it.
    Before,
}

/// The stream. What was read is pending until it has [`finish`](Self::finish)ed.
pub struct TaskStream {
    redis: Pool,
    pub(super) names: TaskNames,
    pub(super) pending: RawStream,
    durability: Durability,
    pub(super) remove: bool,
    results_length: u64,
    pub(super) remember: Duration,
}

impl TaskStream {
    /// Opens it, and makes it and its group where they are missing. With `remove` entries go from it when they are done;
    /// results are trimmed to about `results_length`, 0 does not; names of tasks are known for `remember`, zero: not at all.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn open(
        redis: &Pool,
        names: &TaskNames,
        timeout: Duration,
        durability: Durability,
        remove: bool,
        results_length: u64,
        remember: Duration,
    ) -> RedisResult<Self> {
        let (pending, _) = RawStream::open(redis, &names.tasks, &names.group, &names.consumer, timeout).await?;
        Ok(Self { redis: redis.clone(), names: names.clone(), pending, durability, remove, results_length, remember })
    }

    /// At most `most` tasks that are for us, without waiting for any: first those that other workers have left for `stale`,
    /// if that is given, from behind `from` on; then new ones. Among the former are those of others that nobody has done.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn take(
        &mut self,
        most: usize,
        served: &Served,
        stale: Option<Duration>,
        from: Option<&str>,
    ) -> RedisResult<Given> {
        let mut call = TAKE.prepare_invoke();
        call.key(&self.names.tasks).arg(&self.names.group).arg(&self.names.consumer).arg(most);
        call.arg(served.patience.as_millis() as u64);
        call.arg(stale.map(|stale| stale.as_millis().to_string()).unwrap_or_default());
        call.arg(from.unwrap_or_default()).arg(u8::from(served.all));
        call.arg(served.left_for.as_millis() as u64);
        served.agents.iter().for_each(|agent| _ = call.arg(agent));
        type Task = (String, u64, Vec<Vec<u8>>, u8);
        let reply: (Vec<Task>, usize, usize, i64, String, String) =
            call.invoke_async(self.pending.connection()).await?;
        let (tasks, passed, deleted, waits, after, next) = reply;
        let delivered = |(id, deliveries, fields, left): Task| {
            let id = id.parse().map_err(|_| (redis::ErrorKind::Parse, "an entry without an id"))?;
            Ok(Delivered { entry: RawEntry { id, fields }, deliveries, is_left: left == 1 })
        };
        Ok(Given {
            tasks: tasks.into_iter().map(delivered).collect::<RedisResult<_>>()?,
            passed,
            deleted,
            head: u64::try_from(waits).ok().map(Duration::from_millis),
            after,
            next: Some(next).filter(|next| !next.is_empty()),
        })
    }

    /// As [`RawStream::mine`].
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn mine(&mut self, after: Option<EntryId>) -> RedisResult<Vec<Pending>> {
        self.pending.mine(after, RawStream::PAGE).await
    }

    /// As [`RawStream::hold`].
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn hold(&mut self, ids: &[EntryId], idle: Duration) -> RedisResult<usize> {
        self.pending.hold(ids, idle).await
    }

    /// As [`RawStream::take`]: tasks that are ours already, once more.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn retake(&mut self, ids: &[EntryId]) -> RedisResult<Taken> {
        self.pending.take(ids).await
    }

    /// Passes a task over that is ours and that we do not serve.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn pass_over(&mut self, id: EntryId) -> RedisResult<()> {
        let mut claim = redis::cmd("XCLAIM");
        claim.arg(&self.names.tasks).arg(&self.names.group).arg(LEFT).arg(0).arg(id.to_string());
        claim.arg("IDLE").arg(IDLE).arg("RETRYCOUNT").arg(0).arg("JUSTID");
        claim.exec_async(self.pending.connection()).await
    }

    /// Ends a task, in one step, and waits until that is as sure as is wanted.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses; the same again does no harm.
    pub async fn finish(&self, ending: &Ending) -> Result<Finished, TaskError> {
        let mut call = FINISH.prepare_invoke();
        call.key(&self.names.tasks).key(&self.names.results).key(&self.names.dead_letters);
        let named = ending.named.as_ref().filter(|_| !self.remember.is_zero());
        named.iter().for_each(|named| _ = call.key(self.mark(named)));
        call.arg(&self.names.group).arg(ending.id.to_string()).arg(u8::from(self.remove)).arg(self.results_length);
        call.arg(named.map(|named| named.digest.as_str()).unwrap_or_default()).arg(self.remember_ms());
        call.arg(2 * ending.result.len());
        for (name, value) in ending.result.iter().chain(ending.letter.iter().flatten()) {
            call.arg(*name).arg(value.as_slice());
        }
        let mut connection = self.redis.get().await?;
        let done = async {
            let done: u8 = call.invoke_async(&mut *connection).await?;
            self.durability.wait(&mut connection).await?;
            Ok(match done {
                0 => Finished::Before,
                2 => Finished::Repeated,
                _ => Finished::Stored,
            })
        };
        let done: Result<Finished, TaskError> = done.await;
        if done.is_err() {
            self.redis.discard(connection);
        }
        done
    }

    /// As [`RawStream::give_back`], over a connection of its own where this one may be busy.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses; then it becomes stale by itself.
    pub async fn give_back(&mut self, stale: Duration, is_left: impl Fn(EntryId) -> bool) -> RedisResult<usize> {
        self.pending.give_back(stale, is_left).await
    }
}

/// A task could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] super::PoolError),
    /// Redis went away, or refuses.
    #[error("the result of a task cannot be stored")]
    Redis(#[from] redis::RedisError),
    /// It is not as sure as it has to be.
    #[error("the result of a task is not sure")]
    Sure(#[from] super::CommitError),
}

/// Waits for entries of a stream, without a group and without reading them twice.
pub struct Bell {
    redis: Pool,
    key: String,
    timeout: Duration,
    link: Option<MultiplexedConnection>,
}

impl Bell {
    /// For the stream at `key`.
    #[must_use]
    pub fn new(redis: &Pool, key: &str, timeout: Duration) -> Self {
        Self { redis: redis.clone(), key: key.to_owned(), timeout, link: None }
    }

    /// Waits until there is an entry behind `after`, a second at the most. Where Redis is away it is no use either, and
    /// whoever asks next will hear of that.
    pub async fn rung(mut self, after: String) -> Self {
        let until = Instant::now() + BLOCK;
        if self.wait(&after).await.is_err() {
            self.link = None;
            tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
        }
        self
    }

    async fn wait(&mut self, after: &str) -> RedisResult<()> {
        let mut connection = match self.link.take() {
            Some(connection) => connection,
            None => self.redis.dedicated(BLOCK + self.timeout).await?,
        };
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(1).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        command.arg("STREAMS").arg(&self.key).arg(after);
        let _news: Option<Vec<Stream>> = command.query_async(&mut connection).await?;
        self.link = Some(connection);
        Ok(())
    }
}
