use std::ops::Range;

use super::{Batch, Run, Subject, subject::Surroundings};
use crate::sandbox::Fault;

/// The fewest events of a batch that a guest fails on.
#[derive(Debug)]
pub struct Culprit {
    /// Which of the batch; more than one only where it takes them together.
    pub range: Range<usize>,
    /// What happens.
    pub fault: Fault,
    /// After a trap: the guest's functions, innermost first.
    pub functions: Vec<String>,
    /// What the guest said before.
    pub log: Vec<String>,
}

impl Subject {
    /// The culprits of `batch`, which gave `run`; none where it has outcomes. Halves are tried as the daemon does it.
    #[must_use]
    pub fn culprits(&self, batch: &Batch, run: Run, around: &Surroundings) -> Vec<Culprit> {
        let mut found = Vec::new();
        self.search(batch, 0..batch.len(), run, around, &mut found);
        found
    }

    fn search(&self, batch: &Batch, range: Range<usize>, run: Run, around: &Surroundings, found: &mut Vec<Culprit>) {
        let Err(fault) = run.outcomes else { return };
        let before = found.len();
        if range.len() > 1 {
            let middle = range.start + range.len() / 2;
            for half in [range.start..middle, middle..range.end] {
                let run = self.run(&batch.slice(half.clone()), around);
                self.search(batch, half, run, around, found);
                if found.len() >= ENOUGH {
                    return;
                }
            }
        }
        if found.len() == before {
            found.push(Culprit { range, fault, functions: run.functions, log: run.log });
        }
    }
}

/// A guest that fails on everything is not asked about each event of a large batch.
const ENOUGH: usize = 5;
