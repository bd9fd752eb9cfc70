//! How much of a lane's time a guest may waste: on calls that fail, above all on those that spin until their deadline.
//!
//! An event on which a guest spins costs a part of the deadline for each call that it is searched for with. Where one in
//! a thousand does that nobody minds. Where one in three does, the breaker stays closed, for most events pass, and a lane
//! would do nothing but wait for deadlines. So what failed calls take is added up. As long as it is more than a part of
//! the last while, calls are hurried: each gets as much time as those that passed have taken, with room, and no more. A
//! culprit then costs some milliseconds, whatever the deadline is, and the events beside it are still asked about.
//!
//! A lane has one for each guest that it calls, and a new one for another guest. Knows no clock: who asks says what time it
//! is. What a failed call takes is told by the clock on the wall: that is how long the lane did nothing else, and where other
//! programs have the machine a deadline of CPU time takes the longer. What the calls take that pass is CPU time, as in the
//! deadlines that are made of it.

use std::time::{Duration, Instant};

use crate::config;

/// Parts that the last while is forgotten by.
const SLICES: u64 = 10;

/// Calls for 1, 2 to 3, 4 to 7, … and for 4,096 events and more.
const SIZES: usize = 13;

/// A hurried call gets this many times what those that passed have taken: as many as a guest on probation.
const ROOM: u32 = 4;

/// Least time of a hurried call. Two ticks: a lone one may already be due when the call starts.
const SHORTEST: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Budget {
    /// Most time in failed calls, within `SLICES` slices.
    most: Duration,
    /// How long a slice is.
    slice: Duration,
    begun: Instant,
    /// The last ones, each where its number says.
    slices: [Slice; SLICES as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// Counted from the beginning.
    number: u64,
    /// Time in calls that failed.
    wasted: Duration,
    /// Most time of a call that passed, by size.
    longest: [Duration; SIZES],
}

impl Budget {
    pub(super) fn new(config: &config::Breaker, now: Instant) -> Self {
        let config::Breaker { wasted, wasted_within, .. } = config;
        // A tick at least, so that no configuration divides by nothing.
        let slice = (*wasted_within / SLICES as u32).max(Duration::from_millis(1));
        Self { most: wasted_within.mul_f64(*wasted), slice, begun: now, slices: Default::default() }
    }

    /// Takes in a call that failed after so long.
    pub(super) fn waste(&mut self, time: Duration, now: Instant) {
        self.slice(now).wasted += time;
    }

    /// Takes in a call for `events` events that passed, and its CPU time.
    pub(super) fn pass(&mut self, events: usize, spent: Duration, now: Instant) {
        let longest = &mut self.slice(now).longest[size(events)];
        // Zero is for what never passed.
        *longest = spent.max(*longest).max(Duration::from_nanos(1));
    }

    fn slice(&mut self, now: Instant) -> &mut Slice {
        let number = self.number(now);
        let slice = &mut self.slices[(number % SLICES) as usize];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice
    }

    /// Whether more was wasted than may be.
    pub(super) fn is_overdrawn(&self, now: Instant) -> bool {
        self.recent(now).map(|slice| slice.wasted).sum::<Duration>() > self.most
    }

    /// How long a hurried call for `events` events may take. None if no call has passed lately, so that nobody knows.
    pub(super) fn hurried(&self, events: usize, now: Instant) -> Option<Duration> {
        let longest = |size: usize| {
            let longest = self.recent(now).map(|slice| slice.longest[size]).max()?;
            (!longest.is_zero()).then_some(longest)
        };
        let size = size(events);
        // With fewer events a call takes no longer; and with more, at most as often as long as there are as many.
        let above = || (size..SIZES).find_map(longest);
        let below = |smaller: usize| Some(longest(smaller)?.saturating_mul(events.div_ceil(1 << smaller) as u32));
        let usual = above().or_else(|| (0..size).rev().find_map(below))?;
        Some(usual.saturating_mul(ROOM).max(SHORTEST))
    }

    fn number(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.begun).as_nanos() / self.slice.as_nanos()) as u64
    }

    fn recent(&self, now: Instant) -> impl Iterator<Item = &Slice> {
        let number = self.number(now);
        self.slices.iter().filter(move |slice| slice.number + SLICES > number)
    }
}

fn size(events: usize) -> usize {
    (events.max(1).ilog2() as usize).min(SIZES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A fifth of ten seconds, and when it began.
    fn budget() -> (Budget, Instant) {
        let now = Instant::now();
        (Budget::new(&config::Breaker::default(), now), now)
    }

    #[test]
    fn a_fifth_of_the_last_ten_seconds_may_be_wasted_and_no_more() {
        let (mut budget, begun) = budget();
        for call in 0..20 {
            budget.waste(100 * MS, begun + 400 * MS * call);
        }
        let now = begun + 9_900 * MS;
        assert!(!budget.is_overdrawn(now));
        budget.waste(MS, now);
        assert!(budget.is_overdrawn(now));
    }

    #[test]
    fn what_was_wasted_is_forgotten_slice_by_slice() {
        let (mut budget, begun) = budget();
        budget.waste(1_600 * MS, begun);
        budget.waste(1_600 * MS, begun + 5_000 * MS);
        assert!(budget.is_overdrawn(begun + 9_999 * MS));
        assert!(!budget.is_overdrawn(begun + 10_000 * MS));
        // The same place in the ring, a turn later.
        budget.waste(800 * MS, begun + 10_000 * MS);
        assert!(budget.is_overdrawn(begun + 14_999 * MS));
        assert!(!budget.is_overdrawn(begun + 15_000 * MS));
    }

    #[test]
    fn calls_that_pass_waste_nothing() {
        let (mut budget, begun) = budget();
        for _ in 0..1000 {
            budget.pass(256, 90 * MS, begun);
        }
        assert!(!budget.is_overdrawn(begun));
    }

    #[test]
    fn a_hurried_call_has_room_beyond_what_passed() {
        let (mut budget, begun) = budget();
        assert_eq!(budget.hurried(1, begun), None, "nothing is known");
        budget.pass(256, 5 * MS, begun);
        budget.pass(256, 3 * MS, begun);
        for events in [1, 16, 256, 300] {
            assert_eq!(budget.hurried(events, begun), Some(20 * MS), "{events}");
        }
        budget.pass(1, MS / 10, begun);
        assert_eq!(budget.hurried(1, begun), Some(SHORTEST));
        budget.pass(1, 2 * MS, begun);
        assert_eq!(budget.hurried(1, begun), Some(8 * MS));
        assert_eq!(budget.hurried(1, begun + 10_000 * MS), None, "what passed long ago says nothing");
    }

    #[test]
    fn of_larger_calls_than_ever_passed_no_more_is_known_than_that_they_add_up() {
        let (mut budget, begun) = budget();
        budget.pass(1, MS, begun);
        assert_eq!(budget.hurried(16, begun), Some(64 * MS));
        budget.pass(4, 2 * MS, begun);
        assert_eq!(budget.hurried(16, begun), Some(32 * MS));
        assert_eq!(budget.hurried(17, begun), Some(40 * MS));
    }
}
