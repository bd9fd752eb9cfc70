use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::{
    event::{Settle, Settlement},
    telemetry::Passage,
};

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is stored.
    Stored,
    /// It was stored before.
    Repeated,
    /// A guest has dropped it, or it was turned away when it came first.
    Dropped,
    /// It is a dead letter.
    Buried,
    /// It was given up: have it delivered again.
    GivenUp,
}

impl From<Told> for Passage {
    fn from(told: Told) -> Self {
        match told {
            Told::Stored => Self::Stored,
            Told::Repeated => Self::Repeated,
            Told::Dropped => Self::Dropped,
            Told::Buried => Self::Buried,
            Told::GivenUp => Self::GivenUp,
        }
    }
}

/// Written from any thread, read by the source's task; as [`Ledger`](crate::ledger::Ledger), but JetStream has more than
/// one answer. No longer than the deliveries in flight.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: Mutex<Vec<(u64, Told)>>,
    written: Notify,
}

impl Book {
    /// Returns when something may have been written.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    /// What was written since the last time.
    pub fn take(&self) -> Vec<(u64, Told)> {
        std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, ticket: u64, told: Told) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push((ticket, told));
        let is_first = entries.len() == 1;
        drop(entries);
        if is_first {
            self.written.notify_one();
        }
    }
}

impl Settle for Book {
    fn settle(&self, ticket: u64, settlement: Settlement) {
        let told = match settlement {
            Settlement::Published(_) | Settlement::Suppressed(_) => Told::Stored,
            Settlement::Repeated => Told::Repeated,
            Settlement::Dropped(_) => Told::Dropped,
            Settlement::DeadLettered(_) => Told::Buried,
        };
        self.write(ticket, told);
    }

    fn abandon(&self, ticket: u64) {
        self.write(ticket, Told::GivenUp);
    }
}
