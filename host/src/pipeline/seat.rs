//! A lane's place at a slot: asks the guest whose turn it is about a batch, and searches for culprits where it fails.

use std::{
    iter,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;

use super::{
    bisect::{Found, Parts, Patience, bisect},
    breaker::Tally,
    slot::{Instead, Slot, Turn},
};
use crate::{
    sandbox::{Caller, Fault, Guest, World},
    telemetry::SlotName,
};

/// A part of the batch that is searched for a culprit gets its share of the deadline, but never less than this part.
const LEAST_SHARE: u32 = 4;

/// A search that has taken this many deadlines, and has blamed more events than it has cleared, is given up: it is the
/// guest that is at fault. One event that spins takes about four.
const SEARCH: u32 = 10;

/// Any search is given up after this many deadlines, whatever it has found: the lane has other events.
const LONGEST_SEARCH: u32 = 100;

/// Most of a fault's text that is kept for telling why a breaker opened.
const REASON: usize = 300;

/// Why an event that a search did not reach was not decided, where the breaker did not open over it.
const NOT_REACHED: &str = "the search for the culprits of its batch was given up before it was reached";

/// Owned by one lane.
#[derive(Debug)]
pub(super) struct Seat<W: World> {
    slot: Arc<Slot<W>>,
    caller: Caller<W>,
    /// A batch has begun and nothing of it has been asked yet.
    begins: bool,
}

/// What was found about some events of a batch.
#[derive(Debug)]
pub(super) struct Ruling<T> {
    /// Which events.
    pub range: Range<usize>,
    /// Digest of the guest whose answer, or whose fault, it is.
    pub guest: Arc<str>,
    /// The answer, or why there is none.
    pub answer: Result<T, String>,
}

impl<W: World> Seat<W> {
    pub(super) fn new(slot: Arc<Slot<W>>) -> Self {
        let caller = Caller::new(slot.present());
        Self { slot, caller, begins: true }
    }

    /// What is asked from here on is another batch, in one part or in many.
    pub(super) fn begin(&mut self) {
        self.begins = true;
    }

    /// Its slot's name.
    pub(super) fn name(&self) -> &SlotName {
        self.slot.name()
    }

    /// Asks about `all` events. `call` puts the question about a part of them, within a time, and checks the answer.
    /// The rulings come in order and speak of each event once.
    pub(super) fn ask<T>(
        &mut self,
        all: usize,
        mut call: impl FnMut(&mut Caller<W>, Range<usize>, Duration) -> Result<T, Fault>,
    ) -> Vec<Ruling<T>> {
        let mut rulings = Vec::with_capacity(1);
        if all == 0 {
            return rulings;
        }
        let (guest, term) = match self.slot.turn(Instant::now()) {
            Turn::Present(guest, term) => (guest, term),
            Turn::Instead(instead) => {
                self.ask_instead(instead, iter::once(0..all).collect(), false, all, &mut call, &mut rulings);
                return rulings;
            }
        };
        let mut stint = Stint::new(guest.deadline(), self.slot.is_watched());
        stint.tally.begins = std::mem::take(&mut self.begins);
        let found = self.search(&guest, 0..all, all, &mut stint, &mut call);
        let instead = self.slot.report(term, &stint.tally, Instant::now());
        // Where the guest is found to be at fault, the events that it failed on are not.
        let replaced = instead.as_ref().is_some_and(|instead| instead.guest.is_some());
        let mut again: Vec<Range<usize>> = Vec::new();
        for (range, found) in found {
            let answer = match found {
                Found::Answer(answer) => Ok(answer),
                _ if replaced => {
                    match again.last_mut() {
                        Some(last) if last.end == range.start => last.end = range.end,
                        _ => again.push(range),
                    }
                    continue;
                }
                Found::Blamed(fault) => Err(fault.to_string()),
                Found::GivenUp => Err(instead.as_ref().map_or(NOT_REACHED, |instead| &instead.reason).to_owned()),
            };
            rulings.push(Ruling { range, guest: Arc::clone(guest.digest_text()), answer });
        }
        if let Some(instead) = instead.filter(|_| !again.is_empty()) {
            self.ask_instead(instead, again, true, all, &mut call, &mut rulings);
            rulings.sort_by_key(|ruling| ruling.range.start);
        }
        rulings
    }

    /// Asks whoever decides in place of the present guest: about a batch, or the `leftovers` of one.
    fn ask_instead<T>(
        &mut self,
        instead: Instead<W>,
        ranges: Vec<Range<usize>>,
        leftovers: bool,
        all: usize,
        call: &mut impl FnMut(&mut Caller<W>, Range<usize>, Duration) -> Result<T, Fault>,
        rulings: &mut Vec<Ruling<T>>,
    ) {
        let Instead { guest, absent, reason } = instead;
        let Some(guest) = guest else {
            let kept = |range| Ruling { range, guest: Arc::clone(&absent), answer: Err(reason.clone()) };
            rulings.extend(ranges.into_iter().map(kept));
            return;
        };
        // One stint for all ranges, so that together they cost no more than one batch.
        let mut stint = Stint::new(guest.deadline(), true);
        for range in ranges {
            for (range, found) in self.search(&guest, range, all, &mut stint, call) {
                let answer = match found {
                    Found::Answer(answer) => Ok(answer),
                    Found::Blamed(fault) => Err(fault.to_string()),
                    Found::GivenUp => Err(reason.clone()),
                };
                rulings.push(Ruling { range, guest: Arc::clone(guest.digest_text()), answer });
            }
        }
        self.slot.report_stand_in(&guest, &stint.tally, leftovers, Instant::now());
    }

    fn search<T>(
        &mut self,
        guest: &Arc<Guest<W>>,
        range: Range<usize>,
        all: usize,
        stint: &mut Stint,
        call: &mut impl FnMut(&mut Caller<W>, Range<usize>, Duration) -> Result<T, Fault>,
    ) -> Parts<T, Fault> {
        if !Arc::ptr_eq(self.caller.guest(), guest) {
            self.caller = Caller::new(Arc::clone(guest));
        }
        let (caller, deadline) = (&mut self.caller, guest.deadline());
        let (mut found, begun) = (Vec::with_capacity(1), ThreadTime::now());
        let mut call = |range: Range<usize>| {
            let within = share(deadline, range.len(), all);
            call(caller, range, within)
        };
        bisect(range, stint, &mut call, &mut found);
        stint.tally.spent += begun.elapsed();
        found
    }
}

/// A call's deadline when it is for `part` of `all` events.
fn share(deadline: Duration, part: usize, all: usize) -> Duration {
    if part == all { deadline } else { (deadline.mul_f64(part as f64 / all as f64)).max(deadline / LEAST_SHARE) }
}

/// What one guest does to one batch, and what that costs. Time is this thread's CPU time, as in a call's deadline.
#[derive(Debug)]
struct Stint {
    deadline: Duration,
    /// Whether a search may be given up.
    bounded: bool,
    /// The first fault.
    since: Option<ThreadTime>,
    tally: Tally,
}

impl Stint {
    fn new(deadline: Duration, bounded: bool) -> Self {
        Self { deadline, bounded, since: None, tally: Tally::default() }
    }
}

impl Patience<Fault> for Stint {
    fn lasts(&mut self) -> bool {
        if let Some(since) = self.since.filter(|_| self.bounded && !self.tally.given_up) {
            let spent = since.elapsed();
            self.tally.given_up =
                spent > self.deadline * LONGEST_SEARCH || spent > self.deadline * SEARCH && self.tally.mostly_bad();
        }
        !self.tally.given_up
    }

    fn hear(&mut self, events: usize, fault: Option<&Fault>) {
        let tally = &mut self.tally;
        match fault {
            None => tally.events += events,
            Some(fault) => {
                self.since.get_or_insert_with(ThreadTime::now);
                if events == 1 {
                    tally.events += 1;
                    tally.faults += 1;
                    tally.last = fault.to_string().chars().take(REASON).collect();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches 4,096 events among which `culprit` says who is one, with calls that cost `cost` of CPU time each.
    fn searched(culprit: impl Fn(usize) -> bool, deadline: Duration, cost: Duration) -> Tally {
        let mut stint = Stint::new(deadline, true);
        let mut call = |range: Range<usize>| {
            let begun = ThreadTime::now();
            while begun.elapsed() < cost {}
            if range.into_iter().any(&culprit) { Err(Fault::Deadline(1)) } else { Ok(()) }
        };
        bisect(0..4096, &mut stint, &mut call, &mut Vec::new());
        stint.tally
    }

    #[test]
    fn a_search_in_which_nothing_is_cleared_ends_soon() {
        let tally = searched(|_| true, Duration::from_millis(4), Duration::from_millis(1));
        // 40 calls, of which 13 reach the first event and about every second one after that blames one.
        assert!(tally.given_up && (5..40).contains(&tally.faults), "{tally:?}");
    }

    #[test]
    fn a_search_that_clears_more_than_it_blames_goes_on() {
        let tally = searched(|event| event % 500 == 3, Duration::from_millis(4), Duration::from_millis(1));
        assert!(!tally.given_up, "{tally:?}");
        assert_eq!((tally.events, tally.faults), (4096, 9));
    }

    #[test]
    fn no_search_goes_on_for_ever() {
        let tally = searched(|event| event % 3 == 0, Duration::from_millis(1), Duration::from_millis(1));
        assert!(tally.given_up && tally.faults < 100, "{tally:?}");
    }
}
