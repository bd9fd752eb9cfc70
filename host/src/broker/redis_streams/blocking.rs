//! Questions of threads that wait for the answer: lanes, and guests in the middle of a call. After the first time-out nobody
//! asks any more until a thread that tries once a second has had an answer, so an outage costs each lane one time-out.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use redis::{Connection, ErrorKind, RedisError, RedisResult};

use super::Pool;
use crate::telemetry::Chain;

/// How often it is tried whether Redis answers again, and how long it then may take. By a thread of its own: no lane waits for
/// that.
const PAUSE: Duration = Duration::from_secs(1);

/// What Redis refuses is said once in this time.
const MINUTE: Duration = Duration::from_secs(60);

/// Connections that block. Cheap to clone.
#[derive(Clone)]
pub(super) struct Blocking(Arc<Asking>);

/// What the log says of one use.
#[derive(Debug)]
pub(super) struct Words {
    /// Name of the thread that tries again.
    pub thread: &'static str,
    /// Redis says no.
    pub refused: &'static str,
    /// It does not answer.
    pub lost: &'static str,
    /// It answers again.
    pub back: &'static str,
}

struct Asking {
    redis: Pool,
    words: Words,
    /// Connections that nobody uses at the moment: as many as there were lanes at once.
    idle: Mutex<Vec<Connection>>,
    /// Redis has not answered, and nobody asks until it does.
    is_away: AtomicBool,
    /// When it was last said in the log that Redis refuses.
    told: Mutex<Option<Instant>>,
}

/// There is no answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoAnswer;

impl Blocking {
    /// Nothing is connected yet.
    pub fn new(redis: Pool, words: Words) -> Self {
        let (idle, told) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Asking { redis, words, idle, is_away: AtomicBool::new(false), told }))
    }

    /// Has `ask` ask Redis, unless it is away. `again`: it may be asked twice, so a connection that has died while it lay
    /// idle, as over a restart of Redis, costs nothing.
    pub fn ask<T>(
        &self,
        wait: Duration,
        again: bool,
        ask: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, NoAnswer> {
        if self.is_away() {
            return Err(NoAnswer);
        }
        // Not in the match itself, which would hold the lock to its end.
        let idle = self.0.idle().pop();
        let asked = match idle {
            None => self.0.ask_anew(wait, &ask),
            Some(connection) => match self.0.ask_on(connection, wait, &ask) {
                Err(error) if again && !error.is_timeout() => {
                    // What befell this one befell the others.
                    self.0.idle().clear();
                    self.0.ask_anew(wait, &ask)
                }
                asked => asked,
            },
        };
        asked.map_err(|error| {
            match error.kind() {
                ErrorKind::Server(_) | ErrorKind::Extension => self.0.refused(&error),
                _ => self.0.lost(&error),
            }
            NoAnswer
        })
    }

    /// Whether it is known that Redis does not answer now.
    pub fn is_away(&self) -> bool {
        self.0.is_away.load(Ordering::Relaxed)
    }
}

impl Asking {
    fn ask_anew<T>(&self, wait: Duration, ask: &impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        self.ask_on(self.redis.blocking(wait)?, wait, ask)
    }

    fn ask_on<T>(
        &self,
        mut connection: Connection,
        wait: Duration,
        ask: &impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        connection.set_read_timeout(Some(wait))?;
        connection.set_write_timeout(Some(wait))?;
        let answer = ask(&mut connection)?;
        self.idle().push(connection);
        Ok(answer)
    }

    /// It answers, and says no: no right, no memory, a key that holds something else. That costs nobody time.
    fn refused(&self, error: &RedisError) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() > MINUTE) {
            *told = Some(Instant::now());
            tracing::warn!(error = %Chain(error), "{}", self.words.refused);
        }
    }

    /// Has nobody ask any more until Redis answers.
    fn lost(self: &Arc<Self>, error: &RedisError) {
        self.idle().clear();
        if self.is_away.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(error = %Chain(error), "{}", self.words.lost);
        let asking = Arc::downgrade(self);
        let try_again = move || {
            loop {
                thread::sleep(PAUSE);
                match asking.upgrade() {
                    Some(asking) if !asking.is_back() => {}
                    _ => return,
                }
            }
        };
        if thread::Builder::new().name(self.words.thread.to_owned()).spawn(try_again).is_err() {
            // Then each call has to find out by itself.
            self.is_away.store(false, Ordering::Relaxed);
        }
    }

    fn is_back(&self) -> bool {
        let ping = |connection: &mut Connection| redis::cmd("PING").query::<redis::Value>(connection);
        let is_back = self.ask_anew(PAUSE, &ping).is_ok();
        if is_back {
            self.is_away.store(false, Ordering::Relaxed);
            tracing::info!("{}", self.words.back);
        }
        is_back
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("is_away", &self.is_away()).finish_non_exhaustive()
    }
}
