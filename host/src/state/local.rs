//! Tables in memory, by the rules of `broker/redis_streams/state.lua`. A test holds the two against each other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Away, Change, Found, Shelf, Usage, Value, Written};
use crate::{config::StateLimits, telemetry::SlotName};

/// Tables that end with the process.
#[derive(Debug)]
pub struct Local {
    tables: Mutex<HashMap<SlotName, Entries>>,
    clock: Clock,
}

type Entries = BTreeMap<String, (u64, Value)>;

#[derive(Debug)]
enum Clock {
    Running(Instant),
    Set(AtomicU64),
}

impl Default for Local {
    fn default() -> Self {
        Self { tables: Mutex::default(), clock: Clock::Running(Instant::now()) }
    }
}

impl Local {
    /// One for which no time passes but by [`advance`](Self::advance): the same question has the same answer.
    #[must_use]
    pub fn at_rest() -> Self {
        Self { tables: Mutex::default(), clock: Clock::Set(AtomicU64::new(0)) }
    }

    /// Lets time pass for one that is at rest.
    pub fn advance(&self, by: Duration) {
        if let Clock::Set(now) = &self.clock {
            now.fetch_add(millis(by), Ordering::Relaxed);
        }
    }

    /// Puts `value` into the table of `slot`, for as long as there may be anything.
    pub fn set(&self, slot: &SlotName, key: &str, value: Value) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.entry(slot.clone()).or_default().insert(key.to_owned(), (u64::MAX, value));
    }

    fn now(&self) -> u64 {
        match &self.clock {
            Clock::Running(since) => millis(since.elapsed()),
            Clock::Set(now) => now.load(Ordering::Relaxed),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn usage(entries: &Entries) -> Usage {
    let bytes = entries.iter().map(|(key, (_, value))| (key.len() + value.size()) as u64).sum();
    Usage { keys: entries.len() as u64, bytes }
}

impl Shelf for Local {
    fn read(&self, slot: &SlotName, keys: &[&str], _: Duration) -> Result<Found, Away> {
        let (now, tables) = (self.now(), self.tables.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(entries) = tables.get(slot) else {
            return Ok(Found { values: vec![None; keys.len()], usage: Usage::default() });
        };
        let value = |key: &&str| entries.get(*key).filter(|(ends, _)| *ends > now).map(|(_, value)| value.clone());
        Ok(Found { values: keys.iter().map(value).collect(), usage: usage(entries) })
    }

    fn write(
        &self,
        slot: &SlotName,
        limits: &StateLimits,
        changes: &[(&str, Change)],
        _: Duration,
    ) -> Result<Written, Away> {
        let (now, mut tables) = (self.now(), self.tables.lock().unwrap_or_else(PoisonError::into_inner));
        let entries = tables.entry(slot.clone()).or_default();
        entries.retain(|_, (ends, _)| *ends > now);
        let mut table = Table { usage: usage(entries), entries, limits, refused: 0 };
        for (key, change) in changes {
            match change {
                Change::Delete => table.delete(key),
                Change::Put { value, ttl } => table.put(key, now + millis(*ttl), Value::Bytes(value.clone())),
                Change::Add { ttl, steps } => {
                    let before = table.entries.get(*key).cloned();
                    let ends = before.as_ref().map_or(now + millis(*ttl), |(ends, _)| *ends);
                    let Some(mut counter) = Value::to_counter(before.map(|(_, value)| value)) else {
                        table.refused += 1;
                        continue;
                    };
                    for (mark, by) in steps {
                        if mark.and_then(|mark| counter.count_of(mark)).is_none() {
                            counter.add(*mark, *by);
                        }
                    }
                    counter.trim();
                    table.put(key, ends, counter);
                }
            }
        }
        Ok(Written { usage: table.usage, refused: table.refused })
    }
}

struct Table<'a> {
    entries: &'a mut Entries,
    usage: Usage,
    limits: &'a StateLimits,
    refused: u64,
}

impl Table<'_> {
    fn delete(&mut self, key: &str) {
        if let Some((_, value)) = self.entries.remove(key) {
            self.usage.keys -= 1;
            self.usage.bytes -= (key.len() + value.size()) as u64;
        }
    }

    fn put(&mut self, key: &str, ends: u64, value: Value) {
        let before = self.entries.get(key).map(|(_, value)| key.len() + value.size());
        let (before, is_new) = (before.unwrap_or(0) as u64, before.is_none());
        let after = (key.len() + value.size()) as u64;
        let bytes = self.usage.bytes - before + after;
        if is_new && self.usage.keys >= self.limits.keys || after > before && bytes > self.limits.bytes.as_u64() {
            self.refused += 1;
            return;
        }
        self.usage = Usage { keys: self.usage.keys + u64::from(is_new), bytes };
        self.entries.insert(key.to_owned(), (ends, value));
    }
}
