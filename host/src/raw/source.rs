use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};

use super::{Config, Sort, origins::Origins, window::Window};
use crate::{
    admin::Readiness,
    broker::{
        backoff,
        redis_streams::{Pool, RawEntry, RawStream},
    },
    event::{Closed, Delivery, Duty, EntryId, Intake, Settle, Stop},
    ledger::{self, Ledger},
    telemetry::{Chain, EntryMetrics, Metrics, Stage},
};

/// How Redis is reached.
#[derive(Clone)]
pub struct Reach {
    /// Who opens the connection.
    pub redis: Pool,
    /// Longest wait for an answer, beyond the wait for entries.
    pub timeout: Duration,
    /// Ceiling of the back-off.
    pub reconnect_max: Duration,
}

/// The source. [`Source::run`] is the task; it owns the connection and knows which entries are in hand.
pub struct Source<I> {
    sort: Sort,
    pub(super) config: Config,
    /// The stream's key.
    pub(super) key: String,
    consumer: String,
    reach: Reach,
    intake: Arc<I>,
    metrics: Metrics,
    pub(super) gauges: EntryMetrics,
    readiness: Readiness,
    stop: Stop,
    ledger: Arc<Ledger>,
    entries: Vec<ledger::Entry>,
    pub(super) window: Window,
    origins: Origins,
    /// When all that is pending is looked at next.
    pub(super) look_at: Instant,
    /// Pending entries that are not in hand are being taken, from behind this one on.
    pub(super) sweep: Option<Option<EntryId>>,
    /// Whether the group was found or made before.
    opened: bool,
    pub(super) told_of_groups: bool,
}

/// Most entries of one read.
const MOST: usize = 512;

/// Entries settled since the last look before the next one is due: until then Redis might have each of them pending.
const FRESH: usize = 1 << 16;

/// A look is taken at least so often, and not more often than the other.
pub(super) const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// How soon a given up entry is looked for: not at once, for whoever gave it up may do so again.
const AGAIN: Duration = Duration::from_secs(1);

/// Longest time for giving back what is left.
const GOODBYE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the stream cannot be read")]
    Redis(#[from] redis::RedisError),
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl<I: Intake> Source<I> {
    /// A source that reads the stream at `key`, of this `sort`, as `consumer` and hands deliveries to `intake`.
    #[expect(clippy::too_many_arguments, reason = "a list of what a source is made of, used for each sort once")]
    #[must_use]
    pub fn new(
        sort: Sort,
        config: Config,
        key: String,
        consumer: String,
        reach: Reach,
        intake: Arc<I>,
        metrics: Metrics,
        readiness: Readiness,
        stop: Stop,
    ) -> Self {
        Self {
            sort,
            gauges: sort.metrics(&metrics),
            config,
            key,
            consumer,
            reach,
            intake,
            metrics,
            readiness,
            stop,
            ledger: Arc::default(),
            entries: Vec::new(),
            window: Window::default(),
            origins: Origins::default(),
            look_at: Instant::now(),
            sweep: None,
            opened: false,
            told_of_groups: false,
        }
    }

    /// Runs until [`Stop::connection`] is cancelled, or [`Stop::reading`] and everything is settled, or the intake is
    /// closed. Returns the number of entries left, which are delivered again.
    pub async fn run(mut self) -> usize {
        let mut waits = backoff(self.reach.reconnect_max);
        let mut told = String::new();
        let reading = self.stop.reading.clone();
        while !reading.is_cancelled() {
            let started = Instant::now();
            let error = tokio::select! {
                Err(error) = self.round() => error,
                () = reading.cancelled() => break,
            };
            if let Error::Closed(error) = error {
                tracing::warn!(error = %error, stream = self.key, "reading a stream ends");
                break;
            }
            let said = Chain(&error).to_string();
            self.sort.tell(&self.readiness, Some(&said));
            if started.elapsed() > self.reach.reconnect_max {
                waits = backoff(self.reach.reconnect_max);
                told.clear();
            }
            if said != told {
                tracing::warn!(error = said, stream = self.key, "entries wait in their stream, will try again");
                told = said;
            }
            let until = Instant::now() + waits.next().unwrap_or(self.reach.reconnect_max);
            tokio::select! {
                () = self.pause(until, |_| false) => {}
                () = reading.cancelled() => {}
            }
        }
        let connection = self.stop.connection.clone();
        tokio::select! {
            () = self.settle_all() => {}
            () = connection.cancelled() => {}
        }
        self.enter();
        self.give_back().await
    }

    /// Opens the stream and reads until something fails.
    async fn round(&mut self) -> Result<Infallible, Error> {
        let mut stream = self.open().await?;
        loop {
            self.enter();
            if Instant::now() >= self.look_at || self.window.fresh() > FRESH {
                // It may take longer than it is until the next one, so something is read before that in any case.
                self.look(&mut stream).await?;
            }
            let Some(room) = self.room() else {
                self.pause(self.look_at, |source| source.room().is_some()).await;
                continue;
            };
            match self.sweep {
                Some(after) => self.sweep = self.take_left(&mut stream, after, room).await?,
                None => {
                    let wait = self.look_at.saturating_duration_since(Instant::now());
                    let entries = self.beside(stream.next(room, wait)).await?;
                    self.hand_on(&mut stream, entries.into_iter().map(|entry| (entry, 0)).collect()).await?;
                }
            }
        }
    }

    async fn open(&mut self) -> Result<RawStream, Error> {
        let Reach { redis, timeout, .. } = &self.reach;
        let (stream, made) = RawStream::open(redis, &self.key, &self.config.group, &self.consumer, *timeout).await?;
        let (stream_name, group) = (&self.key, &self.config.group);
        match (made, self.opened) {
            (true, true) => {
                tracing::warn!(stream = stream_name, group, "the stream or its group was deleted, made again");
                self.window.forget_settled();
            }
            (true, false) => tracing::info!(stream = stream_name, group, "made the consumer group"),
            (false, _) => {}
        }
        tracing::info!(stream = stream_name, group, consumer = self.consumer, "{} are read", self.sort.name());
        self.opened = true;
        // First what an earlier run left, and what an answer held that we did not get.
        (self.look_at, self.sweep) = (Instant::now(), Some(None));
        self.sort.tell(&self.readiness, None);
        Ok(stream)
    }

    /// Enters what the ledger says.
    pub(super) fn enter(&mut self) {
        self.ledger.take(&mut self.entries);
        for entry in self.entries.drain(..) {
            match entry {
                ledger::Entry::Settled(ticket) => self.window.settle(ticket),
                ledger::Entry::Abandoned(ticket) => {
                    self.window.abandon(ticket);
                    self.metrics.stage(Stage::Source).retried.inc();
                    self.look_at = self.look_at.min(Instant::now() + AGAIN);
                }
            }
        }
        self.gauges.in_flight.set(self.window.in_flight() as i64);
    }

    /// How many entries may be read now. Nobody knows how large they are, so each is taken for one of the largest.
    pub(super) fn room(&self) -> Option<usize> {
        // What is kept on disk counts: while the spool is emptied it is the fuller the more is read.
        let taken = self.window.in_flight() + self.window.kept();
        let places = self.config.max_in_flight.checked_sub(taken).filter(|places| *places > 0)?;
        let most = as_usize(self.config.max_in_flight_bytes.as_u64());
        let bytes = most.checked_sub(self.window.bytes()).filter(|bytes| *bytes > 0)?;
        let each = as_usize(self.config.max_payload.as_u64());
        Some((bytes / each.max(1)).clamp(1, places.min(MOST)))
    }

    /// Enters what settles, until `until` or until it is `enough`.
    pub(super) async fn pause(&mut self, until: Instant, enough: impl Fn(&Self) -> bool) {
        let ledger = Arc::clone(&self.ledger);
        loop {
            self.enter();
            if enough(self) {
                return;
            }
            tokio::select! {
                () = ledger.written() => {}
                () = sleep_until(until) => return,
            }
        }
    }

    /// Enters what settles beside `work`, which is not to be dropped before it ends: it may bring entries.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let ledger = Arc::clone(&self.ledger);
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = ledger.written() => self.enter(),
            }
        }
    }

    /// Enters what settles until nothing is in flight.
    async fn settle_all(&mut self) {
        let ledger = Arc::clone(&self.ledger);
        loop {
            self.enter();
            if self.window.in_flight() == 0 {
                return;
            }
            ledger.written().await;
        }
    }

    /// Hands entries to their lanes, each with the number of its deliveries before this one; waits while lanes are full.
    pub(super) async fn hand_on(&mut self, stream: &mut RawStream, entries: Vec<(RawEntry, u64)>) -> Result<(), Error> {
        let settle: Arc<dyn Settle> = self.ledger.clone();
        let mut lanes: Vec<Vec<Delivery>> = Vec::new();
        lanes.resize_with(self.intake.lanes().max(1), Vec::new);
        let now = chrono::Utc::now().timestamp_millis();
        let source = self.metrics.stage(Stage::Source).clone();
        source.received.inc_by(entries.len() as u64);
        for (entry, before) in entries {
            let id = entry.id;
            let mut read = self.sort.read(entry, as_usize(self.config.max_payload.as_u64()), now);
            let mut attempts = 0;
            if before >= self.config.max_deliveries {
                attempts = u32::try_from(before).unwrap_or(u32::MAX);
                let poison = format!(
                    "delivered {before} times and never settled, so it may be what ends the host ({}max_deliveries is {})",
                    self.sort.section(),
                    self.config.max_deliveries
                );
                // Also where it is cut, which has to be said.
                read.unfit = Some(match read.unfit {
                    None => poison,
                    Some(also) => format!("{poison}; {also}"),
                });
            }
            let size = read.payload.len();
            let intake = &self.intake;
            let (context, lane) = self.origins.get(read.context, |context| intake.lane_of(context));
            let lane = lane % lanes.len();
            lanes[lane].push(Delivery {
                context,
                received_ms: read.received_ms,
                payload: read.payload,
                identity: self.sort.identity(id),
                attempts,
                unfit: read.unfit,
                duty: Duty::new(Arc::clone(&settle), self.window.take(id, size)),
            });
        }
        self.gauges.in_flight.set(self.window.in_flight() as i64);
        let mut failed = None;
        for (lane, chunk) in lanes.into_iter().enumerate().filter(|(_, chunk)| !chunk.is_empty()) {
            let events = chunk.len() as u64;
            let intake = Arc::clone(&self.intake);
            let mut sent = pin!(intake.send(lane, chunk));
            // A lane may be full for longer than it takes other hosts to think that we are gone.
            loop {
                tokio::select! {
                    sent = &mut sent => break sent?,
                    () = sleep_until(self.look_at) => failed = self.look(stream).await.err(),
                }
            }
            source.sent.inc_by(events);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Gives back what is left, over a connection of its own: the other one may still wait for entries. What is settled is
    /// not left: it waits on our disk, and somebody else would do it all over again. Returns how much that is.
    async fn give_back(&mut self) -> usize {
        let left = self.window.in_flight();
        let Reach { redis, timeout: patience, .. } = self.reach.clone();
        let given = async {
            let group = &self.config.group;
            let (mut stream, _) = RawStream::open(&redis, &self.key, group, &self.consumer, patience).await?;
            stream.give_back(self.config.stale, |entry| !self.window.is_settled(entry)).await
        };
        match timeout(GOODBYE, given).await {
            Ok(Ok(given)) => given,
            Ok(Err(error)) => {
                tracing::warn!(error = %Chain(&error), left, "cannot give back entries, they become stale");
                left
            }
            Err(_) => {
                tracing::warn!(left, "Redis does not answer, entries that are left become stale");
                left
            }
        }
    }
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
