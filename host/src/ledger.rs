//! What lanes and publishers say became of deliveries, gathered for the task of their source.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::event::{Settle, Settlement};

/// What became of the delivery with this ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Stored: acknowledge it.
    Settled(u64),
    /// Given up: have it delivered again.
    Abandoned(u64),
}

/// Written from any thread, read by the source's task. The lock is held for a push or a swap, so settling never
/// waits. No longer than the deliveries in flight.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    written: Notify,
}

impl Ledger {
    /// Returns when something may have been written.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    /// Swaps the entries for an empty `into`, which keeps the room of both for the next ones.
    pub fn take(&self, into: &mut Vec<Entry>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner), into);
    }

    fn write(&self, entry: Entry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry);
        let first = entries.len() == 1;
        drop(entries);
        // One wake-up serves the whole group.
        if first {
            self.written.notify_one();
        }
    }
}

impl Settle for Ledger {
    /// Whatever the settlement is, it was stored, and a broker has but one answer.
    fn settle(&self, ticket: u64, _: Settlement) {
        self.write(Entry::Settled(ticket));
    }

    fn abandon(&self, ticket: u64) {
        self.write(Entry::Abandoned(ticket));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Duty;

    #[test]
    fn keeps_what_was_settled_and_what_was_dropped() {
        let ledger = Arc::new(Ledger::default());
        Duty::new(ledger.clone(), 1).settle(Settlement::Published(1));
        drop(Duty::new(ledger.clone(), 2));
        let mut entries = Vec::new();
        ledger.take(&mut entries);
        assert_eq!(entries, [Entry::Settled(1), Entry::Abandoned(2)]);
        entries.clear();
        ledger.take(&mut entries);
        assert_eq!(entries, []);
    }
}
