//! A clock that stands still at the batch's time, and moves only when the guest sleeps: the sleep itself takes no time.
//! So a guest cannot hold up its lane with it, and a replay sees the same hours.

use std::collections::BTreeMap;

use wasmtime::{bail, component::Resource, ensure};
use wasmtime_wasi::p2::bindings::{
    clocks::{monotonic_clock, wall_clock},
    sync::io::poll,
};

use super::super::import::State;

/// Most timers at a time.
const TIMERS: usize = 1024;

/// Name of what is always ready: a stream.
const READY: u32 = 0;

#[derive(Debug)]
pub(super) struct Clock {
    /// The batch's time, nanoseconds since 1970.
    batch: u64,
    /// What it had slept when the batch began, and until now.
    before: u64,
    slept: u64,
    /// When each timer is due, by what has been slept.
    timers: BTreeMap<u32, u64>,
    last: u32,
}

impl Clock {
    pub(super) fn new(now: i64) -> Self {
        Self { batch: nanoseconds(now), before: 0, slept: 0, timers: BTreeMap::new(), last: READY }
    }

    pub(super) fn begin(&mut self, now: i64) {
        (self.batch, self.before) = (nanoseconds(now), self.slept);
    }

    fn timer(&mut self, due: u64) -> wasmtime::Result<u32> {
        ensure!(self.timers.len() < TIMERS, "it has set {TIMERS} timers at once");
        // Names that are still in use are skipped; there are far fewer of them than names.
        loop {
            self.last = self.last.wrapping_add(1).max(READY + 1);
            if let std::collections::btree_map::Entry::Vacant(free) = self.timers.entry(self.last) {
                free.insert(due);
                return Ok(self.last);
            }
        }
    }

    fn due(&self, timer: u32) -> wasmtime::Result<u64> {
        match self.timers.get(&timer) {
            _ if timer == READY => Ok(0),
            Some(due) => Ok(*due),
            None => bail!("it asked for a timer that is not set"),
        }
    }
}

/// The end of time, in 2262: programs count nanoseconds since 1970 in 64 bits with a sign.
const END: u64 = i64::MAX as u64;

/// Whatever lies before 1970 is 1970.
fn nanoseconds(milliseconds: i64) -> u64 {
    u64::try_from(milliseconds).unwrap_or_default().saturating_mul(1_000_000).min(END)
}

/// What is ready at once.
pub(super) fn ready() -> Resource<poll::Pollable> {
    Resource::new_own(READY)
}

const SECOND: u64 = 1_000_000_000;

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let clock = &self.wasi().clock;
        let now = clock.batch.saturating_add(clock.slept - clock.before).min(END);
        let nanoseconds = u32::try_from(now % SECOND)?;
        Ok(wall_clock::Datetime { seconds: now / SECOND, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi().clock.slept)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<poll::Pollable>> {
        Ok(Resource::new_own(self.wasi().clock.timer(when)?))
    }

    fn subscribe_duration(&mut self, length: u64) -> wasmtime::Result<Resource<poll::Pollable>> {
        let clock = &mut self.wasi().clock;
        Ok(Resource::new_own(clock.timer(clock.slept.saturating_add(length))?))
    }
}

impl poll::Host for State {
    fn poll(&mut self, wanted: Vec<Resource<poll::Pollable>>) -> wasmtime::Result<Vec<u32>> {
        let clock = &mut self.wasi().clock;
        let due = wanted.iter().map(|one| clock.due(one.rep())).collect::<wasmtime::Result<Vec<_>>>()?;
        let Some(first) = due.iter().min() else { bail!("it waits for nothing") };
        clock.slept = clock.slept.max(*first);
        let slept = clock.slept;
        (0..).zip(due).filter(|(_, due)| *due <= slept).map(|(index, _)| Ok(index)).collect()
    }
}

impl poll::HostPollable for State {
    fn ready(&mut self, one: Resource<poll::Pollable>) -> wasmtime::Result<bool> {
        let clock = &self.wasi().clock;
        Ok(clock.due(one.rep())? <= clock.slept)
    }

    fn block(&mut self, one: Resource<poll::Pollable>) -> wasmtime::Result<()> {
        let clock = &mut self.wasi().clock;
        clock.slept = clock.slept.max(clock.due(one.rep())?);
        Ok(())
    }

    fn drop(&mut self, one: Resource<poll::Pollable>) -> wasmtime::Result<()> {
        self.wasi().clock.timers.remove(&one.rep());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_timer_is_free_again_when_it_is_dropped_and_never_that_of_a_stream() {
        let mut clock = Clock::new(0);
        clock.last = u32::MAX - 1;
        let names: Vec<_> = (0..3).map(|due| clock.timer(due).unwrap()).collect();
        assert_eq!(names, [u32::MAX, 1, 2]);
        assert!((3..TIMERS).all(|_| clock.timer(0).is_ok()));
        assert!(clock.timer(0).is_err());
        clock.timers.remove(&1);
        assert!(clock.timer(0).is_ok());
        assert!(clock.due(u32::MAX - 2).is_err());
    }

    #[test]
    fn a_batch_from_before_1970_or_after_2262_is_at_an_end_of_time() {
        assert_eq!(Clock::new(i64::MIN).batch, 0);
        assert_eq!(Clock::new(i64::MAX).batch, END);
    }
}
