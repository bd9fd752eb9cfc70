//! A guest that has just taken another one's place. The breaker knows whether it fails so badly that it must not be
//! called; here it is held to more than that, for the one before is still at hand: a few faults too many, or too much
//! time, and that one is back with the next batch.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::pace::Pace;
use crate::{
    config,
    sandbox::{Guest, World},
    telemetry::Stage,
};

/// What became of a guest on probation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is over, and nothing was wrong.
    Stayed,
    /// The one before is back.
    Fell {
        /// Why.
        reason: String,
    },
    /// It did what others are taken back for, but its stage's guests are not.
    Spared {
        /// What.
        reason: String,
    },
}

/// Under what terms a guest takes its place.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What it may do.
    pub budget: config::Probation,
    /// Hears, once, of the guest with this digest how it went.
    pub told: mpsc::Sender<(Arc<str>, Fate)>,
}

impl Terms {
    /// Whether a guest of `stage` is taken back at all.
    fn rolls_back(&self, stage: Stage) -> bool {
        self.budget.roll_back.unwrap_or(!matches!(stage, Stage::Federate | Stage::Inbound))
    }
}

/// The probation of the present guest of a slot.
#[derive(Debug)]
pub(super) struct Probation<W: World> {
    terms: Terms,
    /// Takes its place again.
    pub before: Arc<Guest<W>>,
    /// Whether that one had proved itself.
    pub proven: bool,
    pace: Pace,
    until: Instant,
}

/// What a batch means for a guest on probation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing yet.
    Goes,
    /// It is over.
    Ends(Fate),
}

impl<W: World> Probation<W> {
    /// Begins now. None where there is none.
    pub(super) fn begin(terms: Terms, before: Arc<Guest<W>>, proven: bool, pace: Pace, now: Instant) -> Option<Self> {
        let until = now + terms.budget.time;
        (terms.budget.events > 0).then_some(Self { terms, before, proven, pace, until })
    }

    /// What `pace`, all that the guest has done so far, means; `last` is the last fault. `tripped`: its breaker has
    /// opened, and why; `window`: as many events as the breaker looks back at.
    pub(super) fn judge(&self, pace: &Pace, last: &str, window: usize, tripped: Option<&str>, now: Instant) -> Finding {
        let budget = &self.terms.budget;
        let reason = tripped.map(str::to_owned).or_else(|| beyond(budget, pace, last, &self.pace, window));
        Finding::Ends(match reason {
            Some(reason) if self.terms.rolls_back(W::STAGE) => Fate::Fell { reason },
            Some(reason) => Fate::Spared { reason },
            None if pace.events() >= budget.events || now >= self.until => Fate::Stayed,
            None => return Finding::Goes,
        })
    }

    /// Tells how it went.
    pub(super) fn tell(&self, digest: &Arc<str>, fate: Fate) {
        // Full only if whoever put the guest there hangs; the slot has done what was to be done.
        if self.terms.told.try_send((Arc::clone(digest), fate)).is_err() {
            tracing::warn!(stage = %W::STAGE, guest = &**digest, "nobody hears how a guest's probation went");
        }
    }
}

/// What of the budget was exceeded.
fn beyond(budget: &config::Probation, pace: &Pace, last: &str, before: &Pace, window: usize) -> Option<String> {
    let (events, faults) = (pace.events(), pace.faults());
    if faults as f64 > budget.faults * (events.max(window as u64)) as f64 {
        let most = budget.faults;
        return Some(format!("{faults} of its {events} events failed, more than {most} of them; the last one: {last}"));
    }
    let times = pace.times(before).filter(|times| *times > budget.slower)?;
    let (ours, theirs) = (pace.an_event(), before.an_event());
    Some(format!(
        "it takes {times:.1} times as long as the guest before it, more than {}: {ours:?} an event, that one {theirs:?}",
        budget.slower
    ))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{breaker::Tally, pace::tests::pace},
        *,
    };

    fn found(pace: &Pace, before: &Pace) -> Option<String> {
        beyond(&config::Probation::default(), pace, "trap", before, 256)
    }

    #[test]
    fn bears_a_poison_event_and_not_one_in_fifty() {
        let before = pace(100, 100, 100);
        let mut ours = pace(1, 10, 10);
        ours.add(&Tally { events: 1, faults: 1, ..Tally::default() });
        assert_eq!(found(&ours, &before), None);
        for _ in 0..20 {
            ours.add(&Tally { events: 50, faults: 1, ..Tally::default() });
        }
        assert!(found(&ours, &before).expect("beyond it").contains("21 of its 1011 events failed"));
    }

    #[test]
    fn bears_three_times_the_time_and_not_five_times() {
        let before = pace(100, 100, 100);
        assert_eq!(found(&pace(10, 100, 300), &before), None);
        let reason = found(&pace(10, 100, 500), &before).expect("beyond it");
        assert!(reason.starts_with("it takes 5.0 times as long"), "{reason}");
        assert_eq!(found(&pace(10, 100, 500), &Pace::default()), None, "nothing is known of the one before");
    }
}
