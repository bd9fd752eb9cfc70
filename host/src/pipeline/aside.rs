use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::target::Target;
use crate::{
    broker::{
        backoff,
        redis_streams::{
            Commit, CommitError, Guard, KindError, Letters, Pool, PoolError, Producer, Session, Stored, misfits,
        },
    },
    config::Config,
    event::EntryId,
    intel::TableError,
    telemetry::Chain,
};

/// What a command stores beside a daemon that may be running: under a session of its own, so that neither supersedes
/// the other, and each step with its audit entry in it, so that there is none without the other.
pub struct Aside {
    redis: Pool,
    target: Arc<Target>,
    session: Session,
    producer: Producer,
    reconnect_max: Duration,
    patience: Duration,
}

/// A command cannot store something.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// No way to Redis.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// See [`KindError`].
    #[error(transparent)]
    Kind(#[from] KindError),
    /// A stream that takes no entry.
    #[error("the key {stream} {why}; move it away first (redis-cli RENAME), then run this again")]
    NoStream {
        /// Name of the stream.
        stream: String,
        /// What is wrong with it.
        why: String,
    },
    /// See [`CommitError`].
    #[error("the last step may or may not be stored; run the same again, what is done is not done twice")]
    Commit(#[source] CommitError),
    /// What the messages of a step tell of indicators, which is recorded before the step.
    #[error(
        "nothing of the last step is stored, for what it tells of indicators cannot be recorded; run the same again"
    )]
    Indicators(#[from] TableError),
    /// A step of which nothing is stored: a stream became something else after [`Aside::look`].
    #[error("nothing of the last step is stored")]
    Unwritable(#[source] CommitError),
}

/// Who acts, in the field `agent` of the audit trail.
const AGENT: &str = "aurora-cli";

/// Attempts go on for this many times of `redis.timeout`.
const TIMEOUTS: u32 = 4;

impl Aside {
    /// Of a configuration that has `[redis]`. Nothing is connected yet.
    ///
    /// # Errors
    /// If the url or the certificate authority is unusable.
    pub fn new(config: &Config) -> Result<Self, PoolError> {
        let redis = config.redis.clone().unwrap_or_default();
        let target = Arc::new(Target::for_command(config));
        let session = Session::new(&target.layout, redis.durability(), false);
        Ok(Self {
            producer: session.producer("command"),
            session,
            target,
            patience: redis.timeout * TIMEOUTS,
            reconnect_max: redis.reconnect_max,
            redis: Pool::new(&redis)?,
        })
    }

    /// For what is set aside in the spool's `damaged/`: under one name, so that what another command has stored is known.
    ///
    /// # Errors
    /// If the url or the certificate authority is unusable.
    pub fn of_recovery(config: &Config) -> Result<Self, PoolError> {
        let target = Arc::new(Target::for_recovery(config));
        let redis = config.redis.clone().unwrap_or_default();
        let session = Session::new(&target.layout, redis.durability(), true);
        Ok(Self { producer: session.producer("command"), session, target, ..Self::new(config)? })
    }

    /// The next step is the only one of this name, whoever takes it.
    pub(super) fn known_as(&mut self, name: &str) {
        self.producer = self.session.lasting_producer(name);
    }

    /// The connections.
    pub(super) fn redis(&self) -> &Pool {
        &self.redis
    }

    /// Where it stores.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The dead letters.
    #[must_use]
    pub fn letters(&self) -> Letters {
        Letters::new(&self.redis, &self.target.layout, self.target.dead_letter)
    }

    /// Refuses to begin where a stream takes no entry, for its key holds something else or its ids are used up: what a step takes out of one stream could not be
    /// put into the other.
    ///
    /// # Errors
    /// Which key it is, or why it cannot be told.
    pub async fn look(&self) -> Result<(), AsideError> {
        match misfits(&self.redis, &self.target.layout).await?.into_iter().next() {
            None => Ok(()),
            Some((stream, why)) => Err(AsideError::NoStream { stream, why }),
        }
    }

    /// Begins a step of about `bytes` bytes. Its first entry is that of the audit trail.
    pub(super) fn begin(&self, bytes: usize, action: &str, details: &str) -> Commit {
        let mut commit = self.producer.begin(bytes + details.len());
        let timestamp = chrono::Utc::now().to_rfc3339();
        let details = format!("who=cli uid={} {details}", rustix::process::getuid().as_raw());
        commit.entry(
            self.target.audit,
            &[
                ("agent", AGENT.as_bytes()),
                ("action", action.as_bytes()),
                ("details", details.as_bytes()),
                ("timestamp", timestamp.as_bytes()),
            ],
        );
        commit
    }

    /// Stores a step whole, trying for a while.
    ///
    /// # Errors
    /// [`AsideError::Commit`], [`AsideError::Unwritable`].
    pub(super) async fn store(&mut self, commit: Commit) -> Result<Stored, AsideError> {
        let Some(commit) = self.producer.seal(commit) else { return Ok(Default::default()) };
        let mut commit = commit.whole();
        let (begun, mut waits) = (Instant::now(), backoff(self.reconnect_max));
        loop {
            let error = match commit.store(&self.redis, &self.session).await {
                Ok(stored) => return Ok(stored),
                Err(error) => error,
            };
            let wait = waits.next().unwrap_or(self.reconnect_max);
            match error {
                CommitError::Unwritable(_) => return Err(AsideError::Unwritable(error)),
                CommitError::Superseded { .. } => return Err(AsideError::Commit(error)),
                _ if begun.elapsed() + wait > self.patience => return Err(AsideError::Commit(error)),
                _ => {}
            }
            tracing::warn!(error = %Chain(&error), "cannot store a step, will try again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Stores an entry of the audit trail alone.
    ///
    /// # Errors
    /// [`AsideError::Commit`], [`AsideError::Unwritable`].
    pub async fn note(&mut self, action: &str, details: &str) -> Result<(), AsideError> {
        let commit = self.begin(0, action, details);
        self.store(commit).await.map(drop)
    }

    /// Takes `letters` out of their stream for good. Returns how many of them were there; none if that is not known, for an
    /// answer of Redis was lost.
    ///
    /// # Errors
    /// [`AsideError::Commit`], [`AsideError::Unwritable`].
    pub async fn discard(&mut self, letters: &[EntryId], chosen: &str) -> Result<Option<usize>, AsideError> {
        let (Some(first), Some(last)) = (letters.first(), letters.last()) else { return Ok(Some(0)) };
        let details = format!("letters={} first={first} last={last} chosen={chosen}", letters.len());
        let mut commit = self.begin(64 * letters.len(), "dead-letter-discard", &details);
        for id in letters {
            commit.delivery(Guard::Removal { stream: self.target.dead_letter, id: &id.to_string() });
        }
        let stored = self.store(commit).await?;
        Ok((!stored.before).then(|| letters.len() - stored.repeats.len()))
    }
}
