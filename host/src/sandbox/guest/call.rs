use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::Store;

use super::Guest;
use crate::{
    config::Instance,
    intel::LOOKUPS,
    sandbox::{
        answer::cut,
        bindings::aurora::event::types::Failure,
        deadline::{cpu_time, ticks},
        fault::Fault,
        import::State,
        world::World,
    },
    state::{Draft, Mark},
};

/// A lane's way to call one guest. Not shared between threads.
pub struct Caller<W: World> {
    guest: Arc<Guest<W>>,
    /// The instance that lives on, where the site wants that.
    reused: Option<(Store<State>, W::Exports)>,
    /// Of the events of the next call.
    marks: Vec<Mark>,
    /// What the last call would write.
    draft: Option<Draft>,
    /// How long the last call took.
    took: Duration,
}

impl<W: World> Caller<W> {
    /// Calls `guest`.
    #[must_use]
    pub fn new(guest: Arc<Guest<W>>) -> Self {
        Self { guest, reused: None, marks: Vec::new(), draft: None, took: Duration::ZERO }
    }

    /// The next call is about events with these `marks`, if its guest remembers anything.
    pub fn about(&mut self, marks: impl Iterator<Item = Mark>) {
        self.marks.clear();
        if self.guest.table.is_some() {
            self.marks.extend(marks);
        }
    }

    /// Writes what the last call would remember. To be called once its answer has passed its checks: of a call after which it
    /// is not, nothing is written.
    pub fn keep(&mut self) {
        if let Some(draft) = self.draft.take() {
            draft.keep();
        }
    }

    /// The guest.
    #[must_use]
    pub fn guest(&self) -> &Arc<Guest<W>> {
        &self.guest
    }

    /// One call, of at most `deadline` of this thread's CPU time. After a fault the instance is gone.
    ///
    /// # Errors
    /// [`Fault`] says what the guest did wrong.
    pub fn call(&mut self, input: W::Input<'_>, deadline: Duration) -> Result<W::Answer, Fault> {
        let draft = self.guest.table.as_ref().map(|table| Draft::new(table, std::mem::take(&mut self.marks)));
        self.draft = None;
        let (guest, begun) = (&self.guest, Instant::now());
        guest.metrics.calls.inc();
        let fault = |error: wasmtime::Error| Fault::of(&error, deadline.as_millis(), guest.limits.output);
        let answer = match self.reused.take() {
            Some(instance) => Ok(instance),
            None => guest.instance(deadline).map_err(fault),
        }
        .and_then(|(mut store, exports)| {
            store.set_epoch_deadline(ticks(deadline));
            let state = store.data_mut();
            state.lines_left = guest.limits.log_lines;
            state.begun = cpu_time();
            state.budget = deadline;
            state.hearing.last_words.clear();
            state.set_time(W::time(input));
            state.draft = draft;
            state.lookup = guest.lookup.clone().map(|lookup| (lookup, LOOKUPS));
            let mut answer = match W::call(&exports, &mut store, input) {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(Failure::InvalidSettings(text))) => {
                    Err(Fault::Failure(cut(format!("invalid settings: {text}"))))
                }
                Ok(Err(Failure::Other(text))) => Err(Fault::Failure(cut(text))),
                Err(error) => Err(fault(error)),
            };
            let state = store.data_mut();
            state.flush();
            self.draft = state.draft.take();
            if let Err(fault) = &mut answer {
                fault.add_last_words(state.hearing.take_last_words());
            }
            guest.metrics.log_lines_suppressed.inc_by(u64::from(std::mem::take(&mut state.lines_suppressed)));
            let peak = i64::try_from(state.memory_peak).unwrap_or(i64::MAX);
            if peak > guest.metrics.memory_high_water.get() {
                guest.metrics.memory_high_water.set(peak);
            }
            if guest.limits.instance == Instance::Reuse && answer.is_ok() {
                self.reused = Some((store, exports));
            }
            answer
        });
        self.took = begun.elapsed();
        guest.metrics.seconds.inc_by(self.took.as_secs_f64());
        if let Err(fault) = &answer {
            self.count(fault);
        }
        answer
    }

    /// Counts `fault` of the last call: one that a check outside of it has found.
    pub fn count(&self, fault: &Fault) {
        self.guest.metrics.faults(fault.reason()).inc();
        self.guest.metrics.wasted_seconds.inc_by(self.took.as_secs_f64());
    }
}

impl<W: World> fmt::Debug for Caller<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("guest", &self.guest).finish_non_exhaustive()
    }
}
