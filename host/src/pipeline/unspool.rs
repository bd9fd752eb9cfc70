//! From the spool to Redis. While a record waits there, every lane's batches go behind it, so order holds; a batch keeps
//! the number that its lane gave it, so one that had been stored before it was spooled, or that is replayed twice because
//! we died before its removal, is recognised.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinError, JoinSet},
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    audit::Audit,
    publish::{Superseded, report_loss},
};
use crate::{
    admin::{Part, PartState, Readiness},
    broker::{
        Backoff, backoff,
        redis_streams::{CommitError, Pool, Sealed, Session, Stored, Stream},
    },
    spool::{Record, Spool, Why},
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
    /// Stream of dead letters. They have nowhere else to go, so what holds some waits until it can be written.
    pub dead_letter: Stream,
    /// Ceiling of the back-off.
    pub reconnect_max: Duration,
    /// Who hears of Redis being away.
    pub readiness: Readiness,
    /// Where damage is written down.
    pub audit: Audit,
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
        self.tell_damage();
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
            let bad = match Sealed::of_record(&record.bytes, self.session.layout(), self.dead_letter) {
                Err(error) => {
                    next = self.read_after(record.number).await;
                    Some(format!("is nothing that can be stored: {}", Chain(&error)).into())
                }
                Ok(mut commit) => {
                    let (stored, behind) = tokio::join!(self.store(&mut commit), self.read_after(record.number));
                    next = behind;
                    stored?.map_or_else(
                        |reason| Some(reason.into()),
                        |stored| {
                            self.account(&record, &stored);
                            replayed += u64::from(record.events);
                            refusal(&stored)
                        },
                    )
                }
            };
            match bad {
                None => removals.begin(&self.spool, record.number).await,
                // Before the next is stored: if we die now, it is only of a lane's last batch that Redis says again what it
                // has refused.
                Some(why) => self.set_aside(record.number, why).await,
            }
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                tracing::info!(replayed, left = self.spool.depth().events, "replaying the spool");
            }
        }
    }

    /// The first record behind `number`, however long it takes to read it.
    async fn read_after(&self, number: u64) -> Option<Record> {
        let mut trouble = self.trouble("cannot read the spool, will try again");
        loop {
            let read = self.spool.after(number).await;
            self.tell_damage();
            match read {
                Ok(record) => return record,
                Err(error) => trouble.wait(&error).await,
            };
        }
    }

    /// Sets a record aside, however long it takes: it is all that there is of its events, or of what Redis refused of them.
    async fn set_aside(&self, number: u64, why: Why) {
        let mut trouble = self.trouble("cannot set a record of the spool aside, will try again");
        while let Err(error) = self.spool.set_aside(number, why.clone()).await {
            trouble.wait(&error).await;
        }
        self.tell_damage();
    }

    /// Writes down what was lost to the queue.
    fn tell_damage(&self) {
        for damage in self.spool.take_damage() {
            self.audit.record("spool-damage", damage.to_string());
        }
    }

    /// Stores a batch, however long it takes; or says why it can never be.
    async fn store(&self, commit: &mut Sealed) -> Result<Result<Stored, String>, Superseded> {
        let broker = self.metrics.broker(Broker::Redis);
        // A ping is answered by a Redis that stores nothing as well; while one is in flight it is not heeded.
        let _in_flight = broker.one_in_flight();
        let mut trouble = self.trouble("cannot replay the spool, will try again");
        loop {
            let error = match commit.store(&self.redis, &self.session).await {
                Ok(stored) => {
                    broker.connected.set(1);
                    self.readiness.set(Part::Redis, PartState::Ready);
                    return Ok(Ok(stored));
                }
                Err(error @ CommitError::Superseded { .. }) => return Err(Superseded::by(error)),
                Err(error) => error,
            };
            if let Some(reason) = error.unreadable() {
                return Ok(Err(format!("cannot be stored by this version: {reason}")));
            }
            broker.connected.set(0);
            let told = format!("{}; events go to the spool", Chain(&error));
            self.readiness.set(Part::Redis, PartState::NotReady(told));
            trouble.wait(&error).await;
        }
    }

    fn trouble(&self, what: &'static str) -> Trouble<'_> {
        let (waits, longest) = (backoff(self.reconnect_max), self.reconnect_max);
        Trouble { what, told: String::new(), waits, longest, readiness: &self.readiness }
    }

    fn account(&self, record: &Record, stored: &Stored) {
        if stored.before {
            return;
        }
        report_loss(&self.metrics, stored.lost, Some(&self.spool));
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

/// What Redis has refused of a batch that it has stored otherwise.
fn refusal(stored: &Stored) -> Option<Why> {
    let (_, cause) = stored.refused.first()?;
    let refused: Vec<usize> = stored.refused.iter().map(|(entry, _)| *entry).collect();
    let reason = format!("has {} entries that Redis refused, and is stored without them: {cause}", refused.len());
    Some(Why { reason, refused })
}

/// Something that does not work for the time being. It is said once, and again when there is another reason; `/readyz`
/// says it for as long as this lives.
struct Trouble<'a> {
    what: &'static str,
    told: String,
    waits: Backoff,
    longest: Duration,
    readiness: &'a Readiness,
}

/// What of the daemon it is that does not work, as `/readyz` says it.
const PART: &str = "spool";

impl Trouble<'_> {
    /// Says why it did not work this time. Returns the wait until it is time to try again.
    fn wait(&mut self, error: &(dyn Error + 'static)) -> Sleep {
        let error = Chain(error).to_string();
        if error != self.told {
            tracing::warn!(error, "{}", self.what);
            self.readiness.degrade(PART, Some(format!("{}: {error}", self.what)));
            self.told = error;
        }
        tokio::time::sleep(self.waits.next().unwrap_or(self.longest))
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        if !self.told.is_empty() {
            self.readiness.degrade(PART, None);
        }
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

    /// Takes a record out.
    async fn begin(&mut self, spool: &Spool, number: u64) {
        if self.tasks.len() >= Self::MOST {
            let removed = self.tasks.join_next().await;
            self.heed(removed);
        }
        let spool = spool.clone();
        self.tasks.spawn(async move {
            let removed = spool.remove(number).await;
            if let Err(error) = &removed {
                tracing::warn!(error = %Chain(error), record = number, "a record of the spool stays on disk");
            }
            removed.is_ok()
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
