//! Indicators that sites have told each other of, in Redis: one hash of entries, and a sorted set of when they end. Two keys
//! and not one for each, so that a batch is looked up in one command, it is known at once how many there are, and a million
//! costs Redis a third less. What an entry says is the business of `crate::intel`.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use redis::{RedisError, RedisResult, Script, ScriptInvocation, aio::MultiplexedConnection};

use super::{
    Config, Pool, PoolError,
    blocking::{Blocking, NoAnswer, Words},
};

static RECORD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("indicators.lua")));

/// One answer, so that a Redis that is frozen costs one time-out; of a pipeline each command would.
static LOOK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=no-writes
local time = redis.call('TIME')
return { time[1], time[2], redis.call('HLEN', KEYS[1]), redis.call('HMGET', KEYS[1], '', unpack(ARGV)) }",
    )
});

const WORDS: Words = Words {
    thread: "indicators",
    refused: "Redis refuses to look up shared indicators",
    lost: "events are not looked up among shared indicators",
    back: "events are looked up among shared indicators again",
};

/// Most things that one call of a script takes: Lua unpacks no more than some thousands at once.
pub(crate) const AT_ONCE: usize = 500;

/// How many names Redis looks at for one answer while it is asked for all.
const SCANNED: usize = 1000;

/// The table. Cheap to clone.
#[derive(Clone)]
pub struct Indicators {
    redis: Pool,
    blocking: Blocking,
    keys: Arc<[String; 2]>,
}

/// The table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndicatorsError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke.
    #[error("Redis does not tell or keep shared indicators")]
    Redis(#[source] RedisError),
}

/// Something to record.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// Name of the indicator.
    pub id: &'a [u8],
    /// Its type.
    pub kind: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Who tells it.
    pub site: &'a str,
    /// First time, ms since 1970.
    pub first_ms: u64,
    /// Last time.
    pub last_ms: u64,
    /// When it ends; none: `ttl` after the last time.
    pub expires_ms: Option<u64>,
    /// Longest life.
    pub ttl: Duration,
    /// 0 (clear) to 4 (red).
    pub tlp: u8,
    /// What the message is known by, 12 hexadecimal digits.
    pub mark: &'a str,
    /// What is told.
    pub what: What,
    /// What the object is known by that says so, 12 hexadecimal digits; empty if there is none.
    pub object: &'a str,
    /// Version of the object, ms since 1970.
    pub version_ms: u64,
}

/// What a [`Telling`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A site tells an indicator.
    Indicator,
    /// A site tells that it has seen one.
    Sighting,
    /// We have seen one.
    Own,
    /// A site tells one no more.
    Withdrawal,
}

/// What became of a [`Telling`]: a code of `indicators.lua`, and how many messages have told it.
pub type Answer = (String, u64);

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The time of Redis, ms since 1970.
    pub now_ms: u64,
    /// How many entries there are.
    pub size: u64,
    /// One for each id: an entry as it is kept.
    pub entries: Vec<Option<String>>,
}

impl Indicators {
    /// Of the Redis of `config`. Nothing is connected yet.
    #[must_use]
    pub fn new(redis: &Pool, config: &Config) -> Self {
        let keys = ["intel", "intel-ends"].map(|name| config.state_key(name));
        Self { redis: redis.clone(), blocking: Blocking::new(redis.clone(), WORDS), keys: Arc::new(keys) }
    }

    /// Records `tellings`, as long as there are not more than `most` entries. Returns how many there are, and one answer for
    /// each. Also clears some of what has ended away.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses. Some may be recorded; their marks tell when they come again.
    pub async fn record(&self, most: u64, tellings: &[Telling<'_>]) -> Result<(u64, Vec<Answer>), IndicatorsError> {
        let (mut size, mut answers) = (0, Vec::with_capacity(tellings.len()));
        for part in parts(tellings) {
            let mut call = self.call(&RECORD);
            call.arg(most);
            for telling in part {
                let Telling { id, kind, value, site, first_ms, last_ms, expires_ms, ttl, .. } = *telling;
                let Telling { tlp, mark, what, object, version_ms, .. } = *telling;
                call.arg(id).arg(kind).arg(value).arg(site).arg(first_ms).arg(last_ms).arg(expires_ms.unwrap_or(0));
                call.arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)).arg(tlp).arg(mark).arg(what.letter());
                call.arg(object).arg(version_ms);
            }
            let (there, codes, counts): (u64, Vec<String>, Vec<u64>) = self.ask(&call).await?;
            size = there;
            answers.extend(codes.into_iter().zip(counts));
        }
        Ok((size, answers))
    }

    /// The entries with these `ids`.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn look(&self, ids: &[&[u8]]) -> Result<Found, IndicatorsError> {
        let mut found = Found::default();
        for ids in parts(ids) {
            let mut call = self.call(&LOOK);
            call.arg(ids);
            found.add(self.ask(&call).await?);
        }
        Ok(found)
    }

    /// The same for a thread that waits, about `wait` for each 500 of them; none while Redis does not answer.
    #[must_use]
    pub fn look_now(&self, ids: &[&[u8]], wait: Duration) -> Option<Found> {
        let mut found = Found::default();
        for ids in parts(ids) {
            let looked = self.blocking.ask(wait, true, |connection| {
                let mut call = self.call(&LOOK);
                call.arg(ids);
                call.invoke(connection)
            });
            match looked {
                Ok(looked) => found.add(looked),
                Err(NoAnswer) => return None,
            }
        }
        Some(found)
    }

    /// The names of all entries, in the order in which they end. What is there all the while is among them, once, whatever
    /// comes, goes or moves meanwhile: Redis is asked for names and not for places.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn names(&self) -> Result<Vec<Vec<u8>>, IndicatorsError> {
        let (mut ends, mut cursor) = (HashMap::new(), 0u64);
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(&self.keys[1]).arg(cursor).arg("COUNT").arg(SCANNED);
            let (next, names): (u64, Vec<(Vec<u8>, f64)>) =
                self.on(async |redis| scan.query_async(redis).await).await?;
            // Redis may tell one twice.
            ends.extend(names);
            if next == 0 {
                break;
            }
            cursor = next;
        }
        let mut names: Vec<(Vec<u8>, f64)> = ends.into_iter().collect();
        names.sort_unstable_by(|(one, ends), (other, others)| ends.total_cmp(others).then_with(|| one.cmp(other)));
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }

    /// Forgets the entries with these `ids`. Returns how many of them were there.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn forget(&self, ids: &[&[u8]]) -> Result<u64, IndicatorsError> {
        let mut gone = 0;
        for ids in ids.chunks(AT_ONCE) {
            let mut pipeline = redis::pipe();
            pipeline.atomic().cmd("HDEL").arg(&self.keys[0]).arg(ids).cmd("ZREM").arg(&self.keys[1]).arg(ids).ignore();
            let (removed,): (u64,) = self.on(async |redis| pipeline.query_async(redis).await).await?;
            gone += removed;
        }
        Ok(gone)
    }

    fn call<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        call.key(&self.keys[0]).key(&self.keys[1]);
        call
    }

    async fn ask<T: redis::FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, IndicatorsError> {
        self.on(async |redis| call.invoke_async(redis).await).await
    }

    async fn on<T>(
        &self,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, IndicatorsError> {
        self.redis.ask(question, IndicatorsError::Redis).await
    }
}

impl fmt::Debug for Indicators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indicators").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// As the scripts answer: seconds, microseconds, entries there are, and those asked for behind one that nobody asks for.
type Looked = (u64, u64, u64, Vec<Option<String>>);

impl Found {
    fn add(&mut self, (seconds, micros, size, entries): Looked) {
        self.now_ms = seconds * 1000 + micros / 1000;
        self.size = size;
        self.entries.extend(entries.into_iter().skip(1));
    }
}

impl What {
    fn letter(self) -> &'static str {
        match self {
            Self::Indicator => "i",
            Self::Sighting => "s",
            Self::Own => "o",
            Self::Withdrawal => "w",
        }
    }
}

/// At least one, so that the size is always told.
fn parts<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let none = all.is_empty().then_some(all);
    none.into_iter().chain(all.chunks(AT_ONCE))
}
