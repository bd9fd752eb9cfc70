//! What guests remember, in Redis: a hash for each place, and a sorted set of when its entries end. Lanes are plain threads
//! and a guest waits for the answer in the middle of its call, so these connections block.

use std::{
    fmt,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Connection, RedisError, RedisResult, Script};

use super::{Config, Pool};
use crate::{
    config::StateLimits,
    state::{Away, Change, Found, MARKS, Mark, Shelf, Usage, Value, Written},
    telemetry::{Chain, SlotName},
};

static CHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("state.lua")));

/// How long nobody asks after Redis has not answered.
const PAUSE: Duration = Duration::from_secs(1);

/// The tables of all guests of a site. Shared by the lanes.
pub struct StateShelf {
    redis: Pool,
    names: Config,
    /// Connections that nobody uses at the moment: as many as there were lanes at once.
    idle: Mutex<Vec<Connection>>,
    circuit: Circuit,
}

impl StateShelf {
    /// In the Redis of `redis`, under the names of `config`. Nothing is connected yet.
    #[must_use]
    pub fn new(redis: Pool, config: &Config) -> Self {
        Self { redis, names: config.clone(), idle: Mutex::default(), circuit: Circuit::default() }
    }

    /// The key of the table of `slot`, and the key of when its entries end.
    #[must_use]
    pub fn keys(&self, slot: &SlotName) -> (String, String) {
        (self.names.state_key(&format!("guest:{slot}")), self.names.state_key(&format!("guest-ends:{slot}")))
    }

    /// Has `ask` ask Redis, unless it is away. `again`: it may be asked twice, so a connection that has died while it lay
    /// idle, as over a restart of Redis, costs nothing.
    fn ask<T>(&self, wait: Duration, again: bool, ask: impl Fn(&mut Connection) -> RedisResult<T>) -> Result<T, Away> {
        if !self.circuit.may_ask() {
            return Err(Away);
        }
        let asked = match self.idle().pop() {
            None => self.ask_anew(wait, &ask),
            Some(mut connection) => match self.ask_on(&mut connection, wait, &ask) {
                Ok(answer) => {
                    self.idle().push(connection);
                    Ok(answer)
                }
                Err(error) => {
                    // What befell this one befell the others.
                    self.idle().clear();
                    if again && !error.is_timeout() { self.ask_anew(wait, &ask) } else { Err(error) }
                }
            },
        };
        match asked {
            Ok(answer) => {
                self.circuit.close();
                Ok(answer)
            }
            Err(error) => {
                self.circuit.open(&error);
                Err(Away)
            }
        }
    }

    fn ask_anew<T>(&self, wait: Duration, ask: &impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let mut connection = self.redis.blocking(wait)?;
        let answer = self.ask_on(&mut connection, wait, ask)?;
        self.idle().push(connection);
        Ok(answer)
    }

    fn ask_on<T>(
        &self,
        connection: &mut Connection,
        wait: Duration,
        ask: &impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        connection.set_read_timeout(Some(wait))?;
        connection.set_write_timeout(Some(wait))?;
        ask(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for StateShelf {
    fn read(&self, slot: &SlotName, keys: &[&str], wait: Duration) -> Result<Found, Away> {
        type Answer = ((u64, u64), Vec<Option<Vec<u8>>>, u64);
        let (table, _) = self.keys(slot);
        let ((seconds, micros), mut values, count): Answer = self.ask(wait, true, |connection| {
            let mut pipeline = redis::pipe();
            pipeline.cmd("TIME").cmd("HMGET").arg(&table).arg("").arg(keys).cmd("HLEN").arg(&table);
            pipeline.query(connection)
        })?;
        let now = seconds * 1000 + micros / 1000;
        let bytes = values.first().cloned().flatten().and_then(|text| str::from_utf8(&text).ok()?.parse().ok());
        let values = values.drain(1..).map(|value| Value::read(&value?, now));
        let usage = Usage { keys: count.saturating_sub(1), bytes: bytes.unwrap_or_default() };
        Ok(Found { values: values.collect(), usage })
    }

    fn write(
        &self,
        slot: &SlotName,
        limits: &StateLimits,
        changes: &[(&str, Change)],
        wait: Duration,
    ) -> Result<Written, Away> {
        let (table, ends) = self.keys(slot);
        // To put or to delete again, or to add what is marked, changes nothing.
        let again = |change: &Change| match change {
            Change::Put { .. } | Change::Delete => true,
            Change::Add { steps, .. } => steps.iter().all(|(mark, _)| mark.is_some_and(|mark| mark.may_repeat)),
        };
        let may_repeat = changes.iter().all(|(_, change)| again(change));
        let (keys, bytes, refused) = self.ask(wait, may_repeat, |connection| {
            let mut call = CHANGE.prepare_invoke();
            call.key(&table).key(&ends).arg(limits.keys).arg(limits.bytes.as_u64()).arg(MARKS);
            for (key, change) in changes {
                match change {
                    Change::Put { value, ttl } => call.arg("p").arg(*key).arg(millis(*ttl)).arg(&value[..]),
                    Change::Delete => call.arg("d").arg(*key),
                    Change::Add { ttl, steps } => call.arg("i").arg(*key).arg(millis(*ttl)).arg(packed(steps)),
                };
            }
            call.invoke(connection)
        })?;
        Ok(Written { usage: Usage { keys, bytes }, refused })
    }

    fn is_away(&self) -> bool {
        self.circuit.is_open()
    }
}

impl fmt::Debug for StateShelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateShelf").field("circuit", &self.circuit).finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// As the script takes them.
fn packed(steps: &[(Option<Mark>, i64)]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(17 * steps.len());
    for (mark, by) in steps {
        packed.push(match mark {
            None => b'n',
            Some(mark) if mark.may_repeat => b'm',
            Some(_) => b'f',
        });
        packed.extend_from_slice(&mark.map_or([0; 8], |mark| mark.id));
        packed.extend_from_slice(&by.to_be_bytes());
    }
    packed
}

/// Whether Redis is asked. Once it has not answered, one question in each [`PAUSE`] finds out if it does again.
#[derive(Debug)]
struct Circuit {
    since: Instant,
    is_open: AtomicBool,
    /// When the next question may be put, milliseconds from `since`.
    next: AtomicU64,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { since: Instant::now(), is_open: AtomicBool::new(false), next: AtomicU64::new(0) }
    }
}

impl Circuit {
    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed) && self.now() < self.next.load(Ordering::Relaxed)
    }

    fn may_ask(&self) -> bool {
        if !self.is_open.load(Ordering::Relaxed) {
            return true;
        }
        let (now, next) = (self.now(), self.next.load(Ordering::Relaxed));
        let after = now + millis(PAUSE);
        now >= next && self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn open(&self, error: &RedisError) {
        self.next.store(self.now() + millis(PAUSE), Ordering::Relaxed);
        if !self.is_open.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %Chain(error), "guests are without what they remember");
        }
    }

    fn close(&self) {
        if self.is_open.load(Ordering::Relaxed) && self.is_open.swap(false, Ordering::Relaxed) {
            tracing::info!("guests remember again");
        }
    }

    fn now(&self) -> u64 {
        millis(self.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_it_does_not_answer_one_question_at_a_time_is_put() {
        let circuit = Circuit::default();
        assert!(circuit.may_ask() && circuit.may_ask());
        circuit.open(&RedisError::from((redis::ErrorKind::Io, "no answer")));
        assert!(circuit.is_open() && !circuit.may_ask());
        circuit.next.store(0, Ordering::Relaxed);
        assert!(!circuit.is_open() && circuit.may_ask(), "its pause is over");
        assert!(!circuit.may_ask(), "somebody asks already");
        circuit.close();
        assert!(circuit.may_ask());
    }

    #[test]
    fn keys_carry_the_hash_tag_and_no_two_places_share_them() {
        let config = Config { cluster: true, url: "redis://127.0.0.1:1".to_owned(), ..Config::default() };
        let shelf = StateShelf::new(Pool::new(&config).unwrap(), &config);
        let stage = crate::telemetry::Stage::Normalize;
        let keys = |slot: SlotName| shelf.keys(&slot);
        let (table, ends) = keys(stage.into());
        assert_eq!((&*table, &*ends), ("{aurora}:state:guest:normalize", "{aurora}:state:guest-ends:normalize"));
        assert_eq!(keys(SlotName::of_rule(stage, "ends")).0, "{aurora}:state:guest:normalize/ends");
    }
}
