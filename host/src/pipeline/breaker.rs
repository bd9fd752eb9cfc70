//! When a guest is no longer called. A poison event costs itself and says nothing of the guest; a guest that fails on
//! most of what it is asked is the culprit itself.
//!
//! | state | the guest | ends |
//! |---|---|---|
//! | closed | decides | too many of the last events at fault, or most of those that a search got to before it was given up: open |
//! | open | is not called | after a wait, by the next batch: half-open |
//! | half-open | is tried on that one batch | it copes: closed; else open, for twice as long |
//!
//! Where somebody can stand in, it opens as well when the guest has wasted too much of a lane's time, see
//! [`Budget`](super::budget::Budget); where nobody can, such a guest is hurried instead.
//!
//! Knows no guest and no clock: [`Slot`](super::Slot) has both.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::config;

/// How a batch went, or a part of one: a stage is asked about each part that the stage before it left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// It is a batch, or the first part of one.
    pub begins: bool,
    /// Events that were decided or blamed.
    pub events: usize,
    /// Those of them that were blamed.
    pub faults: usize,
    /// The search for the culprits was given up.
    pub given_up: bool,
    /// The last fault, for a person.
    pub last: String,
    /// CPU time of the lane.
    pub spent: Duration,
    /// A call failed when more of the lane's time had been wasted than may be.
    pub overdrawn: bool,
}

impl Tally {
    /// Whether it says by itself that the guest is at fault. A search that was given up after it had cleared most of
    /// what it got to only says that the culprits were costly.
    pub(super) fn condemns(&self) -> bool {
        self.given_up && self.mostly_bad()
    }

    /// Whether more events were blamed than cleared.
    pub(super) fn mostly_bad(&self) -> bool {
        self.faults > self.events - self.faults
    }
}

/// Where a breaker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Open { until: Instant, reason: Arc<str> },
    HalfOpen { reason: Arc<str> },
}

impl State {
    /// As in `aurora_guest_breaker_state`.
    pub(super) fn number(&self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::Open { .. } => 1,
            Self::HalfOpen { .. } => 2,
        }
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    config: config::Breaker,
    window: Window,
    state: State,
    /// Grows with every change of state, so that what was found out before one is not held against the guest after it.
    term: u64,
    /// The last wait, and when it ended well.
    last: Option<(Duration, Instant)>,
}

impl Breaker {
    pub(super) fn new(config: &config::Breaker) -> Self {
        Self { config: config.clone(), window: Window::new(config.window), state: State::Closed, term: 0, last: None }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// Lets one batch try the guest, if it is time.
    pub(super) fn half_open(&mut self, now: Instant) {
        if let State::Open { until, reason } = &self.state
            && *until <= now
        {
            let reason = Arc::clone(reason);
            self.enter(State::HalfOpen { reason });
        }
    }

    /// Takes in how the guest did on a batch that it was given in `term`. `replaceable`: somebody can stand in for it.
    /// If nobody can, it has to fail on everything: with an open breaker not even the rest would be decided.
    pub(super) fn learn(&mut self, term: u64, tally: &Tally, replaceable: bool, now: Instant) {
        if term != self.term {
            return;
        }
        let ratio = if replaceable { self.config.ratio } else { 1.0 };
        // Without anybody behind it a hurried guest still decides more events than an open breaker.
        let wasteful = replaceable && tally.overdrawn;
        match self.state {
            State::Closed => {
                self.window.add(tally);
                let fails = tally.condemns() || self.window.fails(ratio);
                if fails || wasteful {
                    let reason = if fails { self.window.reason(tally) } else { wasteful_reason(&self.config, tally) };
                    // What failed again soon after its trial waits on from where it was.
                    let wait = match self.last {
                        Some((last, closed)) if now.duration_since(closed) < last => last * 2,
                        _ => self.config.wait,
                    };
                    self.open(wait, reason, now);
                }
            }
            State::HalfOpen { .. }
                if tally.condemns() || wasteful || tally.faults as f64 >= ratio * tally.events as f64 =>
            {
                let wait = self.last.map_or(self.config.wait, |(last, _)| last * 2);
                let reason = format!("its trial failed: {}", batch_reason(tally));
                self.open(wait, reason, now);
            }
            State::HalfOpen { .. } => {
                self.last = self.last.map(|(wait, _)| (wait, now));
                self.window = Window::new(self.config.window);
                self.enter(State::Closed);
            }
            State::Open { .. } => {}
        }
    }

    /// As at the start: another guest, or nobody to be compared with any more.
    pub(super) fn reset(&mut self) {
        self.window = Window::new(self.config.window);
        self.last = None;
        self.enter(State::Closed);
    }

    fn open(&mut self, wait: Duration, reason: String, now: Instant) {
        let wait = wait.min(self.config.wait_max);
        self.last = Some((wait, now));
        self.enter(State::Open { until: now + wait, reason: reason.into() });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.term += 1;
    }
}

/// The last events: whole batches, at least `size` events if there were so many.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    batches: VecDeque<(usize, usize)>,
    events: usize,
    faults: usize,
}

impl Window {
    pub(super) fn new(size: usize) -> Self {
        Self { size, batches: VecDeque::new(), events: 0, faults: 0 }
    }

    pub(super) fn add(&mut self, tally: &Tally) {
        self.batches.push_back((tally.events, tally.faults));
        self.events += tally.events;
        self.faults += tally.faults;
        while let Some(&(events, faults)) = self.batches.front()
            && self.events - events >= self.size
        {
            self.batches.pop_front();
            self.events -= events;
            self.faults -= faults;
        }
    }

    /// Whether this part of it failed. Events that never came count as good ones, so a few cannot condemn a guest.
    pub(super) fn fails(&self, ratio: f64) -> bool {
        self.faults as f64 >= ratio * self.events.max(self.size) as f64
    }

    fn reason(&self, tally: &Tally) -> String {
        if tally.condemns() {
            return batch_reason(tally);
        }
        format!("{} of the last {} events failed, the last one: {}", self.faults, self.events, tally.last)
    }
}

fn batch_reason(tally: &Tally) -> String {
    let Tally { events, faults, given_up, last, .. } = tally;
    if *given_up {
        format!(
            "the search for the culprits of a batch was given up after {faults} of {events} events, the last one: {last}"
        )
    } else {
        format!("{faults} of {events} events failed, the last one: {last}")
    }
}

fn wasteful_reason(config: &config::Breaker, tally: &Tally) -> String {
    let config::Breaker { wasted, wasted_within, .. } = config;
    format!(
        "its failed calls took more than {wasted} of the last {wasted_within:?} of a lane, the last one: {}",
        tally.last
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tally(events: usize, faults: usize) -> Tally {
        Tally { begins: true, events, faults, last: "trap".to_owned(), ..Tally::default() }
    }

    /// A breaker on a clock that only moves when told to.
    struct Bench {
        breaker: Breaker,
        now: Instant,
        replaceable: bool,
    }

    impl Bench {
        fn new() -> Self {
            Self { breaker: Breaker::new(&config::Breaker::default()), now: Instant::now(), replaceable: true }
        }

        fn batch(&mut self, events: usize, faults: usize) -> i64 {
            self.learn(&tally(events, faults))
        }

        fn learn(&mut self, tally: &Tally) -> i64 {
            self.breaker.half_open(self.now);
            self.breaker.learn(self.breaker.term(), tally, self.replaceable, self.now);
            self.breaker.state().number()
        }

        fn is_tried_after(&mut self, wait: Duration) -> bool {
            self.breaker.half_open(self.now + wait - Duration::from_millis(1));
            let early = self.breaker.state().number() == 2;
            self.now += wait;
            self.breaker.half_open(self.now);
            !early && self.breaker.state().number() == 2
        }
    }

    #[test]
    fn one_poison_event_in_a_thousand_never_opens_it() {
        for size in [1, 7, 256, 4096] {
            let mut bench = Bench::new();
            let mut event = 0;
            for batch in 0..100_000 / size {
                let faults = (event..event + size).filter(|event| event % 1000 == 0).count();
                event += size;
                assert_eq!(bench.batch(size, faults), 0, "batch {batch} of {size}");
            }
        }
    }

    #[test]
    fn a_guest_that_fails_on_everything_is_stopped_by_its_first_full_batch() {
        let mut bench = Bench::new();
        assert_eq!(bench.batch(256, 0), 0);
        assert_eq!(bench.batch(256, 256), 1);
        let State::Open { reason, .. } = bench.breaker.state() else { panic!("not open") };
        assert_eq!(&**reason, "256 of the last 256 events failed, the last one: trap");
    }

    #[test]
    fn a_few_faults_on_a_quiet_site_do_not_condemn_a_guest() {
        let mut bench = Bench::new();
        assert!((0..127).all(|_| bench.batch(1, 1) == 0));
        assert_eq!(bench.batch(1, 1), 1);
    }

    #[test]
    fn a_guest_that_nobody_can_replace_has_to_fail_on_everything() {
        let mut bench = Bench { replaceable: false, ..Bench::new() };
        assert!((0..100).all(|_| bench.batch(256, 250) == 0));
        assert_eq!(bench.batch(256, 256), 1);
        assert!(bench.is_tried_after(5 * SECOND));
        assert_eq!(bench.batch(256, 255), 0);
    }

    #[test]
    fn a_search_that_is_given_up_among_culprits_opens_it_at_once() {
        let mut bench = Bench::new();
        assert_eq!(bench.learn(&Tally { given_up: true, ..tally(14, 14) }), 1);
    }

    #[test]
    fn a_search_that_cleared_most_before_it_was_given_up_is_judged_by_the_window() {
        let mut bench = Bench::new();
        let long = |faults| Tally { given_up: true, ..tally(256, faults) };
        assert!((0..100).all(|_| bench.learn(&long(5)) == 0));
        // Exactly the ratio, and no more bad ones than good ones.
        assert_eq!(bench.learn(&long(128)), 1);
        assert!(bench.is_tried_after(5 * SECOND));
        assert_eq!(bench.learn(&long(5)), 0);
    }

    #[test]
    fn who_wastes_a_lanes_time_is_stopped_if_somebody_stands_in_and_else_only_hurried() {
        let wasteful = || Tally { overdrawn: true, ..tally(256, 20) };
        let mut bench = Bench::new();
        assert_eq!(bench.learn(&tally(256, 20)), 0);
        assert_eq!(bench.learn(&wasteful()), 1);
        let State::Open { reason, .. } = bench.breaker.state() else { panic!("not open") };
        assert_eq!(&**reason, "its failed calls took more than 0.2 of the last 10s of a lane, the last one: trap");
        assert!(bench.is_tried_after(5 * SECOND));
        assert_eq!(bench.learn(&wasteful()), 1, "its trial was no better");

        let mut alone = Bench { replaceable: false, ..Bench::new() };
        assert!((0..100).all(|_| alone.learn(&wasteful()) == 0));
    }

    #[test]
    fn the_wait_doubles_with_each_failed_trial_up_to_its_ceiling() {
        let mut bench = Bench::new();
        assert_eq!(bench.batch(256, 256), 1);
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert!(bench.is_tried_after(seconds * SECOND), "not tried after {seconds} s");
            assert_eq!(bench.batch(256, 256), 1);
        }
    }

    #[test]
    fn what_fails_again_soon_after_its_trial_waits_on_from_where_it_was() {
        let mut bench = Bench::new();
        bench.batch(256, 256);
        assert!(bench.is_tried_after(5 * SECOND));
        assert_eq!(bench.batch(1, 0), 0);
        bench.now += SECOND;
        assert_eq!(bench.batch(256, 256), 1);
        assert!(bench.is_tried_after(10 * SECOND));
        assert_eq!(bench.batch(1, 0), 0);
        bench.now += 11 * SECOND;
        assert_eq!(bench.batch(256, 256), 1);
        assert!(bench.is_tried_after(5 * SECOND));
    }

    #[test]
    fn a_poison_event_in_the_trial_does_not_fail_it() {
        let mut bench = Bench::new();
        bench.batch(256, 256);
        assert!(bench.is_tried_after(5 * SECOND));
        assert_eq!(bench.batch(256, 3), 0);
    }

    #[test]
    fn what_comes_late_is_not_held_against_the_guest() {
        let mut bench = Bench::new();
        let before = bench.breaker.term();
        bench.batch(256, 256);
        assert!(bench.is_tried_after(5 * SECOND));
        bench.breaker.learn(before, &tally(256, 256), true, bench.now);
        assert_eq!(bench.breaker.state().number(), 2, "a batch of another lane decided the trial");
        bench.batch(256, 0);
        bench.breaker.learn(before, &tally(4096, 4096), true, bench.now);
        assert_eq!(bench.breaker.state().number(), 0);
    }
}
