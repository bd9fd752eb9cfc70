//! What a guest costs. A batch of one event costs many times as much an event as one of 256, for its instance is made
//! for the batch, and how large batches are depends on the hour. So guests are compared by batches of the same size.

use std::time::Duration;

use super::breaker::Tally;

/// Batches of 1, 2 to 3, 4 to 7, … and of 4,096 events and more.
const SIZES: usize = 13;

/// Events that are too few to know what a batch of a size costs.
const FEW: u64 = 64;

/// CPU time by size of batch, and faults.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    sizes: [Cost; SIZES],
    faults: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    events: u64,
    spent: Duration,
}

impl Pace {
    pub(super) fn add(&mut self, tally: &Tally) {
        let size = (tally.events.max(1).ilog2() as usize).min(SIZES - 1);
        self.sizes[size].events += tally.events as u64;
        self.sizes[size].spent += tally.spent;
        self.faults += tally.faults as u64;
    }

    /// Events that were decided or blamed.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.sizes.iter().map(|cost| cost.events).sum()
    }

    /// Those that were blamed.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// CPU time for an event, on average.
    #[must_use]
    pub fn an_event(&self) -> Duration {
        let spent: Duration = self.sizes.iter().map(|cost| cost.spent).sum();
        spent.div_f64(self.events().max(1) as f64)
    }

    /// How many times the time of `other` this one takes, where both are known, if enough is.
    pub(super) fn times(&self, other: &Self) -> Option<f64> {
        let known = self.sizes.iter().zip(&other.sizes).filter(|(_, theirs)| theirs.events >= FEW);
        let (mut events, mut spent, mut expected) = (0, 0.0, 0.0);
        for (ours, theirs) in known {
            events += ours.events;
            spent += ours.spent.as_secs_f64();
            expected += theirs.spent.as_secs_f64() / theirs.events as f64 * ours.events as f64;
        }
        (events >= 4 * FEW && expected > 0.0).then(|| spent / expected)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `batches` of `events` that took `micros` each.
    pub fn pace(batches: usize, events: usize, micros: u64) -> Pace {
        let mut pace = Pace::default();
        let tally = Tally { events, spent: Duration::from_micros(micros), ..Tally::default() };
        (0..batches).for_each(|_| pace.add(&tally));
        pace
    }

    #[test]
    fn compares_batches_of_the_same_size_only() {
        let mut before = pace(1000, 256, 256);
        let after = pace(500, 1, 30);
        assert_eq!(after.times(&before), None, "an event in a small batch was held against those of large ones");
        for _ in 0..100 {
            before.add(&Tally { events: 1, spent: Duration::from_micros(15), ..Tally::default() });
        }
        let times = after.times(&before).expect("known");
        assert!((1.99..2.01).contains(&times), "{times}");
    }

    #[test]
    fn knows_nothing_by_a_few_events() {
        assert_eq!(pace(1, 200, 9000).times(&pace(1000, 200, 1)), None);
        assert_eq!(pace(1000, 200, 9000).times(&pace(1, 32, 1)), None);
    }
}
