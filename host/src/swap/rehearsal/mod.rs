//! A guest on live events, without effect.
//!
//! Lanes leave copies of their batches at a [`Tap`]; one thread of low priority decides each of them twice, as the lanes
//! do and with the candidate in its slot, and compares what comes out, event by event and field by field. Both times
//! copies of the guests decide, in slots of their own: nothing is published, settled, counted in the daemon's metrics or
//! held against anybody, what they would write to their state is discarded, and of their log lines only the candidate's
//! are written, marked.
//!
//! What the thread cannot keep up with it does not see, and the report says how much that was: a rehearsal must never
//! slow the lanes down. So on a busy host it is a sample, in whole batches as they came.

mod compare;
mod report;
mod rule;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout_at,
};
use tokio_util::sync::CancellationToken;

pub use compare::Difference;
pub use report::{Example, Report, Side};
pub use rule::Rule;

use super::{
    Refused,
    wish::{Plan, Until},
};
use crate::{
    pipeline::{Copied, Decider, Slot, Staged, Stages, Tap},
    sandbox::{Guest, Voice},
    telemetry::{Metrics, SlotName},
};

/// Batches that may wait for the thread. A batch has a megabyte at most.
const WAITING: usize = 8;

/// As low as it goes: the lanes come first.
const NICE: i32 = 19;

/// Where rehearsals take place, one at a time.
#[derive(Debug)]
pub(super) struct Hall {
    tap: Tap,
    stages: Stages,
    retries: u32,
    free: Arc<Semaphore>,
}

/// A rehearsal that goes on, or has ended and was not cleared away.
#[derive(Debug)]
pub(super) struct Rehearsal {
    report: Arc<Mutex<Report>>,
    stop: CancellationToken,
    over: Option<oneshot::Receiver<()>>,
}

impl Rehearsal {
    /// What it has found so far.
    pub(super) fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    /// Writes into its report what came of it.
    pub(super) fn conclude(&self, verdict: String) {
        lock(&self.report).verdict = Some(verdict);
    }

    /// Ends it, and waits until it has ended.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        if let Some(over) = self.over.take() {
            let _ = over.await;
        }
    }

    /// Waits until it has ended by itself; for ever if that was told before.
    pub(super) async fn over(&mut self) {
        if let Some(over) = &mut self.over {
            // What it found until then stands.
            let broke_down = over.await.is_err();
            self.over = None;
            if broke_down {
                let mut report = lock(&self.report);
                report.broke_down = true;
                report.ended.get_or_insert_with(|| "it broke down".to_owned());
            }
            return;
        }
        std::future::pending().await
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hall {
    /// For copies of the guests of `stages`, on what is left at `tap`.
    pub(super) fn new(tap: Tap, stages: Stages, retries: u32) -> Self {
        Self { tap, stages, retries, free: Arc::new(Semaphore::new(1)) }
    }

    /// Begins to rehearse `candidate` for `slot`.
    pub(super) fn begin<W: Staged>(
        &self,
        slot: &SlotName,
        candidate: &Guest<W>,
        plan: &Plan,
    ) -> Result<Rehearsal, Refused> {
        if W::slots(&self.stages).is_none() {
            return Err(Refused::Unrehearsable);
        }
        let place = Arc::clone(&self.free).try_acquire_owned().map_err(|_| Refused::Rehearsing)?;
        let (metrics, candidate_metrics) = (Metrics::new(), Metrics::new());
        let present = self.stages.apart(&metrics);
        let guest = candidate.apart(&candidate_metrics.guest(slot.clone()), Voice::Rehearsed);
        let guest = Slot::unwatched(guest, &candidate_metrics.guest(slot.clone()));
        let with = self.stages.apart(&candidate_metrics).with(slot, guest);
        let slots = [W::find(&present, slot), W::find(&with, slot)];
        let [Some(of_present), Some(of_candidate)] = slots else {
            return Err(Refused::Broken(format!("no copy of {slot}")));
        };
        let running = of_present.present();
        let side = |guest: &Guest<W>| Side {
            digest: guest.digest_text().to_string(),
            name: guest.name().to_owned(),
            ..Side::default()
        };
        let report = Arc::new(Mutex::new(Report {
            slot: slot.to_string(),
            began: chrono::Utc::now().to_rfc3339(),
            until: plan.until.to_string(),
            promote_if: plan.promote_if.as_ref().map(Rule::to_string),
            present: side(&running),
            candidate: side(candidate),
            ..Report::default()
        }));
        let stop = CancellationToken::new();
        let (ending, over) = oneshot::channel();
        let copies = self.tap.open(WAITING);
        let stage = Stage {
            copies,
            tap: self.tap.clone(),
            present: Decider::new(&present, self.retries, metrics),
            candidate: Decider::new(&with, self.retries, candidate_metrics),
            stages: present,
            slots: [of_present, of_candidate],
            until: plan.until,
            report: Arc::clone(&report),
            stop: stop.clone(),
            _place: place,
        };
        let runtime = runtime::Handle::current();
        let run = move || {
            stage.run(&runtime);
            let _ = ending.send(());
        };
        if let Err(source) = thread::Builder::new().name("rehearsal".to_owned()).spawn(run) {
            return Err(Refused::NoThread(source));
        }
        Ok(Rehearsal { report, stop, over: Some(over) })
    }
}

impl<W: Staged> Drop for Stage<W> {
    fn drop(&mut self) {
        // Also when the thread breaks down: lanes must not go on copying.
        self.tap.close();
    }
}

/// The rehearsal's thread.
struct Stage<W: Staged> {
    copies: mpsc::Receiver<Copied>,
    tap: Tap,
    present: Decider,
    candidate: Decider,
    stages: Stages,
    /// Of the present guest and of the candidate.
    slots: [Arc<Slot<W>>; 2],
    until: Until,
    report: Arc<Mutex<Report>>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl<W: Staged> Stage<W> {
    fn run(mut self, runtime: &runtime::Handle) {
        // Without it the rehearsal only gets more of the machine than it should.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the rehearsal runs at the lanes' priority");
        }
        let deadline = match self.until {
            Until::Time(time) => Instant::now().checked_add(time),
            Until::Events(_) => None,
        };
        let ended = loop {
            let next = async {
                let copies = async {
                    match deadline {
                        Some(deadline) => timeout_at(deadline.into(), self.copies.recv()).await.ok(),
                        None => Some(self.copies.recv().await),
                    }
                };
                self.stop.run_until_cancelled(copies).await
            };
            match runtime.block_on(next) {
                None => break "it was told to",
                Some(None) => break "its time is over",
                Some(Some(None)) => break "the lanes have ended",
                Some(Some(Some(batch))) => self.compare(batch),
            }
            if matches!(self.until, Until::Events(events) if lock(&self.report).asked >= events) {
                break "it has seen its events";
            }
        };
        lock(&self.report).ended = Some(ended.to_owned());
    }

    fn compare(&mut self, batch: Copied) {
        let copy = batch.iter().map(crate::pipeline::copied).collect();
        // In turns, so that neither always finds the memory warm.
        let (present, candidate) = if lock(&self.report).events.is_multiple_of(2) {
            let present = self.present.decide(copy);
            (present, self.candidate.decide(batch))
        } else {
            let candidate = self.candidate.decide(copy);
            (self.present.decide(batch), candidate)
        };
        let events = present.deliveries.len();
        let mut differing = Vec::new();
        for index in 0..events {
            let of_present = compare::spoken(&present, index, &self.stages);
            let of_candidate = compare::spoken(&candidate, index, &self.stages);
            if of_present != of_candidate {
                let differences = compare::differences(&of_present, &of_candidate);
                if !differences.is_empty() {
                    differing.push((index, differences));
                }
            }
        }
        let mut report = lock(&self.report);
        report.events += events as u64;
        report.missed = self.tap.missed();
        for (index, differences) in differing {
            report.differs(&present.deliveries[index], differences);
        }
        let [of_present, of_candidate] = &self.slots;
        report.cost(&of_present.pace(), &of_candidate.pace());
    }
}
