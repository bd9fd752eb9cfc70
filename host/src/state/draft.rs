use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Away, Change, Found, Increment, KEY, KEYS_A_CALL, MOST, Mark, Refusal, Shelf, Usage, VALUE, Value, value::HEAD,
};
use crate::{
    config::StateLimits,
    telemetry::{SlotName, StateMetrics},
};

/// The table of one place, and how it may be used.
#[derive(Clone, Debug)]
pub struct Table {
    /// Where it is kept.
    pub shelf: Arc<dyn Shelf>,
    /// Whose it is.
    pub slot: SlotName,
    /// How much it may hold.
    pub limits: StateLimits,
    /// What is counted of it.
    pub metrics: StateMetrics,
}

/// What one call of a guest has read and would write.
#[derive(Debug)]
pub struct Draft {
    table: Table,
    /// Of the events of the call.
    marks: Vec<Mark>,
    entries: HashMap<String, Entry>,
    /// How full the table was when it was last read.
    usage: Option<Usage>,
    /// What the call adds to that, as far as it knows.
    more_keys: i64,
    more_bytes: i64,
    /// Bytes put under keys that it has not read.
    blindly: i64,
    waited: Duration,
    /// It did not answer once, so it is not asked again.
    away: bool,
}

/// What the call knows of a key.
#[derive(Debug, Default)]
struct Entry {
    /// As it is for the call; unknown for a key that was neither read nor written.
    value: Option<Option<Value>>,
    /// What is to be written: one of each sort at the most, an addition last.
    changes: Vec<Change>,
}

/// Most bytes of values in one answer.
const ANSWER: usize = 16 << 20;

impl Draft {
    /// Of a call about events that have these marks.
    #[must_use]
    pub fn new(table: &Table, marks: Vec<Mark>) -> Self {
        Self {
            table: table.clone(),
            marks,
            entries: HashMap::new(),
            usage: None,
            more_keys: 0,
            more_bytes: 0,
            blindly: 0,
            waited: Duration::ZERO,
            away: false,
        }
    }

    /// The values of `keys`, as guests read them.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Refusal> {
        let answer = self.read(keys.iter().map(String::as_str)).and_then(|()| {
            let value = |key: &String| self.value(key).map(Value::text);
            let mut bytes = 0;
            let values = keys.iter().map(value).map(|value| {
                bytes += value.as_ref().map_or(0, Vec::len);
                if bytes > ANSWER { Err(too_much()) } else { Ok(value) }
            });
            values.collect()
        });
        self.count("get", keys.len(), answer)
    }

    /// Puts all of `entries`, or none. Each is its key, its value and until when, seconds.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn put(&mut self, entries: Vec<(String, Vec<u8>, u32)>) -> Result<(), Refusal> {
        let count = entries.len();
        let answer = self.put_all(entries);
        self.count("put", count, answer)
    }

    fn put_all(&mut self, entries: Vec<(String, Vec<u8>, u32)>) -> Result<(), Refusal> {
        self.speak_of(entries.iter().map(|(key, ..)| key.as_str()))?;
        if self.away || self.table.shelf.is_away() {
            return Err(Refusal::Unavailable);
        }
        let (mut keys, mut bytes, mut blindly) = (0, 0, 0);
        for (key, value, _) in &entries {
            if value.len() > VALUE {
                return Err(Refusal::Invalid(format!("a value has {} bytes, more than {VALUE}", value.len())));
            }
            let (is_new, before) = self.size(key);
            let after = size(key, HEAD + value.len());
            keys += i64::from(is_new);
            bytes += after - before.unwrap_or(after);
            blindly += if before.is_none() { after } else { 0 };
        }
        // What it would replace is not known. But all of it together must fit, whatever there is.
        let most = i64::try_from(self.table.limits.bytes.as_u64()).unwrap_or(i64::MAX);
        if self.blindly + blindly > most {
            return Err(Refusal::OverQuota);
        }
        self.take_room(keys, bytes)?;
        self.blindly += blindly;
        for (key, value, ttl) in entries {
            let ttl = self.ttl(ttl);
            self.enter(key, Some(Value::Bytes(value.clone())), vec![Change::Put { value, ttl }]);
        }
        Ok(())
    }

    /// Deletes `keys`.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn delete(&mut self, keys: Vec<String>) -> Result<(), Refusal> {
        let count = keys.len();
        let answer = self.speak_of(keys.iter().map(String::as_str)).and_then(|()| {
            match self.away || self.table.shelf.is_away() {
                true => Err(Refusal::Unavailable),
                false => {
                    keys.into_iter().for_each(|key| self.enter(key, None, vec![Change::Delete]));
                    Ok(())
                }
            }
        });
        self.count("delete", count, answer)
    }

    /// Makes all of `increments`, or none, and gives the count after each.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn increment(&mut self, increments: Vec<Increment>) -> Result<Vec<i64>, Refusal> {
        let count = increments.len();
        let answer = self.increment_all(increments);
        self.count("increment", count, answer)
    }

    fn increment_all(&mut self, increments: Vec<Increment>) -> Result<Vec<i64>, Refusal> {
        let mut marks = Vec::with_capacity(increments.len());
        for Increment { event, .. } in &increments {
            let mark = event.map(|event| self.marks.get(event as usize).copied());
            match mark {
                Some(None) => return Err(Refusal::Invalid("an event is not in the batch".to_owned())),
                known => marks.push(known.flatten()),
            }
        }
        self.read(increments.iter().map(|increment| increment.key.as_str()))?;
        let (mut keys, mut bytes) = (0, 0);
        for (Increment { key, .. }, mark) in increments.iter().zip(&marks) {
            let before = self.value(key);
            if let Some(Value::Bytes(bytes)) = before
                && Value::to_counter(Some(Value::Bytes(bytes.clone()))).is_none()
            {
                return Err(Refusal::Invalid(format!("under {key:?} stands no number")));
            }
            if before.is_none() {
                keys += 1;
                bytes += size(key, HEAD + 8);
            }
            bytes += if mark.is_some() { 16 } else { 0 };
        }
        self.take_room(keys, bytes)?;
        let counted = increments.into_iter().zip(marks).map(|(increment, mark)| self.add(increment, mark));
        Ok(counted.collect())
    }

    fn add(&mut self, increment: Increment, mark: Option<Mark>) -> i64 {
        let Increment { key, by, ttl, .. } = increment;
        let (by, ttl) = (by.clamp(-MOST, MOST), self.ttl(ttl));
        let entry = self.entries.entry(key).or_default();
        // Looked at before: whatever stands there is a number.
        let mut counter = Value::to_counter(entry.value.take().flatten());
        let count = counter.as_mut().map_or(0, |counter| {
            if !matches!(entry.changes.last(), Some(Change::Add { .. })) {
                entry.changes.push(Change::Add { ttl, steps: Vec::new() });
            }
            let Some(Change::Add { steps, .. }) = entry.changes.last_mut() else { return 0 };
            // A second time in this very call is one too many, wherever the event comes from.
            let is_known =
                mark.is_some_and(|mark| steps.iter().filter_map(|(known, _)| *known).any(|known| known.id == mark.id));
            let seen = mark.map(|mark| Mark { may_repeat: mark.may_repeat || is_known, ..mark });
            seen.and_then(|mark| counter.count_of(mark)).unwrap_or_else(|| {
                steps.push((mark, by));
                counter.add(mark, by)
            })
        });
        entry.value = Some(counter);
        count
    }

    /// Writes what the call would write, and says whether all of it is written.
    pub fn keep(self) -> bool {
        let Self { table, entries, .. } = self;
        let mut changes = Vec::new();
        for (key, entry) in &entries {
            changes.extend(
                entry.changes.iter().filter(|change| !is_nothing(change)).map(|change| (&**key, change.clone())),
            );
        }
        if changes.is_empty() {
            return true;
        }
        // What there is no room for must not depend on chance. Those of one key keep their order.
        changes.sort_by_key(|(key, _)| *key);
        let begun = Instant::now();
        let done = table.shelf.write(&table.slot, &table.limits, &changes, table.limits.timeout);
        table.metrics.seconds.inc_by(begun.elapsed().as_secs_f64());
        let lost = match done {
            Ok(written) => {
                table.metrics.show(written.usage);
                if written.refused > 0 {
                    table.metrics.refused("over-quota").inc_by(written.refused);
                }
                written.refused
            }
            Err(Away) => changes.len() as u64,
        };
        table.metrics.lost.inc_by(lost);
        lost == 0
    }

    /// Reads those of `keys` that are not known yet.
    fn read<'a>(&mut self, keys: impl Iterator<Item = &'a str> + Clone) -> Result<(), Refusal> {
        self.speak_of(keys.clone())?;
        let mut missing: Vec<&str> = keys.filter(|key| self.entries.get(*key).is_none_or(Entry::is_unknown)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let Table { shelf, slot, limits, metrics } = &self.table;
        if self.away || self.waited >= limits.timeout {
            self.away = true;
            return Err(Refusal::Unavailable);
        }
        let begun = Instant::now();
        let found = shelf.read(slot, &missing, limits.timeout);
        let took = begun.elapsed();
        metrics.seconds.inc_by(took.as_secs_f64());
        self.waited += took;
        let Ok(Found { values, usage }) = found else {
            self.away = true;
            return Err(Refusal::Unavailable);
        };
        metrics.show(usage);
        self.usage = Some(usage);
        for (key, value) in missing.into_iter().zip(values) {
            self.entries.entry(key.to_owned()).or_default().value = Some(value);
        }
        Ok(())
    }

    /// Whether `keys` may be spoken of.
    fn speak_of<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
        let mut new = 0;
        for key in keys {
            if key.is_empty() || key.len() > KEY {
                return Err(Refusal::Invalid(format!("a key has {} bytes, not 1 to {KEY}", key.len())));
            }
            new += usize::from(!self.entries.contains_key(key));
        }
        if self.entries.len() + new > KEYS_A_CALL {
            return Err(Refusal::Invalid(format!("a call may speak of {KEYS_A_CALL} keys")));
        }
        Ok(())
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)?.value.as_ref()?.as_ref()
    }

    /// Whether the call knows that `key` is not there, and its size as far as the call knows it.
    fn size(&self, key: &str) -> (bool, Option<i64>) {
        match self.entries.get(key).and_then(|entry| entry.value.as_ref()) {
            None => (false, None),
            Some(None) => (true, Some(0)),
            Some(Some(value)) => (false, Some(size(key, value.size()))),
        }
    }

    /// Takes room for so much more, if there is some left. What is deleted in the same call makes none: it goes with the
    /// step, and may not have been there.
    fn take_room(&mut self, keys: i64, bytes: i64) -> Result<(), Refusal> {
        let limits = &self.table.limits;
        let used = self.usage.unwrap_or_default();
        let (keys, bytes) = (keys.max(0), bytes.max(0));
        let most = |limit: u64, used: u64| i64::try_from(limit.saturating_sub(used)).unwrap_or(i64::MAX);
        let too_many = keys > 0 && self.more_keys + keys > most(limits.keys, used.keys);
        let too_large = bytes > 0 && self.more_bytes + bytes > most(limits.bytes.as_u64(), used.bytes);
        if too_many || too_large {
            return Err(Refusal::OverQuota);
        }
        self.more_keys += keys;
        self.more_bytes += bytes;
        Ok(())
    }

    fn enter(&mut self, key: String, value: Option<Value>, changes: Vec<Change>) {
        self.entries.insert(key, Entry { value: Some(value), changes });
    }

    fn ttl(&self, seconds: u32) -> Duration {
        let most = self.table.limits.ttl;
        if seconds == 0 { most } else { most.min(Duration::from_secs(seconds.into())) }
    }

    fn count<T>(&self, operation: &'static str, keys: usize, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        let metrics = &self.table.metrics;
        match &answer {
            Ok(_) => metrics.operations(operation).inc_by(keys as u64),
            Err(refusal) => metrics.refused(refusal.reason()).inc_by(keys as u64),
        }
        answer
    }
}

impl Entry {
    fn is_unknown(&self) -> bool {
        self.value.is_none()
    }
}

/// An addition all of whose events were there before.
fn is_nothing(change: &Change) -> bool {
    matches!(change, Change::Add { steps, .. } if steps.is_empty())
}

fn size(key: &str, value: usize) -> i64 {
    i64::try_from(key.len() + value).unwrap_or(i64::MAX)
}

fn too_much() -> Refusal {
    Refusal::Invalid(format!("the values have more than {ANSWER} bytes together"))
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;

    use super::*;
    use crate::{
        state::Local,
        telemetry::{Metrics, Stage},
    };

    fn table(limits: StateLimits) -> (Arc<Local>, Table) {
        let (shelf, metrics) = (Arc::new(Local::at_rest()), Metrics::new().guest(Stage::Normalize));
        let (slot, metrics) = (metrics.slot().clone(), metrics.state());
        (Arc::clone(&shelf), Table { shelf, slot, limits, metrics })
    }

    fn increment(key: &str, by: i64, event: Option<u32>) -> Increment {
        Increment { key: key.to_owned(), by, ttl: 60, event }
    }

    fn entry(key: &str, value: &str) -> (String, Vec<u8>, u32) {
        (key.to_owned(), value.into(), 60)
    }

    fn get(draft: &mut Draft, key: &str) -> Option<String> {
        let value = draft.get(&[key.to_owned()]).unwrap().remove(0);
        value.map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn what_is_not_kept_was_never_written() {
        let (_, table) = table(StateLimits::default());
        let mut draft = Draft::new(&table, Vec::new());
        draft.put(vec![entry("a", "1")]).unwrap();
        assert_eq!(draft.increment(vec![increment("a", 2, None), increment("a", 2, None)]), Ok(vec![3, 5]));
        assert_eq!(get(&mut draft, "a").as_deref(), Some("5"));
        drop(draft);
        let mut draft = Draft::new(&table, Vec::new());
        assert_eq!(get(&mut draft, "a"), None);
        draft.put(vec![entry("a", "1"), entry("a", "2")]).unwrap();
        assert!(draft.keep());
        assert_eq!(get(&mut Draft::new(&table, Vec::new()), "a").as_deref(), Some("2"));
    }

    #[test]
    fn of_a_question_that_is_refused_nothing_is_done() {
        let (_, table) = table(StateLimits { keys: 2, bytes: ByteSize::kib(1), ..StateLimits::default() });
        let mut draft = Draft::new(&table, Vec::new());
        draft.put(vec![entry("word", "x")]).unwrap();
        let refused = draft.increment(vec![increment("n", 1, None), increment("word", 1, None)]);
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
        assert!(matches!(draft.increment(vec![increment("n", 1, Some(0))]), Err(Refusal::Invalid(_))), "no such event");
        assert_eq!(draft.get(&["n".to_owned(), "m".to_owned()]), Ok(vec![None, None]));
        assert_eq!(draft.put(vec![entry("n", "1"), entry("m", &"x".repeat(1100))]), Err(Refusal::OverQuota));
        assert!(draft.put(vec![entry("n", "1"), entry("m", "1"), entry("", "")]).is_err());
        assert_eq!(get(&mut draft, "n"), None);
        let many = (0..KEYS_A_CALL).map(|i| format!("k{i}")).collect::<Vec<_>>();
        assert!(matches!(draft.get(&many), Err(Refusal::Invalid(_))), "three keys were spoken of already");
    }

    #[test]
    fn a_counter_ends_where_its_first_event_said_and_nothing_outlives_the_site_s_ttl() {
        let minute = Duration::from_secs(60);
        let (shelf, table) = table(StateLimits { ttl: minute, ..StateLimits::default() });
        let count = |ttl| {
            let mut draft = Draft::new(&table, Vec::new());
            let counted = draft.increment(vec![Increment { ttl, ..increment("n", 1, None) }]).unwrap();
            draft.keep();
            counted[0]
        };
        assert_eq!((count(50), count(3600)), (1, 2));
        shelf.advance(Duration::from_secs(49));
        assert_eq!(count(3600), 3);
        shelf.advance(Duration::from_secs(1));
        assert_eq!((count(0), count(3600)), (1, 2), "0 is as long as the site allows");
        shelf.advance(minute);
        assert_eq!(count(1), 1);
    }

    #[test]
    fn a_place_that_is_full_takes_what_makes_it_no_fuller() {
        let (_, table) = table(StateLimits { keys: 2, ..StateLimits::default() });
        let mut draft = Draft::new(&table, Vec::new());
        draft.put(vec![entry("a", "1"), entry("b", "2")]).unwrap();
        assert!(draft.keep());
        let mut draft = Draft::new(&table, Vec::new());
        assert_eq!(draft.increment(vec![increment("c", 1, None)]), Err(Refusal::OverQuota));
        assert_eq!(draft.increment(vec![increment("a", 1, None)]), Ok(vec![2]));
        draft.put(vec![entry("b", "x")]).unwrap();
        draft.delete(vec!["a".to_owned()]).unwrap();
        assert!(draft.keep());
        let mut draft = Draft::new(&table, Vec::new());
        assert_eq!(draft.increment(vec![increment("c", 1, None)]), Ok(vec![1]));
        assert!(draft.keep());
    }

    #[test]
    fn an_event_counts_once_and_later_has_the_count_that_it_had() {
        let (_, table) = table(StateLimits::default());
        let mark = |id: u8, may_repeat| Mark { id: [id; 8], may_repeat };
        let count = |marks: Vec<Mark>, events: &[u32]| {
            let mut draft = Draft::new(&table, marks);
            let counted = draft.increment(events.iter().map(|&event| increment("n", 1, Some(event))).collect());
            draft.keep();
            counted.unwrap()
        };
        assert_eq!(count(vec![mark(1, true), mark(2, true)], &[0, 1, 0, 1]), [1, 2, 1, 2]);
        assert_eq!(count(vec![mark(3, true), mark(1, true)], &[0, 1, 1]), [3, 1, 1]);
        // It cannot be the one that was there, but in one call it is itself.
        assert_eq!(count(vec![mark(1, false)], &[0, 0]), [4, 4]);
        assert_eq!(count(vec![mark(1, true)], &[0]), [4]);
    }
}
