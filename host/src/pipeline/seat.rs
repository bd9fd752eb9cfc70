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
    budget::Budget,
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

/// Into how many parts a batch is cut where calls are hurried. Those that pass cost microseconds, those that fail
/// milliseconds, so it pays to have fewer of these between the batch and the event.
const HURRIED_PARTS: usize = 16;

/// Most of a fault's text that is kept for telling why a breaker opened.
const REASON: usize = 300;

/// Why an event that a search did not reach was not decided, where the breaker did not open over it.
const NOT_REACHED: &str = "the search for the culprits of its batch was given up before it was reached";

/// What the dead letter of an event says that a hurried guest did not decide in time.
const HURRIED: &str = "it was hurried, for its failed calls had taken more of the lane's time than breaker.wasted allows; \
    a replay leaves it all the time of its deadline";

/// Owned by one lane.
#[derive(Debug)]
pub(super) struct Seat<W: World> {
    slot: Arc<Slot<W>>,
    caller: Caller<W>,
    /// Of the guest that `caller` calls; none where nothing is ever held against one.
    budget: Option<Budget>,
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
        let (caller, budget) = (Caller::new(slot.present()), slot.budget());
        Self { slot, caller, budget, begins: true }
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
        self.turn_to(&guest);
        let mut stint = Stint::new(guest.deadline(), all, self.budget.as_mut());
        stint.tally.begins = std::mem::take(&mut self.begins);
        let found = search(&mut self.caller, 0..all, &mut stint, &mut call);
        let tally = stint.tally;
        let instead = self.slot.report(term, &tally, Instant::now());
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
                Found::Blamed(fault) => Err(told(&fault, guest.deadline())),
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
        self.turn_to(&guest);
        // One stint for all ranges, so that together they cost no more than one batch.
        let mut stint = Stint::new(guest.deadline(), all, self.budget.as_mut());
        for range in ranges {
            for (range, found) in search(&mut self.caller, range, &mut stint, call) {
                let answer = match found {
                    Found::Answer(answer) => Ok(answer),
                    Found::Blamed(fault) => Err(told(&fault, guest.deadline())),
                    Found::GivenUp => Err(reason.clone()),
                };
                rulings.push(Ruling { range, guest: Arc::clone(guest.digest_text()), answer });
            }
        }
        let tally = stint.tally;
        if leftovers {
            // They are never held against it.
            self.budget = self.slot.budget();
        }
        self.slot.report_stand_in(&guest, &tally, leftovers, Instant::now());
    }

    /// The next calls are of `guest`.
    fn turn_to(&mut self, guest: &Arc<Guest<W>>) {
        if !Arc::ptr_eq(self.caller.guest(), guest) {
            self.caller = Caller::new(Arc::clone(guest));
            self.budget = self.slot.budget();
        }
    }
}

fn search<W: World, T>(
    caller: &mut Caller<W>,
    range: Range<usize>,
    stint: &mut Stint<'_>,
    call: &mut impl FnMut(&mut Caller<W>, Range<usize>, Duration) -> Result<T, Fault>,
) -> Parts<T, Fault> {
    let mut found = Vec::with_capacity(1);
    let mut call = |range: Range<usize>, within: Duration| call(caller, range, within);
    bisect(range, stint, &mut call, &mut found);
    found
}

/// What a dead letter says of `fault`, of a guest that has this deadline.
fn told(fault: &Fault, deadline: Duration) -> String {
    match fault {
        Fault::Deadline(within) if *within < (deadline / LEAST_SHARE).as_millis() => format!("{fault}; {HURRIED}"),
        _ => fault.to_string(),
    }
}

/// A call's deadline when it is for `part` of `all` events.
fn share(deadline: Duration, part: usize, all: usize) -> Duration {
    if part == all { deadline } else { (deadline.mul_f64(part as f64 / all as f64)).max(deadline / LEAST_SHARE) }
}

/// What one guest does to one batch, and what that costs. Time is this thread's CPU time, as in a call's deadline.
#[derive(Debug)]
struct Stint<'a> {
    deadline: Duration,
    /// Events that it has to do with.
    all: usize,
    /// What it may waste; none: a search is never given up, and nobody is hurried.
    budget: Option<&'a mut Budget>,
    /// The first fault.
    since: Option<ThreadTime>,
    /// The call that is under way: the thread's time then, and that on the wall.
    begun: Option<(ThreadTime, Instant)>,
    /// Whether that one is hurried.
    hurries: bool,
    tally: Tally,
}

impl<'a> Stint<'a> {
    fn new(deadline: Duration, all: usize, budget: Option<&'a mut Budget>) -> Self {
        Self { deadline, all, budget, since: None, begun: None, hurries: false, tally: Tally::default() }
    }
}

impl Patience<Fault> for Stint<'_> {
    fn grants(&mut self, events: usize) -> Option<Duration> {
        let mut within = share(self.deadline, events, self.all);
        if let Some(budget) = &self.budget {
            if let Some(since) = self.since.filter(|_| !self.tally.given_up) {
                let spent = since.elapsed();
                self.tally.given_up =
                    spent > self.deadline * LONGEST_SEARCH || spent > self.deadline * SEARCH && self.tally.mostly_bad();
            }
            let now = Instant::now();
            self.hurries = budget.is_overdrawn(now);
            if self.hurries {
                within = budget.hurried(events, now).map_or(within, |hurried| hurried.min(within));
            }
        }
        self.begun = Some((ThreadTime::now(), Instant::now()));
        (!self.tally.given_up).then_some(within)
    }

    fn hear(&mut self, events: usize, fault: Option<&Fault>) {
        let now = Instant::now();
        let took = self.begun.take().map(|(begun, at)| (begun.elapsed(), now.saturating_duration_since(at)));
        let (spent, waited) = took.unwrap_or_default();
        let tally = &mut self.tally;
        tally.spent += spent;
        if let Some(budget) = &mut self.budget {
            if fault.is_some() {
                budget.waste(waited, now);
                tally.overdrawn |= budget.is_overdrawn(now);
            } else {
                budget.pass(events, spent, now);
            }
        }
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

    fn parts(&self) -> usize {
        if self.hurries { HURRIED_PARTS } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const MS: Duration = Duration::from_millis(1);

    fn spin(time: Duration) {
        let begun = ThreadTime::now();
        while begun.elapsed() < time {}
    }

    /// Searches 4,096 events among which `culprit` says who is one, with calls that cost `cost` of CPU time each.
    fn searched(culprit: impl Fn(usize) -> bool, deadline: Duration, cost: Duration) -> Tally {
        let mut budget = Budget::new(&config::Breaker::default(), Instant::now());
        let mut stint = Stint::new(deadline, 4096, Some(&mut budget));
        let mut call = |range: Range<usize>, _: Duration| {
            spin(cost);
            if range.into_iter().any(&culprit) { Err(Fault::Deadline(1)) } else { Ok(()) }
        };
        bisect(0..4096, &mut stint, &mut call, &mut Vec::new());
        stint.tally
    }

    #[test]
    fn a_search_in_which_nothing_is_cleared_ends_soon() {
        let tally = searched(|_| true, 4 * MS, MS);
        // 40 calls, of which 13 reach the first event and about every second one after that blames one.
        assert!(tally.given_up && (5..40).contains(&tally.faults), "{tally:?}");
    }

    #[test]
    fn a_search_that_clears_more_than_it_blames_goes_on() {
        let tally = searched(|event| event % 500 == 3, 4 * MS, MS);
        assert!(!tally.given_up, "{tally:?}");
        assert_eq!((tally.events, tally.faults), (4096, 9));
    }

    #[test]
    fn no_search_goes_on_for_ever() {
        let tally = searched(|event| event % 3 == 0, MS, MS);
        assert!(tally.given_up && tally.faults < 100, "{tally:?}");
    }

    /// Searches `events`, every third of which spins until its time is over, with a deadline of 40 ms; the others pass at
    /// once. `wasted` is what may be of a minute.
    fn a_third_spins(events: usize, wasted: f64) -> (Tally, Parts<(), Fault>) {
        let config = config::Breaker { wasted, wasted_within: 60_000 * MS, ..config::Breaker::default() };
        let mut budget = Budget::new(&config, Instant::now());
        let mut stint = Stint::new(40 * MS, events, Some(&mut budget));
        let mut call = |range: Range<usize>, within: Duration| {
            if range.into_iter().any(|event| event % 3 == 0) {
                spin(within);
                return Err(Fault::Deadline(within.as_millis()));
            }
            Ok(())
        };
        let mut found = Vec::new();
        bisect(0..events, &mut stint, &mut call, &mut found);
        (stint.tally, found)
    }

    /// What is told of those that were blamed.
    fn reasons(found: &Parts<(), Fault>) -> Vec<String> {
        let reason = |(_, found): &(Range<usize>, Found<(), Fault>)| match found {
            Found::Blamed(fault) => Some(told(fault, 40 * MS)),
            _ => None,
        };
        found.iter().filter_map(reason).collect()
    }

    #[test]
    fn who_wastes_too_much_is_hurried_and_everybody_is_still_asked() {
        // 150 ms of a minute, in which two or three are found.
        let (tally, found) = a_third_spins(96, 0.0025);
        assert_eq!((tally.events, tally.faults, tally.given_up, tally.overdrawn), (96, 32, false, true));
        assert_eq!(found.iter().map(|(range, _)| range.len()).sum::<usize>(), 96);
        // At full length each of them alone takes 10 ms, and the way to it more than twice that.
        assert!(tally.spent < 32 * 10 * MS, "{tally:?}");
        let reasons = reasons(&found);
        let hurried = reasons.iter().filter(|reason| reason.contains("a replay leaves it all the time")).count();
        assert!(reasons.len() == 32 && (20..32).contains(&hurried), "{reasons:?}");
    }

    #[test]
    fn who_wastes_less_has_all_the_time_of_its_share() {
        let (tally, found) = a_third_spins(24, 0.5);
        assert!(!tally.overdrawn && tally.spent > 8 * 10 * MS, "{tally:?}");
        assert_eq!(reasons(&found), ["no answer within 10 ms"; 8]);
    }
}
