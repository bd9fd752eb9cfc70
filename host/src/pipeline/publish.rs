//! From encoded to stored. A lane's publisher stores the lane's batches, one after the other and each until Redis has
//! it, and then settles their deliveries. So events of one device stand in their streams in the order in which they
//! came.
//!
//! Where there is a spool, a batch that Redis does not take for a while goes there, and everything behind it as well,
//! until [`Unspool`](super::Unspool) has emptied it: so order holds. What is in the spool is settled: it survives us.
//!
//! What leaves the site goes into the outbox in the same commit: an event is never in a stream here and missing in the
//! outbox, and NATS being away never keeps Redis waiting. Why nothing is stored twice is said where the commit lives,
//! in [`redis_streams`](crate::broker::redis_streams).

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    dead_letter::{DeadLetter, Effect},
    encode::{Delivered, Entry, Ready},
    identity::Fingerprint,
    target::Target,
};
use crate::{
    admin::{Part, PartState, Readiness},
    broker::{
        backoff,
        redis_streams::{CommitError, Pool, Sealed, Session, Stored},
    },
    event::Settlement,
    spool::Spool,
    telemetry::{Broker, Chain, Metrics, Stage},
};

/// Stores a lane's batches.
pub struct Publisher {
    /// Encoded batches of the lane.
    pub decided: mpsc::Receiver<Ready>,
    /// Connections to Redis.
    pub redis: Pool,
    /// As which process we store.
    pub session: Arc<Session>,
    /// Where refused entries go.
    pub target: Arc<Target>,
    /// Where batches wait while Redis is away, and how long it must be; none: they wait here, and the sources with them.
    pub spool: Option<(Spool, Duration)>,
    /// Ceiling of the back-off.
    pub reconnect_max: Duration,
    /// Who hears of Redis being away.
    pub readiness: Readiness,
    /// The counters.
    pub metrics: Metrics,
    /// Gives up what is not stored yet.
    pub give_up: CancellationToken,
}

/// Where a batch has gone.
enum Way {
    /// Into Redis.
    Stored(Stored),
    /// Into the spool.
    Spooled,
    /// Nowhere yet: these streams cannot be written, for these causes.
    Unwritable(Vec<(String, String)>),
}

/// Another process has registered under our name: nothing of ours will be stored any more.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Superseded(CommitError);

impl Superseded {
    pub(super) fn by(error: CommitError) -> Self {
        Self(error)
    }
}

impl Publisher {
    /// Runs until the lane has ended and all of its batches are stored, or until `give_up`; what is not stored then is
    /// abandoned, and its sources deliver it again.
    ///
    /// # Errors
    /// [`Superseded`].
    pub async fn run(mut self) -> Result<(), Superseded> {
        while let Some(ready) = self.decided.recv().await {
            let give_up = self.give_up.clone();
            tokio::select! {
                stored = self.store(ready) => stored?,
                () = give_up.cancelled() => return Ok(()),
            }
        }
        Ok(())
    }

    async fn store(&self, mut ready: Ready) -> Result<(), Superseded> {
        let stage = self.metrics.stage(Stage::Publish).clone();
        let (begun, entries) = (Instant::now(), ready.entries.len() as u64);
        stage.received.inc_by(entries);
        stage.batch.observe(entries as f64);
        if let Some(mut commit) = ready.commit.take() {
            // Until what is refused is kept as well, for until then we know better than a ping whether Redis stores.
            let _in_flight = self.metrics.broker(Broker::Redis).one_in_flight();
            let stored = self.store_whole(&mut ready, &mut commit).await?;
            self.count(&ready, stored.as_ref());
            if let Some(stored) = stored {
                self.account(&mut ready, &stored);
            }
        }
        stage.seconds.observe(begun.elapsed().as_secs_f64());
        // Last: only what is stored may be acknowledged.
        for Delivered { duty, settlement, .. } in ready.delivered {
            duty.settle(settlement);
        }
        Ok(())
    }

    /// Stores the batch: in Redis, or in the spool (none). What cannot be written there becomes dead letters in the same
    /// step, so that a delivery is never marked as stored before what became of it is.
    async fn store_whole(&self, ready: &mut Ready, commit: &mut Sealed) -> Result<Option<Stored>, Superseded> {
        let (mut waits, published) = (backoff(self.reconnect_max), ready.published());
        loop {
            let unwritable = match self.store_commit(commit, published).await? {
                Way::Stored(stored) => return Ok(Some(stored)),
                Way::Spooled => return Ok(None),
                Way::Unwritable(streams) => streams,
            };
            let letters = self.target.layout.name(self.target.dead_letter);
            match unwritable.iter().find(|(stream, _)| stream == letters) {
                None => self.bury(ready, commit, &unwritable),
                // They have nowhere else to go. Nothing of the batch is stored before its letters are.
                Some((stream, cause)) => {
                    let error = format!("the stream of dead letters, {stream}, cannot be written, mend it: {cause}");
                    tracing::error!(error, "cannot keep dead letters");
                    self.readiness.set(Part::Redis, PartState::NotReady(error));
                    tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
                }
            }
        }
    }

    /// Stores `commit`, which publishes so many `events`, however long Redis is away.
    async fn store_commit(&self, commit: &mut Sealed, events: u32) -> Result<Way, Superseded> {
        let mut waits = backoff(self.reconnect_max);
        let (mut failing, mut refused) = (None::<Instant>, false);
        loop {
            let waiting = self.spool.as_ref().is_some_and(|(spool, _)| !spool.is_empty());
            if !waiting {
                let error = match commit.store(&self.redis, &self.session).await {
                    Ok(stored) => {
                        self.back(failing.is_some());
                        return Ok(Way::Stored(stored));
                    }
                    Err(CommitError::Unwritable(streams)) => return Ok(Way::Unwritable(streams)),
                    Err(error @ CommitError::Superseded { .. }) => return Err(Superseded::by(error)),
                    Err(error) => Chain(&error).to_string(),
                };
                if failing.is_none() {
                    tracing::warn!(error, "cannot store a batch, will try again until it is");
                }
                failing.get_or_insert_with(Instant::now);
                self.metrics.broker(Broker::Redis).connected.set(0);
                self.readiness.set(Part::Redis, PartState::NotReady(error));
            }
            if let Some((spool, after)) = &self.spool
                && (waiting || failing.is_some_and(|since| since.elapsed() >= *after))
            {
                match spool.append(events, commit.record().into()).await {
                    Ok(_) => return Ok(Way::Spooled),
                    Err(error) if !std::mem::replace(&mut refused, true) => {
                        tracing::warn!(error = %Chain(&error), "the spool does not take a batch, the sources wait");
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
        }
    }

    /// Redis has stored something.
    fn back(&self, was_away: bool) {
        if was_away {
            tracing::info!("Redis stores again");
            self.metrics.broker(Broker::Redis).reconnects.inc();
        }
        self.metrics.broker(Broker::Redis).connected.set(1);
        self.readiness.set(Part::Redis, PartState::Ready);
    }

    /// Writes down what Redis says of a batch.
    fn account(&self, ready: &mut Ready, stored: &Stored) {
        report_loss(&self.metrics, stored.lost, self.spool.as_ref().map(|(spool, _)| spool));
        for &delivery in &stored.repeats {
            ready.delivered[delivery].settlement = Settlement::Repeated;
        }
        for &delivery in &stored.turned_away {
            ready.delivered[delivery].settlement =
                Settlement::Dropped("it was turned away when it came first".to_owned());
        }
        self.metrics.events_repeated.inc_by(stored.repeats.len() as u64);
        for &(event, first) in &stored.suppressed {
            let (delivery, _) = ready.events[event];
            let settlement = &mut ready.delivered[delivery].settlement;
            if let Settlement::Published(count) = settlement {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    *settlement = Settlement::Suppressed(first);
                }
            }
        }
    }

    /// Has the batch stored without the entries of the streams that cannot be written, and with dead letters instead.
    fn bury(&self, ready: &mut Ready, commit: &mut Sealed, unwritable: &[(String, String)]) {
        let buried = self.letters(ready, |entry| {
            let of = commit.stream_of(entry)?;
            unwritable.iter().find(|(stream, _)| stream == of).map(|(stream, cause)| (stream.clone(), cause.clone()))
        });
        for (stream, cause) in unwritable {
            if self.target.decisions.is_some_and(|decisions| self.target.layout.name(decisions) == stream) {
                tracing::warn!(stream, cause, "what is decided on offered entries cannot be written down");
            }
        }
        commit.leave_out(unwritable.iter().map(|(stream, _)| stream.as_str()), self.target.dead_letter, |add| {
            for (letter, events) in &buried {
                letter.with_fields(|fields| add(letter.delivery, events, fields));
            }
        });
    }

    /// Dead letters with the raw bytes for the events of which an entry is `refused`, by which stream and why; one for each
    /// event and stream, with the event's place in the batch.
    fn letters(
        &self,
        ready: &mut Ready,
        refused: impl Fn(usize) -> Option<(String, String)>,
    ) -> Vec<(DeadLetter, Vec<usize>)> {
        let (mut letters, mut buried) = (Vec::new(), BTreeSet::new());
        for (place, entry) in ready.entries.iter_mut().enumerate() {
            let (event, effect) = match *entry {
                Entry::Event(event) => (event, Effect::NotPublished),
                Entry::Shared(event) => (event, Effect::NotShared),
                // What was decided is done nonetheless; nobody could do more about it with a letter.
                Entry::Decision | Entry::DeadLetter => continue,
            };
            let Some((stream, cause)) = refused(place) else { continue };
            *entry = Entry::DeadLetter;
            let (delivery, position) = ready.events[event];
            let delivered = &mut ready.delivered[delivery];
            let reason = format!("stream {stream}: {cause}");
            if effect == Effect::NotPublished {
                delivered.settlement = Settlement::DeadLettered(reason.clone());
            }
            if buried.insert((event, stream.clone())) {
                letters.push((delivered.letter(reason, effect, &stream, (delivery, position)), vec![event]));
            }
        }
        if let Some((letter, _)) = letters.first() {
            tracing::error!(
                reason = letter.reason,
                letters = letters.len(),
                "entries are refused, they become dead letters"
            );
        }
        self.metrics.stage(Stage::Publish).dead_lettered.inc_by(letters.len() as u64);
        letters
    }

    /// Counts what of a batch is in its streams; none: all of it is in the spool, and counts when it leaves that.
    fn count(&self, ready: &Ready, stored: Option<&Stored>) {
        let tally = Tally::of(ready, stored);
        let dedup = self.metrics.stage(Stage::Dedup);
        dedup.received.inc_by(tally.looked_up);
        dedup.dropped.inc_by(tally.suppressed);
        // What a replay of the spool finds to be suppressed has been counted as sent, for a record does not say more.
        dedup.sent.inc_by(tally.looked_up - tally.suppressed);
        self.metrics.stage(Stage::Publish).sent.inc_by(tally.sent);
        self.metrics.events_published.inc_by(tally.published.len() as u64);
        let now = chrono::Utc::now().timestamp_millis();
        // Counted here and entered at once: lanes would contend for it event by event.
        let seconds = self.metrics.event_seconds.local();
        for delivery in tally.published {
            seconds.observe((now - ready.delivered[delivery].received_ms).max(0) as f64 / 1000.0);
        }
        seconds.flush();
    }
}

/// What became of a batch, in numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Events that were looked up by their key.
    looked_up: u64,
    /// Those that were there already.
    suppressed: u64,
    /// Entries of events that are stored now, here and for other sites.
    sent: u64,
    /// The deliveries of those that are normalized events, entry by entry.
    published: Vec<usize>,
}

impl Tally {
    fn of(ready: &Ready, stored: Option<&Stored>) -> Self {
        let mut tally = Self::default();
        let (mut is_repeat, mut is_suppressed) = (vec![false; ready.delivered.len()], vec![false; ready.events.len()]);
        if let Some(stored) = stored {
            stored.repeats.iter().for_each(|&delivery| is_repeat[delivery] = true);
            stored.suppressed.iter().for_each(|&(event, _)| is_suppressed[event] = true);
        }
        // Of a batch that was stored before nobody knows any more what was suppressed.
        let is_known = stored.is_none_or(|stored| !stored.before);
        for (event, has_key) in ready.have_keys.iter().enumerate() {
            tally.looked_up += u64::from(*has_key && is_known && !is_repeat[ready.events[event].0]);
            tally.suppressed += u64::from(is_suppressed[event]);
        }
        for entry in ready.entries.iter().filter(|_| stored.is_some()) {
            let (Entry::Event(event) | Entry::Shared(event)) = *entry else { continue };
            let (delivery, _) = ready.events[event];
            if is_repeat[delivery] || is_suppressed[event] {
                continue;
            }
            tally.sent += 1;
            if let Entry::Event(_) = entry {
                tally.published.push(delivery);
            }
        }
        tally
    }
}

/// Says that Redis does not have what went before a batch of the same lane: it had it and has lost it, or it never came,
/// for the `spool` has lost it.
pub(super) fn report_loss(metrics: &Metrics, batches: u64, spool: Option<&Spool>) {
    if batches == 0 {
        return;
    }
    metrics.redis_lost_batches.inc_by(batches);
    if spool.is_some_and(Spool::is_damaged) {
        tracing::error!(
            batches,
            "Redis does not have all batches: they are among the records that the spool has lost or set aside, or else Redis \
             came back with an older state"
        );
    } else {
        tracing::error!(
            batches,
            "Redis has lost batches that it had stored: it came back with an older state; see appendfsync and redis.durability"
        );
    }
}

impl Delivered {
    fn letter(&self, reason: String, effect: Effect, stream: &str, (delivery, position): (usize, u32)) -> DeadLetter {
        DeadLetter {
            delivery,
            stage: Stage::Publish,
            reason,
            guest: None,
            effect,
            positions: vec![position],
            streams: vec![stream.to_owned()],
            fingerprint: Fingerprint::of(&self.context, self.identity, &self.payload),
            context: Arc::clone(&self.context),
            received_ms: self.received_ms,
            attempts: self.attempts.max(1),
            payload: self.payload.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::event::{Context, Duty, Identity};

    fn delivered() -> Delivered {
        Delivered {
            duty: Duty::none(),
            settlement: Settlement::Published(0),
            identity: Identity::Once(0),
            context: Arc::new(Context {
                source: "test".to_owned(),
                format: "json".to_owned(),
                topic: None,
                device_id: None,
                channel: None,
                source_ip: None,
            }),
            received_ms: 0,
            payload: Bytes::new(),
            attempts: 0,
        }
    }

    /// Two deliveries. The first has two events, of a key each: one for two streams, one for a stream and other sites, and
    /// of each an entry that was refused. The second has an event without a key.
    fn ready() -> Ready {
        Ready {
            commit: None,
            delivered: vec![delivered(), delivered()],
            events: vec![(0, 0), (0, 1), (1, 0)],
            have_keys: vec![true, true, false],
            entries: vec![
                Entry::Event(0),
                Entry::Event(0),
                Entry::DeadLetter,
                Entry::Event(1),
                Entry::Shared(1),
                Entry::DeadLetter,
                Entry::Event(2),
            ],
        }
    }

    fn tally(looked_up: u64, suppressed: u64, sent: u64, published: &[usize]) -> Tally {
        Tally { looked_up, suppressed, sent, published: published.to_vec() }
    }

    #[test]
    fn entries_are_counted_one_by_one() {
        let first = Uuid::nil();
        for (stored, expected) in [
            (Stored::default(), tally(2, 0, 5, &[0, 0, 0, 1])),
            // One event of the two of a delivery.
            (Stored { suppressed: vec![(0, first)], ..Stored::default() }, tally(2, 1, 3, &[0, 1])),
            (Stored { suppressed: vec![(0, first), (1, first)], ..Stored::default() }, tally(2, 2, 1, &[1])),
            (Stored { repeats: vec![0], ..Stored::default() }, tally(0, 0, 1, &[1])),
            (Stored { before: true, ..Stored::default() }, tally(0, 0, 5, &[0, 0, 0, 1])),
        ] {
            assert_eq!(Tally::of(&ready(), Some(&stored)), expected, "{stored:?}");
        }
    }

    #[test]
    fn what_goes_to_the_spool_is_not_published_yet() {
        assert_eq!(Tally::of(&ready(), None), tally(2, 0, 0, &[]));
    }
}
