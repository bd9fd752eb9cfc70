//! From the spool to Redis. While a record waits there, every lane's batches go behind it, so order holds; a batch keeps
//! the number that its lane gave it, so one that had been stored before it was spooled, or that is replayed twice because
//! we died before its removal, is recognised.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::{JoinError, JoinSet};
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
    ///
    /// One record is stored after the other, for a lane's numbers must come in order; but while one is under way to Redis
    /// the next is read, and the file of the one before is removed. Freeing a file takes milliseconds.
    async fn drain(&self) -> Result<u64, Superseded> {
        let (mut waits, mut told, mut replayed) = (backoff(self.reconnect_max), Instant::now(), 0);
        let mut removals = Removals::default();
        let mut next = self.read_after(0).await;
        loop {
            let Some(record) = next else {
                // What was appended meanwhile is behind; what could not be removed is still there.
                if !removals.end().await {
                    tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
                }
                next = self.read_after(0).await;
                if next.is_none() {
                    return Ok(replayed);
                }
                continue;
            };
            let bad = match Sealed::of_record(&record.bytes, self.session.layout()) {
                Err(error) => {
                    next = self.read_after(record.number).await;
                    Some(format!("it is no batch: {error}"))
                }
                Ok(mut commit) => {
                    let (stored, behind) = tokio::join!(self.store(&mut commit), self.read_after(record.number));
                    let stored = stored?;
                    self.account(&record, &stored);
                    next = behind;
                    stored.refused.first().map(|(_, reason)| {
                        let refused = stored.refused.len();
                        format!("Redis refused {refused} entries of it, and took the rest: {reason}")
                    })
                }
            };
            replayed += u64::from(record.events);
            removals.begin(&self.spool, record.number, bad).await;
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                tracing::info!(replayed, left = self.spool.depth().events, "replaying the spool");
            }
        }
    }

    /// The first record behind `number`, however long it takes to read it.
    async fn read_after(&self, number: u64) -> Option<Record> {
        let mut waits = backoff(self.reconnect_max);
        loop {
            match self.spool.after(number).await {
                Ok(record) => return record,
                Err(error) => tracing::error!(error = %Chain(&error), "cannot read the spool, will try again"),
            }
            tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
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

/// Records that are being taken out of the spool.
#[derive(Default)]
struct Removals {
    tasks: JoinSet<bool>,
    /// One of them could not be.
    failed: bool,
}

impl Removals {
    /// Most at a time.
    const MOST: usize = 16;

    /// Takes a record out; a `bad` one is set aside for that reason.
    async fn begin(&mut self, spool: &Spool, number: u64, bad: Option<String>) {
        if self.tasks.len() >= Self::MOST {
            let removed = self.tasks.join_next().await;
            self.heed(removed);
        }
        let spool = spool.clone();
        self.tasks.spawn(async move {
            let done = match bad {
                None => spool.remove(number).await,
                Some(reason) => spool.set_aside(number, reason).await,
            };
            if let Err(error) = &done {
                tracing::warn!(error = %Chain(error), record = number, "a record of the spool stays on disk");
            }
            done.is_ok()
        });
    }

    /// Waits for all. Returns whether all were taken out, since the last time that this was asked.
    async fn end(&mut self) -> bool {
        while let removed @ Some(_) = self.tasks.join_next().await {
            self.heed(removed);
        }
        !std::mem::take(&mut self.failed)
    }

    fn heed(&mut self, removed: Option<Result<bool, JoinError>>) {
        self.failed |= !matches!(removed, Some(Ok(true)));
    }
}
