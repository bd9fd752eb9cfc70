//! The place of a guest. Every lane takes the guest for its batch from here, so that a swap, an opened breaker
//! and a trial all take effect between two batches.

mod told;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    Audit,
    breaker::{Breaker, State, Tally, Window},
    budget::Budget,
    pace::Pace,
    probation::{Fate, Finding, Probation, Terms},
    proof::Proof,
};
use crate::{
    admin::Readiness,
    config,
    sandbox::{Guest, Kept, World},
    telemetry::{GuestMetrics, SlotName},
};

/// Who hears of what befalls guests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Writes it down.
    pub audit: Audit,
    /// Shows it.
    pub readiness: Readiness,
    /// Keeps the ones that prove themselves.
    pub proven: mpsc::Sender<Kept>,
}

/// A guest, the last good one before it, and the breaker between them. Shared by the lanes.
pub struct Slot<W: World> {
    inner: Mutex<Inner<W>>,
    /// None where nothing is ever held against a guest: `aurora pipe` shows what a guest does to each event.
    watch: Option<Watch>,
    metrics: GuestMetrics,
}

struct Watch {
    config: config::Breaker,
    witness: Witness,
}

struct Inner<W: World> {
    present: Arc<Guest<W>>,
    /// The present one has proved itself.
    proven: bool,
    proof: Proof,
    /// Another one that has, and may stand in.
    last_good: Option<Arc<Guest<W>>>,
    /// How the last good one does while it stands in.
    standing_in: Window,
    /// It was found to do no better, so the present one decides whatever it can. Until a swap.
    unfit: bool,
    breaker: Breaker,
    /// Calls of the present one are hurried, at least until then.
    hurried: Option<Instant>,
    /// What the present one has cost since it took its place.
    pace: Pace,
    /// Whether it may stay there.
    probation: Option<Probation<W>>,
    /// The one that was taken back last.
    fallen: Option<Fallen>,
    /// Why the present one is not what the configuration names.
    note: Option<String>,
}

/// A guest that was taken back. Other lanes may be in the middle of a batch with it: what it fails on there, the one
/// that is back decides.
struct Fallen {
    term: u64,
    digest: Arc<str>,
    reason: String,
}

/// What a slot is filled with at the start.
#[derive(Debug)]
pub struct Filling<W: World> {
    /// Decides.
    pub present: Guest<W>,
    /// It has proved itself before.
    pub proven: bool,
    /// Another one that has.
    pub last_good: Option<Guest<W>>,
    /// Why the present one is not what the configuration names, if it is not.
    pub note: Option<String>,
}

/// By which settings and limits a guest was made that takes another one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// By the same as the guests before it.
    Alike,
    /// By others, and none that was made by the former may decide any more.
    Otherwise,
}

/// Whose turn a batch is.
pub(super) enum Turn<W: World> {
    /// The present guest's; to be reported on under this term.
    Present(Arc<Guest<W>>, u64),
    /// Not the present guest's.
    Instead(Instead<W>),
}

/// What happens in place of a guest that is not called.
pub(super) struct Instead<W: World> {
    /// The last good guest decides, if there is one.
    pub guest: Option<Arc<Guest<W>>>,
    /// Digest of the one that is not called.
    pub absent: Arc<str>,
    /// Why not.
    pub reason: String,
}

impl<W: World> Slot<W> {
    /// A slot whose guest is called whatever it does.
    #[must_use]
    pub fn unwatched(guest: Guest<W>, metrics: &GuestMetrics) -> Self {
        let filling = Filling { present: guest, proven: true, last_good: None, note: None };
        Self::filled(filling, &config::Breaker::default(), None, metrics)
    }

    /// A slot that holds a guest's faults against it as `config` says, and tells `witness`.
    #[must_use]
    pub fn new(filling: Filling<W>, config: &config::Breaker, witness: Witness, metrics: &GuestMetrics) -> Self {
        let slot = Self::filled(filling, config, Some(witness), metrics);
        slot.show(&slot.lock());
        slot
    }

    fn filled(filling: Filling<W>, config: &config::Breaker, witness: Option<Witness>, metrics: &GuestMetrics) -> Self {
        let Filling { present, proven, last_good, note } = filling;
        if proven {
            // What is kept, or will never be, needs no second copy of its bytes.
            drop(present.take_kept());
        }
        let inner = Inner {
            present: Arc::new(present),
            proven,
            proof: Proof::default(),
            last_good: last_good.map(Arc::new),
            standing_in: Window::new(config.window),
            unfit: false,
            breaker: Breaker::new(config),
            hurried: None,
            pace: Pace::default(),
            probation: None,
            fallen: None,
            note,
        };
        let watch = witness.map(|witness| Watch { config: config.clone(), witness });
        Self { inner: Mutex::new(inner), watch, metrics: metrics.clone() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &SlotName {
        self.metrics.slot()
    }

    /// What its guests count.
    #[must_use]
    pub fn metrics(&self) -> &GuestMetrics {
        &self.metrics
    }

    /// The guest that is meant to decide.
    #[must_use]
    pub fn present(&self) -> Arc<Guest<W>> {
        Arc::clone(&self.lock().present)
    }

    /// What the present guest has cost since it took its place.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.lock().pace.clone()
    }

    /// Whether the present guest may still be taken back.
    #[must_use]
    pub fn is_on_probation(&self) -> bool {
        self.lock().probation.is_some()
    }

    /// Why the present guest is not what it should be, for whoever asks whether this host is well.
    pub fn note(&self, note: Option<String>) {
        let mut inner = self.lock();
        inner.note = note;
        self.show(&inner);
    }

    /// Puts `guest` in the present one's place, from each lane's next batch on, with a closed breaker; and, with
    /// `terms`, takes it back by itself if it does not keep them. The one that goes is the last good one if it has
    /// proved itself, and was `made` alike. A guest's probation goes on if it is the same one again.
    pub fn swap(&self, guest: Arc<Guest<W>>, terms: Option<Terms>, made: Made) -> Arc<Guest<W>> {
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.present, guest);
        let (proven, pace) = (std::mem::take(&mut inner.proven), std::mem::take(&mut inner.pace));
        match made {
            Made::Alike if proven && self.may_stand_in() => inner.last_good = Some(Arc::clone(&before)),
            Made::Alike => {}
            Made::Otherwise => inner.last_good = None,
        }
        let is_same = before.digest_text() == inner.present.digest_text();
        let going_on = inner.probation.take().filter(|_| is_same);
        inner.probation = going_on.or_else(|| {
            let terms = terms.filter(|_| self.watch.is_some())?;
            Probation::begin(terms, Arc::clone(&before), proven, pace, Instant::now())
        });
        inner.fallen = None;
        self.begin(&mut inner, &before, None);
        before
    }

    /// The present guest has just taken the place of `before`, and nothing is known of how it does.
    fn begin(&self, inner: &mut Inner<W>, before: &Guest<W>, note: Option<String>) {
        inner.proof = Proof::default();
        inner.note = note;
        inner.unfit = false;
        inner.hurried = None;
        let was_closed = *inner.breaker.state() == State::Closed;
        inner.breaker.reset();
        if let Some(watch) = &self.watch {
            inner.standing_in = Window::new(watch.config.window);
            if !was_closed {
                let (digest, before) = (inner.present.digest_text(), before.digest_text());
                let details = format!("{} {digest} decides in the place of {before}", self.name());
                watch.witness.audit.record("breaker-close", details);
            }
        }
        self.show(inner);
    }

    /// Takes in what a batch means for a guest on probation, and takes it back if need be.
    fn judge(&self, inner: &mut Inner<W>, tally: &Tally, window: usize, now: Instant) {
        let Some(probation) = inner.probation.take() else { return };
        let tripped = match inner.breaker.state() {
            State::Open { reason, .. } => Some(Arc::clone(reason)),
            _ => None,
        };
        let fate = match probation.judge(&inner.pace, &tally.last, window, tripped.as_deref(), now) {
            Finding::Goes => {
                inner.probation = Some(probation);
                return;
            }
            Finding::Ends(fate) => fate,
        };
        let digest = Arc::clone(inner.present.digest_text());
        if let Fate::Fell { reason } = &fate {
            // Its batches under way were begun in this term, or in the one before if its breaker has just opened.
            let term = inner.breaker.term() - u64::from(tripped.is_some());
            inner.fallen = Some(Fallen { term, digest: Arc::clone(&digest), reason: reason.clone() });
            let fallen = std::mem::replace(&mut inner.present, Arc::clone(&probation.before));
            inner.proven = probation.proven;
            inner.pace = Pace::default();
            self.begin(inner, &fallen, Some(format!("{digest} was taken back: {reason}")));
        }
        probation.tell(&digest, fate);
    }

    /// What a guest may waste of one lane's time, from now on; none where nothing is ever held against it.
    pub(super) fn budget(&self) -> Option<Budget> {
        self.watch.as_ref().map(|watch| Budget::new(&watch.config, Instant::now()))
    }

    /// Takes in a call of `guest` that was no batch of a lane's, as of an agent: it is counted if that one is the present
    /// one still, and held against nobody.
    pub(crate) fn count_call(&self, guest: &Arc<Guest<W>>, is_fault: bool, spent: Duration) {
        let mut inner = self.lock();
        if Arc::ptr_eq(&inner.present, guest) {
            inner.pace.add(&Tally { events: 1, faults: usize::from(is_fault), spent, ..Tally::default() });
        }
    }

    /// Whose turn the next batch is.
    pub(super) fn turn(&self, now: Instant) -> Turn<W> {
        let mut inner = self.lock();
        let term = inner.breaker.term();
        inner.breaker.half_open(now);
        if inner.breaker.term() != term {
            self.tell(&mut inner, now);
            return Turn::Present(Arc::clone(&inner.present), inner.breaker.term());
        }
        match inner.instead() {
            Some(instead) => Turn::Instead(instead),
            None => Turn::Present(Arc::clone(&inner.present), term),
        }
    }

    /// Takes in how a batch of the present guest went. The answer says who decides what it did not, if its breaker is
    /// open now.
    pub(super) fn report(&self, term: u64, tally: &Tally, now: Instant) -> Option<Instead<W>> {
        let mut inner = self.lock();
        let known = inner.breaker.term();
        if term == known {
            inner.pace.add(tally);
        }
        let watch = self.watch.as_ref()?;
        let replaceable = inner.stand_in().is_some() || inner.probation.is_some();
        if term == known {
            inner.breaker.learn(term, tally, replaceable, now);
            if inner.breaker.term() != known {
                self.tell(&mut inner, now);
            } else {
                self.tell_of_haste(&mut inner, tally, now);
            }
            if !inner.proven && inner.probation.is_none() && inner.proof.add(tally, watch.config.proven) {
                self.prove(&mut inner, watch);
            }
            self.judge(&mut inner, tally, watch.config.window, now);
        }
        if let Some(Fallen { digest, reason, .. }) = inner.fallen.as_ref().filter(|fallen| fallen.term == term) {
            let (absent, reason) = (Arc::clone(digest), format!("taken back: {reason}"));
            return Some(Instead { guest: Some(Arc::clone(&inner.present)), absent, reason });
        }
        inner.instead()
    }

    /// Takes in how the last good guest did on a batch, or on the `leftovers` of the present one. Those are no sample of
    /// what comes, but the very events that a guest has failed on: they speak for it and never against it.
    pub(super) fn report_stand_in(&self, guest: &Arc<Guest<W>>, tally: &Tally, leftovers: bool, now: Instant) {
        self.metrics.last_good_events.inc_by((tally.events - tally.faults) as u64);
        let (Some(watch), mut inner) = (&self.watch, self.lock()) else { return };
        let stands_in = inner.instead().and_then(|instead| instead.guest);
        if leftovers || !stands_in.is_some_and(|known| Arc::ptr_eq(&known, guest)) {
            return;
        }
        inner.standing_in.add(tally);
        if tally.condemns() || tally.overdrawn || inner.standing_in.fails(watch.config.ratio) {
            inner.unfit = true;
            let details = format!("{} {} fails as well: {}", self.name(), guest.digest_text(), tally.last);
            watch.witness.audit.record("guest-last-good-unfit", details);
            // The events are at fault more than the guests. With the breaker open nobody would decide the good ones.
            inner.breaker.reset();
            self.tell(&mut inner, now);
        }
    }

    fn prove(&self, inner: &mut Inner<W>, watch: &Watch) {
        inner.proven = true;
        let kept = inner.present.take_kept();
        let kept = kept.filter(|_| self.may_stand_in());
        // Full only if the disk hangs; the guest then proves itself again after the next start.
        if kept.is_some_and(|kept| watch.witness.proven.try_send(kept).is_err()) {
            tracing::warn!(slot = %self.name(), "a guest that has proved itself cannot be kept now");
        }
    }

    fn may_stand_in(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.config.may_stand_in(W::STAGE))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        // Nothing below panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: World> Inner<W> {
    fn stand_in(&self) -> Option<Arc<Guest<W>>> {
        self.last_good.clone().filter(|_| !self.unfit)
    }

    fn instead(&self) -> Option<Instead<W>> {
        let reason = match self.breaker.state() {
            State::Closed => return None,
            State::Open { reason, .. } | State::HalfOpen { reason } => format!("breaker open: {reason}"),
        };
        Some(Instead { guest: self.stand_in(), absent: Arc::clone(self.present.digest_text()), reason })
    }
}

impl<W: World> fmt::Debug for Slot<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        let state = inner.breaker.state();
        f.debug_struct("Slot").field("present", &inner.present).field("state", state).finish_non_exhaustive()
    }
}
