//! From the spool to Redis. While a record waits there, every lane's batches go behind it, so order holds; a batch keeps
//! the number that its lane gave it, so one that had been stored before it was spooled, or that is replayed twice because
//! we died before its removal, is recognised.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::publish::{Superseded, report_loss};
use crate::{
    admin::{Part, PartState, Readiness},
    broker::{
        backoff,
        redis_streams::{CommitError, Pool, Sealed, Session, Stored},
    },
    spool::{Record, Spool},
    telemetry::{Broker, Chain, Metrics, Stage},
};

/// Stores what waits in the spool.
pub struct Unspool {
    /// Where it waits.
    pub spool: Spool,
    /// Connections to Redis.
    pub redis: Pool,
    /// As which process we store.
    pub session: Arc<Session>,
    /// Ceiling of the back-off.
    pub reconnect_max: Duration,
    /// Who hears of Redis being away.
    pub readiness: Readiness,
    /// The counters.
    pub metrics: Metrics,
    /// Ends the task; what is not stored waits on disk.
    pub stop: CancellationToken,
}

/// How often progress is said while much is replayed.
const PROGRESS: Duration = Duration::from_secs(10);

impl Unspool {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// [`Superseded`].
    pub async fn run(self) -> Result<(), Superseded> {
        let stop = self.stop.clone();
        tokio::select! {
            superseded = self.rounds() => match superseded { Err(error) => Err(error), Ok(never) => match never {} },
            () = stop.cancelled() => Ok(()),
        }
    }

    async fn rounds(&self) -> Result<std::convert::Infallible, Superseded> {
        let mut depth = self.spool.watch();
        loop {
            // The sender lives in `self.spool`, so the wait cannot fail.
            let _ = depth.wait_for(|depth| depth.records > 0).await;
            let waiting = self.spool.depth();
            tracing::info!(records = waiting.records, events = waiting.events, "events wait in the spool");
            let (begun, replayed) = (Instant::now(), self.drain().await?);
            let seconds = begun.elapsed().as_secs_f64();
            tracing::info!(replayed, seconds, "the spool is empty, events go to Redis directly again");
        }
    }

    /// Stores all that waits. Returns how many events that were.
    async fn drain(&self) -> Result<u64, Superseded> {
        let (mut waits, mut told, mut replayed) = (backoff(self.reconnect_max), Instant::now(), 0);
        loop {
            let record = match self.spool.oldest().await {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(replayed),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "cannot read the spool, will try again");
                    tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
                    continue;
                }
            };
            waits = backoff(self.reconnect_max);
            let done = match Sealed::of_record(&record.bytes, self.session.layout()) {
                Err(error) => self.spool.set_aside(record.number, format!("it is no batch: {error}")).await,
                Ok(mut commit) => {
                    let stored = self.store(&mut commit).await?;
                    self.account(&record, &stored);
                    match stored.refused.first() {
                        None => self.spool.remove(record.number).await,
                        Some((_, reason)) => {
                            let refused = stored.refused.len();
                            let reason = format!("Redis refused {refused} entries of it, and took the rest: {reason}");
                            self.spool.set_aside(record.number, reason).await
                        }
                    }
                }
            };
            if let Err(error) = done {
                tracing::warn!(error = %Chain(&error), record = record.number, "a record of the spool stays on disk");
            }
            replayed += u64::from(record.events);
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                tracing::info!(replayed, left = self.spool.depth().events, "replaying the spool");
            }
        }
    }

    /// Stores a batch, however long it takes.
    async fn store(&self, commit: &mut Sealed) -> Result<Stored, Superseded> {
        // A ping is answered by a Redis that stores nothing as well; while one is in flight it is not heeded.
        let _in_flight = self.metrics.broker(Broker::Redis).one_in_flight();
        let mut waits = backoff(self.reconnect_max);
        loop {
            let error = match commit.store(&self.redis, &self.session).await {
                Ok(stored) => {
                    self.metrics.broker(Broker::Redis).connected.set(1);
                    self.readiness.set(Part::Redis, PartState::Ready);
                    return Ok(stored);
                }
                Err(error @ CommitError::Superseded { .. }) => return Err(Superseded::by(error)),
                Err(error) => Chain(&error).to_string(),
            };
            tracing::debug!(error, "cannot replay the spool yet");
            self.metrics.broker(Broker::Redis).connected.set(0);
            self.readiness.set(Part::Redis, PartState::NotReady(format!("{error}; events go to the spool")));
            tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
        }
    }

    fn account(&self, record: &Record, stored: &Stored) {
        if stored.before {
            return;
        }
        report_loss(&self.metrics, stored.lost);
        self.metrics.events_repeated.inc_by(stored.repeats.len() as u64);
        self.metrics.stage(Stage::Dedup).dropped.inc_by(stored.suppressed.len() as u64);
        // How many of a repeated delivery's events there were, the record does not say.
        let kept = u64::from(record.events).saturating_sub((stored.repeats.len() + stored.suppressed.len()) as u64);
        self.metrics.events_published.inc_by(kept);
        let seconds = self.metrics.event_seconds.local();
        let waited = (chrono::Utc::now().timestamp_millis() - record.written_ms).max(0) as f64 / 1000.0;
        (0..kept).for_each(|_| seconds.observe(waited));
        seconds.flush();
    }
}
