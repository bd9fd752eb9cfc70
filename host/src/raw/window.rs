use std::collections::HashMap;

use crate::event::EntryId;

/// Which entries this process has in hand. No input or output.
///
/// An entry that was settled may still be pending in Redis for a while: a batch can be kept on disk and acknowledged
/// before Redis has it. So settled entries are remembered until Redis is seen not to have them pending any more;
/// without that they would look like left ones.
#[derive(Debug, Default)]
pub(super) struct Window {
    flights: HashMap<u64, Flight>,
    known: HashMap<EntryId, Known>,
    ticket: u64,
    bytes: usize,
    /// Counts the times that all pending entries were looked through.
    look: u64,
}

#[derive(Debug)]
struct Flight {
    entry: EntryId,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Handed on, under this ticket.
    Flying(u64),
    /// Settled in this look, or seen to be pending in it nonetheless.
    Settled(u64),
}

impl Window {
    /// Takes an entry that is about to be handed on. One that is in hand already came again because its group was made
    /// again; only the new delivery counts then.
    pub fn take(&mut self, entry: EntryId, bytes: usize) -> u64 {
        self.ticket += 1;
        self.flights.insert(self.ticket, Flight { entry, bytes });
        self.known.insert(entry, Known::Flying(self.ticket));
        self.bytes += bytes;
        self.ticket
    }

    pub fn settle(&mut self, ticket: u64) {
        if let Some(entry) = self.land(ticket) {
            self.known.insert(entry, Known::Settled(self.look));
        }
    }

    pub fn abandon(&mut self, ticket: u64) {
        if let Some(entry) = self.land(ticket) {
            self.known.remove(&entry);
        }
    }

    /// The entry of `ticket`, if that is its newest delivery.
    fn land(&mut self, ticket: u64) -> Option<EntryId> {
        let Flight { entry, bytes } = self.flights.remove(&ticket)?;
        self.bytes -= bytes;
        (self.known.get(&entry) == Some(&Known::Flying(ticket))).then_some(entry)
    }

    /// Entries handed on and neither settled nor abandoned.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Bytes of their payloads.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_flying(&self, entry: EntryId) -> bool {
        matches!(self.known.get(&entry), Some(Known::Flying(_)))
    }

    /// Whether `entry` needs nothing: it is in flight, or settled.
    pub fn knows(&self, entry: EntryId) -> bool {
        self.known.contains_key(&entry)
    }

    /// How many settled entries are remembered.
    pub fn remembered(&self) -> usize {
        self.known.len().saturating_sub(self.flights.len())
    }

    /// All pending entries are about to be looked through: each is [`seen`](Self::see), then the look ends.
    pub fn begin_look(&mut self) {
        self.look += 1;
    }

    /// Notes that `entry` is pending, and says whether it needs nothing.
    pub fn see(&mut self, entry: EntryId) -> bool {
        match self.known.get_mut(&entry) {
            None => false,
            Some(Known::Flying(_)) => true,
            Some(Known::Settled(look)) => {
                *look = self.look;
                true
            }
        }
    }

    /// Forgets what was settled before the look began and was not seen in it.
    pub fn end_look(&mut self) {
        let now = self.look;
        self.known.retain(|_, known| match known {
            Known::Flying(_) => true,
            Known::Settled(look) => *look == now,
        });
    }

    /// The group was made again: what was settled before says nothing of entries that are pending now.
    pub fn forget_settled(&mut self) {
        self.known.retain(|_, known| matches!(known, Known::Flying(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ms: u64) -> EntryId {
        EntryId { ms, sequence: 0 }
    }

    #[test]
    fn an_abandoned_entry_is_wanted_again_and_a_settled_one_is_not() {
        let mut window = Window::default();
        let (a, b) = (window.take(entry(1), 10), window.take(entry(2), 20));
        window.settle(a);
        window.abandon(b);
        assert_eq!((window.in_flight(), window.bytes()), (0, 0));
        assert!(window.knows(entry(1)) && !window.knows(entry(2)));
    }

    #[test]
    fn a_settled_entry_is_remembered_for_as_long_as_it_is_seen_pending() {
        let mut window = Window::default();
        let ticket = window.take(entry(1), 0);
        window.begin_look();
        window.settle(ticket);
        for _ in 0..3 {
            // The end of the look in which it was settled, and looks in which it was seen.
            window.end_look();
            window.begin_look();
            assert!(window.see(entry(1)));
        }
        window.end_look();
        window.begin_look();
        window.end_look();
        assert!(!window.knows(entry(1)) && window.remembered() == 0);
    }

    #[test]
    fn an_entry_that_comes_again_is_in_hand_until_its_newest_delivery_lands() {
        let mut window = Window::default();
        let (old, new) = (window.take(entry(1), 1), window.take(entry(1), 1));
        window.settle(old);
        assert!(window.is_flying(entry(1)) && window.in_flight() == 1);
        window.abandon(new);
        assert!(!window.knows(entry(1)) && window.bytes() == 0);
    }
}
