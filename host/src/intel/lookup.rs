//! Where guests look observables up that are granted `lookup`.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{Indicator, Known, Table, indicator::ID, memory::Memory};

/// Most indicators that a call may ask for.
pub const LOOKUPS: usize = 4096;

/// Answers guests.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// What is known of each of `indicators`; none if nobody can say.
    fn look_up(&self, indicators: &[Indicator]) -> Option<Vec<Option<Arc<Known>>>>;
}

/// Of a site that looks out for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

/// What is told in a trial.
#[derive(Debug, Default)]
pub struct Told(HashMap<[u8; ID], Arc<Known>>);

/// The table of a site, with what it answered a moment ago. Shared by the lanes.
#[derive(Debug)]
pub struct Remembered {
    table: Table,
    memory: Mutex<Memory>,
}

impl Lookup for Nowhere {
    fn look_up(&self, _: &[Indicator]) -> Option<Vec<Option<Arc<Known>>>> {
        None
    }
}

impl FromIterator<Known> for Told {
    fn from_iter<I: IntoIterator<Item = Known>>(all: I) -> Self {
        Self(all.into_iter().map(|known| (known.indicator.id(), Arc::new(known))).collect())
    }
}

impl Lookup for Told {
    fn look_up(&self, indicators: &[Indicator]) -> Option<Vec<Option<Arc<Known>>>> {
        Some(indicators.iter().map(|indicator| self.0.get(&indicator.id()).cloned()).collect())
    }
}

impl Remembered {
    /// Asks `table`.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { table, memory: Mutex::new(Memory::new(Instant::now())) }
    }
}

impl Lookup for Remembered {
    fn look_up(&self, indicators: &[Indicator]) -> Option<Vec<Option<Arc<Known>>>> {
        let metrics = self.table.metrics();
        metrics.lookups.inc_by(indicators.len() as u64);
        if self.table.is_empty() {
            return Some(vec![None; indicators.len()]);
        }
        let ids: Vec<[u8; ID]> = indicators.iter().map(Indicator::id).collect();
        let mut answers: HashMap<[u8; ID], Option<Arc<Known>>> = HashMap::new();
        {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.refresh(Instant::now(), self.table.changes());
            answers.extend(ids.iter().filter_map(|id| Some((*id, memory.get(id)?.clone()))));
        }
        let missing: BTreeSet<[u8; ID]> = ids.iter().filter(|id| !answers.contains_key(*id)).copied().collect();
        if !missing.is_empty() {
            let asked: Vec<&[u8]> = missing.iter().map(|id| &id[..]).collect();
            metrics.questions.inc();
            // Not under the lock: another lane may have its answer at hand.
            let Some(found) = self.table.look_up_now(&asked) else {
                metrics.failed("guest-look-up");
                return None;
            };
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, known) in missing.into_iter().zip(found) {
                let known = known.map(Arc::new);
                memory.put(id, known.clone());
                answers.insert(id, known);
            }
        }
        // As for the matcher: what is there may be older than the list that has it now.
        let answer = |(indicator, id): (&Indicator, &[u8; ID])| {
            answers.get(id).cloned().flatten().filter(|_| !self.table.keeps(indicator))
        };
        Some(indicators.iter().zip(&ids).map(answer).collect())
    }
}
