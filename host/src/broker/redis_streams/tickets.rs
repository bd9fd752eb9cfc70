//! Who has asked for the result of a task, and what came of it: kept in Redis, so that any host of a site answers.

use std::{sync::LazyLock, time::Duration};

use redis::{RedisResult, Script, aio::MultiplexedConnection};

use super::{Config, Depth, Pool, PoolError, depth};
use crate::event::EntryId;

static SUBMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tickets_submit.lua")));
static MATCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tickets_match.lua")));

/// The tickets. Cheap to clone.
#[derive(Clone)]
pub struct Tickets {
    redis: Pool,
    /// Key of the stream of tasks.
    tasks: String,
    /// Its group of workers.
    group: String,
    /// Key of the stream of results.
    results: String,
    /// What the keys of tickets begin with.
    prefix: String,
    /// What the keys begin with of what is known of names, as in [`TaskNames`](super::TaskNames).
    known: String,
    /// Key of the tickets of tasks whose agent is not known.
    strange: String,
    /// How long a ticket is kept after its result.
    keep: Duration,
    /// How long without one.
    wait: Duration,
    /// How long a task may wait whose agent is not known.
    left_for: Duration,
}

/// What became of a task that somebody wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It was added.
    Added,
    /// It was added before, and has this result, if it has one.
    Known(Option<String>),
    /// Its id is that of another task.
    Other,
    /// So many wait already.
    Full(u64),
    /// So many wait already whose agent is not known.
    Strange(u64),
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// Somebody has asked for it.
    Matched,
    /// Nobody has.
    Unmatched,
    /// There was one before.
    Repeated,
    /// It was acknowledged before.
    Gone,
}

/// Redis could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// It went away, or refuses.
    #[error("Redis cannot be asked about tasks")]
    Redis(#[from] redis::RedisError),
}

impl Tickets {
    /// Of tasks in the stream `tasks`, whose names are known for `remember`, with results in the stream `results`, kept for
    /// `keep`. What nobody does is given up after `left_for`.
    #[must_use]
    pub fn new(
        redis: &Pool,
        config: &Config,
        (tasks, group): (&str, &str),
        results: &str,
        keep: Duration,
        remember: Duration,
        left_for: Duration,
    ) -> Self {
        Self {
            redis: redis.clone(),
            tasks: config.key(tasks),
            group: group.to_owned(),
            results: config.key(results),
            prefix: config.state_key("task"),
            known: config.state_key("task-known"),
            keep,
            strange: config.state_key("task-strange"),
            // Else the same again would be another entry of a task that is under way, and who asked would not hear that it
            // was given up.
            wait: keep.max(remember).max(left_for.saturating_add(keep)),
            left_for,
        }
    }

    fn key(&self, task: &str) -> String {
        format!("{}:{task}", self.prefix)
    }

    /// Adds the task `id` with these names and values, unless `most` wait; if its agent is not known, unless so many of
    /// those wait as `strange` says.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses. It may have been added all the same; the same again finds it.
    pub async fn submit(
        &self,
        id: &str,
        digest: &str,
        fields: &[(&str, &str)],
        most: u64,
        strange: Option<u64>,
    ) -> Result<Submitted, TicketError> {
        let mut call = SUBMIT.prepare_invoke();
        call.key(&self.tasks).key(self.key(id)).key(format!("{}:{id}", self.known)).key(&self.strange);
        call.arg(&self.group).arg(most).arg(ms(self.wait)).arg(digest);
        call.arg(strange.map(|most| most.to_string()).unwrap_or_default()).arg(ms(self.left_for));
        fields.iter().for_each(|(name, value)| _ = call.arg(*name).arg(*value));
        let (what, result, waiting): (String, String, u64) =
            self.ask(async |redis| call.invoke_async(redis).await).await?;
        Ok(match what.as_str() {
            "added" => Submitted::Added,
            "known" => Submitted::Known(Some(result).filter(|result| !result.is_empty())),
            "full" => Submitted::Full(waiting),
            "strange" => Submitted::Strange(waiting),
            _ => Submitted::Other,
        })
    }

    /// How many tasks wait or are under way, of all agents.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn waiting(&self) -> Result<u64, TicketError> {
        let Depth { entries, groups } = depth(&self.redis, &self.tasks).await?;
        let ours = groups.iter().find(|group| group.name == self.group);
        // As where one is added: where Redis does not know how many are unread, all that are there count.
        Ok(ours.and_then(|group| Some(group.lag? + group.pending)).unwrap_or(entries) as u64)
    }

    /// Whether the task `id` was asked for, and its result, if it is there.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn look(&self, id: &str) -> Result<Option<Option<String>>, TicketError> {
        let key = self.key(id);
        let ask = async |redis: &mut MultiplexedConnection| {
            redis::cmd("HMGET").arg(key).arg("digest").arg("result").query_async(redis).await
        };
        let (digest, result): (Option<String>, Option<String>) = self.ask(ask).await?;
        Ok(digest.map(|_| result))
    }

    /// Brings results, each with its entry, its task and what its ticket gets, to their tickets, and acknowledges them to
    /// `group`. Says what became of each, and for how long it had been there.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn bring(
        &self,
        group: &str,
        results: &[(EntryId, String, String)],
    ) -> Result<Vec<(Matched, Duration)>, TicketError> {
        let mut call = MATCH.prepare_invoke();
        call.key(&self.results).key(&self.strange).arg(group).arg(ms(self.keep));
        for (entry, task, result) in results {
            call.key(self.key(task)).arg(entry.to_string()).arg(result);
        }
        let answers: Vec<(String, u64)> = self.ask(async |redis| call.invoke_async(redis).await).await?;
        let answer = |(what, ms): (String, u64)| {
            let what = match what.as_str() {
                "matched" => Matched::Matched,
                "unmatched" => Matched::Unmatched,
                "repeated" => Matched::Repeated,
                _ => Matched::Gone,
            };
            (what, Duration::from_millis(ms))
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, TicketError> {
        self.redis.ask(question, TicketError::Redis).await
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
