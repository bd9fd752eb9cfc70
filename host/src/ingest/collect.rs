use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::event::{Settle, Settlement};

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Stored.
    Settled(Settlement),
    /// Given up unsettled. The client has to send it again.
    Abandoned,
}

/// What the events of one request occupy until the last of them is settled, whether or not the client still waits.
pub(super) struct Occupied {
    events: i64,
    gauge: IntGauge,
    _places: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Occupied {
    pub(super) fn new(gauge: IntGauge, places: OwnedSemaphorePermit, bytes: OwnedSemaphorePermit) -> Self {
        let events = i64::try_from(places.num_permits()).unwrap_or(i64::MAX);
        gauge.add(events);
        Self { events, gauge, _places: places, _bytes: bytes }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.gauge.sub(self.events);
    }
}

/// Hears of every event of one request, and answers once.
pub(super) struct Collector {
    // Held for an assignment only, so a lane never waits for it in any way that could be noticed.
    state: Mutex<State>,
}

struct State {
    outcomes: Vec<Option<Outcome>>,
    open: usize,
    answer: Option<(oneshot::Sender<Vec<Outcome>>, Occupied)>,
}

impl Collector {
    /// A collector for `events` events, with tickets from 0. The receiver gets their outcomes in the order of tickets.
    pub(super) fn new(events: usize, occupied: Occupied) -> (Arc<Self>, oneshot::Receiver<Vec<Outcome>>) {
        let (answer, outcomes) = oneshot::channel();
        let state = State { outcomes: vec![None; events], open: events, answer: Some((answer, occupied)) };
        (Arc::new(Self { state: Mutex::new(state) }), outcomes)
    }

    fn note(&self, ticket: u64, outcome: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = usize::try_from(ticket).ok().and_then(|ticket| state.outcomes.get_mut(ticket)) else {
            return;
        };
        if place.replace(outcome).is_none() {
            state.open -= 1;
        }
        if state.open == 0
            && let Some((answer, occupied)) = state.answer.take()
        {
            // Before the answer: a client that has its answer may use the same places at once.
            drop(occupied);
            let outcomes = std::mem::take(&mut state.outcomes).into_iter().flatten().collect();
            // Nobody listens when the client has gone; the events are stored all the same.
            let _ = answer.send(outcomes);
        }
    }
}

impl Settle for Collector {
    fn settle(&self, ticket: u64, settlement: Settlement) {
        self.note(ticket, Outcome::Settled(settlement));
    }

    fn abandon(&self, ticket: u64) {
        self.note(ticket, Outcome::Abandoned);
    }
}
