use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::event::EntryId;

/// Which entries this process has in hand. No input or output.
///
/// An entry that was settled may still be pending in Redis for a while: a batch can be kept on disk and acknowledged
/// before Redis has it. So settled entries are remembered until Redis is seen not to have them pending any more;
/// without that they would look like left ones. Not for ever: what was kept may have been damaged on its disk.
#[derive(Debug, Default)]
pub(super) struct Window {
    flights: HashMap<u64, Flight>,
    known: HashMap<EntryId, Known>,
    ticket: u64,
    bytes: usize,
    /// Counts the times that all pending entries were looked through.
    look: u64,
    /// Settled since the last of these times began.
    fresh: usize,
    /// Settled, and pending nonetheless when all was looked through last.
    kept: usize,
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
    /// Settled in this look, or seen to be pending in it nonetheless; since when that is so.
    Settled(u64, Option<Instant>),
}

/// What is known of an entry that is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is in flight, or settled and on its way to Redis: it needs nothing.
    InHand,
    /// Nobody has it.
    Left,
    /// It was settled, and is pending for so long that it cannot be on its way. Nobody has it from now on.
    Overdue,
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
            self.known.insert(entry, Known::Settled(self.look, None));
            self.fresh += 1;
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

    pub fn is_settled(&self, entry: EntryId) -> bool {
        matches!(self.known.get(&entry), Some(Known::Settled(..)))
    }

    /// Whether `entry` needs nothing: it is in flight, or settled.
    pub fn knows(&self, entry: EntryId) -> bool {
        self.known.contains_key(&entry)
    }

    /// Entries settled since the last look began. What became of them in Redis is not known yet.
    pub fn fresh(&self) -> usize {
        self.fresh
    }

    /// Entries that are settled and that the last look found pending: kept on disk, and not yet in Redis.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// All pending entries are about to be looked through: each is [`seen`](Self::see), then the look ends.
    pub fn begin_look(&mut self) {
        self.look += 1;
        self.fresh = 0;
    }

    /// Notes that `entry` was pending when it was asked for, which was after everything that is known here. One that was
    /// settled is given `patience` from when it is first seen so.
    pub fn see(&mut self, entry: EntryId, now: Instant, patience: Duration) -> Seen {
        match self.known.get_mut(&entry) {
            None => Seen::Left,
            Some(Known::Flying(_)) => Seen::InHand,
            Some(Known::Settled(_, Some(since))) if now.duration_since(*since) >= patience => {
                self.known.remove(&entry);
                Seen::Overdue
            }
            Some(Known::Settled(look, since)) => {
                *look = self.look;
                since.get_or_insert(now);
                Seen::InHand
            }
        }
    }

    /// Forgets what was settled before the look began and was not seen in it.
    pub fn end_look(&mut self) {
        let (now, mut kept) = (self.look, 0);
        self.known.retain(|_, known| match known {
            Known::Flying(_) => true,
            Known::Settled(look, since) => {
                kept += usize::from(*look == now && since.is_some());
                *look == now
            }
        });
        self.kept = kept;
    }

    /// The group was made again: what was settled before says nothing of entries that are pending now.
    pub fn forget_settled(&mut self) {
        self.known.retain(|_, known| matches!(known, Known::Flying(_)));
        self.kept = 0;
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

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_settled_entry_is_remembered_for_as_long_as_it_is_seen_pending() {
        let (mut window, now) = (Window::default(), Instant::now());
        let ticket = window.take(entry(1), 0);
        window.begin_look();
        window.settle(ticket);
        for _ in 0..3 {
            // The end of the look in which it was settled, and looks in which it was seen.
            window.end_look();
            window.begin_look();
            assert_eq!(window.see(entry(1), now, PATIENCE), Seen::InHand);
        }
        window.end_look();
        assert_eq!((window.kept(), window.knows(entry(1))), (1, true));
        window.begin_look();
        window.end_look();
        assert_eq!((window.kept(), window.knows(entry(1))), (0, false));
    }

    #[test]
    fn only_what_was_settled_before_it_was_seen_pending_counts_as_kept() {
        let (mut window, now) = (Window::default(), Instant::now());
        let tickets: Vec<u64> = (0..3).map(|ms| window.take(entry(ms), 0)).collect();
        window.settle(tickets[0]);
        assert_eq!(window.fresh(), 1);
        window.begin_look();
        // Redis was asked before it settled, and has heard of it since.
        assert_eq!(window.see(entry(1), now, PATIENCE), Seen::InHand);
        window.settle(tickets[1]);
        window.end_look();
        assert_eq!((window.kept(), window.fresh(), window.knows(entry(0))), (0, 1, false));
    }

    #[test]
    fn a_settled_entry_that_is_pending_for_too_long_is_nobodys() {
        let (mut window, begun) = (Window::default(), Instant::now());
        let ticket = window.take(entry(1), 0);
        window.settle(ticket);
        for (seconds, seen) in [(0, Seen::InHand), (9, Seen::InHand), (10, Seen::Overdue), (11, Seen::Left)] {
            window.begin_look();
            assert_eq!(window.see(entry(1), begun + Duration::from_secs(seconds), PATIENCE), seen, "{seconds}");
            window.end_look();
        }
        assert_eq!(window.kept(), 0);
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
