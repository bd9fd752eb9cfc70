use std::{collections::BTreeMap, ops::Bound};

use super::{Depth, name::Name, room::space};

/// The records on disk, in their order.
#[derive(Debug, Default)]
pub(super) struct Records {
    by_number: BTreeMap<u64, Kept>,
    events: u64,
    space: u64,
}

#[derive(Debug)]
struct Kept {
    name: Name,
    /// Nobody wants it any more, but one before it is still waited for.
    done: bool,
}

impl Records {
    /// Adds a record, unless one has its number.
    pub fn insert(&mut self, name: Name) {
        let (events, space) = (u64::from(name.events), space(name.bytes));
        self.by_number.entry(name.number).or_insert_with(|| {
            self.events += events;
            self.space += space;
            Kept { name, done: false }
        });
    }

    /// Takes a record out.
    pub fn take(&mut self, number: u64) -> Option<Name> {
        let Kept { name, .. } = self.by_number.remove(&number)?;
        self.events -= u64::from(name.events);
        self.space -= space(name.bytes);
        Some(name)
    }

    /// Notes that nobody waits for a record any more.
    pub fn finish(&mut self, number: u64) {
        if let Some(kept) = self.by_number.get_mut(&number) {
            kept.done = true;
        }
    }

    /// Takes the first record out, if nobody waits for it.
    pub fn take_finished(&mut self) -> Option<Name> {
        let (number, _) = self.by_number.first_key_value().filter(|(_, kept)| kept.done)?;
        self.take(*number)
    }

    /// The record at `number`, if it is waited for.
    pub fn awaited(&self, number: u64) -> Option<&Name> {
        self.by_number.get(&number).filter(|kept| !kept.done).map(|kept| &kept.name)
    }

    /// The first record behind `number` that is waited for.
    pub fn following(&self, number: u64) -> Option<&Name> {
        let behind = self.by_number.range((Bound::Excluded(number), Bound::Unbounded));
        behind.map(|(_, kept)| kept).find(|kept| !kept.done).map(|kept| &kept.name)
    }

    /// Lowest number.
    pub fn first(&self) -> Option<u64> {
        self.by_number.first_key_value().map(|(number, _)| *number)
    }

    /// What they come to.
    pub fn depth(&self) -> Depth {
        Depth {
            records: self.by_number.len() as u64,
            events: self.events,
            bytes: self.space,
            oldest_ms: self.by_number.first_key_value().map(|(_, kept)| kept.name.written_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::Sha256;

    use super::*;

    fn records(numbers: &[u64]) -> Records {
        let mut records = Records::default();
        for &number in numbers {
            let written_ms = number as i64 * 10;
            records.insert(Name::seal(number, written_ms, 3, 5000, Sha256::default()));
        }
        records
    }

    #[test]
    fn a_finished_record_stays_until_all_before_it_are_finished() {
        let mut records = records(&[1, 2, 3]);
        records.finish(2);
        assert_eq!(records.take_finished(), None);
        assert_eq!(records.following(1).unwrap().number, 3);
        assert_eq!(records.awaited(2), None);
        records.finish(1);
        assert_eq!(records.take_finished().unwrap().number, 1);
        assert_eq!(records.take_finished().unwrap().number, 2);
        assert_eq!(records.take_finished(), None);
        assert_eq!(records.first(), Some(3));
    }

    #[test]
    fn depth_is_of_what_is_on_disk() {
        let mut records = records(&[4, 5, 5]);
        assert_eq!(records.depth(), Depth { records: 2, events: 6, bytes: 16384, oldest_ms: Some(40) });
        records.finish(4);
        records.take(5);
        assert_eq!(records.depth(), Depth { records: 1, events: 3, bytes: 8192, oldest_ms: Some(40) });
        records.take(4);
        assert_eq!(records.depth(), Depth::default());
    }
}
