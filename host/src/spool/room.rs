//! How much disk the records may take.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What file systems give out space in. A small record takes a block all the same, so blocks are counted.
const BLOCK: u64 = 4096;

/// Disk space of a record of `bytes`.
pub(super) fn space(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK)
}

/// Space that is left to records. It is taken before a record is written, so that several that are written at once keep
/// the limit together.
#[derive(Debug)]
pub(super) struct Room {
    max: u64,
    taken: AtomicU64,
}

impl Room {
    /// `taken` may be more than `max`, if the limit was lowered: then nothing is taken until records have gone.
    pub fn new(max: u64, taken: u64) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicU64::new(taken) })
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// Takes space for a record that is to be written, if there is any.
    pub fn take(self: &Arc<Self>, space: u64) -> Option<Taken> {
        let add = |taken: u64| taken.checked_add(space).filter(|sum| *sum <= self.max);
        self.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Taken { room: Arc::clone(self), space })
    }

    /// Gives back the space of a record that has gone.
    pub fn give_back(&self, space: u64) {
        self.taken.fetch_sub(space, Ordering::Relaxed);
    }
}

/// Space of a record that is being written. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Room>,
    space: u64,
}

impl Taken {
    /// The record is there, so its space stays taken until it goes.
    pub fn keep(mut self) {
        self.space = 0;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.give_back(self.space);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_blocks() {
        assert_eq!([0, 1, 4096, 4097].map(space), [4096, 4096, 4096, 8192]);
    }

    #[test]
    fn what_is_not_kept_is_given_back() {
        let room = Room::new(10, 0);
        let first = room.take(6).unwrap();
        assert!(room.take(5).is_none());
        drop(first);
        room.take(10).unwrap().keep();
        assert!(room.take(1).is_none());
        room.give_back(10);
        assert!(room.take(10).is_some());
    }

    #[test]
    fn more_than_the_limit_lets_nothing_in_until_it_is_below() {
        let room = Room::new(10, 15);
        assert!(room.take(1).is_none());
        room.give_back(6);
        assert!(room.take(1).is_some());
    }
}
