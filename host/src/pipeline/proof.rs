use super::breaker::Tally;

/// Whether a guest has proved itself: this many batches of which at most one event in a hundred was at fault.
#[derive(Debug, Default)]
pub(super) struct Proof {
    batches: u32,
    events: usize,
    faults: usize,
}

impl Proof {
    /// Takes in a batch or a part of one, and says whether that completes the proof. Too many faults, and it begins anew.
    pub(super) fn add(&mut self, tally: &Tally, needed: u32) -> bool {
        self.batches += u32::from(tally.begins);
        self.events += tally.events;
        self.faults += tally.faults;
        let complete = self.batches >= needed;
        let proven = complete && !tally.given_up && self.faults <= self.events / 100;
        if complete || tally.given_up {
            *self = Self::default();
        }
        proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(events: usize, faults: usize) -> Tally {
        Tally { begins: true, events, faults, ..Tally::default() }
    }

    #[test]
    fn parts_of_a_batch_prove_no_more_than_the_batch() {
        let mut proof = Proof::default();
        let part = || Tally { begins: false, ..tally(100, 0) };
        for _ in 0..9 {
            assert!(!proof.add(&tally(100, 0), 10));
            assert!((0..20).all(|_| !proof.add(&part(), 10)));
        }
        assert!(proof.add(&tally(100, 0), 10));
    }

    #[test]
    fn a_proof_bears_one_fault_in_a_hundred_and_no_more() {
        let mut proof = Proof::default();
        assert!((0..9).all(|_| !proof.add(&tally(100, 1), 10)));
        assert!(proof.add(&tally(100, 1), 10));
        assert!((0..10).all(|batch| !proof.add(&tally(100, if batch == 0 { 11 } else { 0 }), 10)));
        assert!((0..10).map(|_| proof.add(&tally(1, 0), 10)).eq([false; 9].into_iter().chain([true])));
    }
}
