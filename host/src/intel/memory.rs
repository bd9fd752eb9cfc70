//! What a lane remembers of answers for a moment: the same addresses come again and again, and most of them are nobody's
//! indicator.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Known, indicator::ID};

/// What was found is believed for half of this at least, and for all of it at most. What another host of the site records
/// is seen after that.
const FRESH: Duration = Duration::from_millis(400);

/// Answers of each half.
const MOST: usize = 8192;

type Answers = HashMap<[u8; ID], Option<Arc<Known>>>;

/// Two halves, of which the older one goes as a whole.
#[derive(Debug)]
pub(super) struct Memory {
    young: Answers,
    old: Answers,
    since: Instant,
    /// As of which change of the table.
    changes: u64,
}

impl Memory {
    pub fn new(now: Instant) -> Self {
        Self { young: Answers::new(), old: Answers::new(), since: now, changes: 0 }
    }

    /// Forgets what is no longer to be believed at `now`, after so many `changes` of the table by this host.
    pub fn refresh(&mut self, now: Instant, changes: u64) {
        let passed = now.saturating_duration_since(self.since);
        if changes != self.changes || passed >= FRESH {
            self.young.clear();
            self.old.clear();
            (self.changes, self.since) = (changes, now);
        } else if passed >= FRESH / 2 || self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
    }

    /// The answer of a moment ago; none if there was none.
    pub fn get(&self, id: &[u8; ID]) -> Option<&Option<Arc<Known>>> {
        self.young.get(id).or_else(|| self.old.get(id))
    }

    /// Remembers an answer.
    pub fn put(&mut self, id: [u8; ID], answer: Option<Arc<Known>>) {
        self.young.insert(id, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_believed_for_a_moment_and_not_across_a_change() {
        let start = Instant::now();
        let later = |ms| start + Duration::from_millis(ms);
        let mut memory = Memory::new(start);
        memory.put([1; ID], None);
        memory.refresh(later(199), 0);
        memory.put([2; ID], None);
        memory.refresh(later(200), 0);
        assert!(memory.get(&[1; ID]).is_some() && memory.get(&[2; ID]).is_some() && memory.get(&[3; ID]).is_none());
        memory.refresh(later(400), 0);
        assert!(memory.get(&[1; ID]).is_none() && memory.get(&[2; ID]).is_none());
        memory.put([1; ID], None);
        memory.refresh(later(401), 1);
        assert!(memory.get(&[1; ID]).is_none());
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let now = Instant::now();
        let mut memory = Memory::new(now);
        for number in 0..5 * MOST {
            let mut id = [0; ID];
            id[..8].copy_from_slice(&number.to_le_bytes());
            memory.put(id, None);
            memory.refresh(now, 0);
        }
        assert!(memory.young.len() + memory.old.len() <= 2 * MOST);
    }
}
