//! A state for tests, on this thread alone. No time passes in it, and it has room for everything.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use super::during::during;
use crate::state::{Addition, Entry, Refusal};

#[derive(Default)]
struct Table {
    values: BTreeMap<String, Vec<u8>>,
    /// What a counter was at for an event of this batch.
    counted: HashMap<(String, u32), i64>,
    is_away: bool,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

/// Runs `test` with this state, key and value, on this thread. It is there as long as `test` runs; a counter is its
/// decimal digits.
pub fn with_state<T>(values: BTreeMap<String, Vec<u8>>, test: impl FnOnce() -> T) -> T {
    during(&TABLE, Table { values, ..Table::default() }, test)
}

/// Runs `test` as while Redis is away: every question about the state is answered with [`Refusal::Unavailable`].
pub fn without_state<T>(test: impl FnOnce() -> T) -> T {
    during(&TABLE, Table { is_away: true, ..Table::default() }, test)
}

/// The events of the next call are others than those of the calls before.
pub fn another_batch() {
    TABLE.with_borrow_mut(|table| table.counted.clear());
}

/// The state as it is now, key and value.
#[must_use]
pub fn state_now() -> BTreeMap<String, Vec<u8>> {
    TABLE.with_borrow(|table| table.values.clone())
}

fn with<'a, T>(
    keys: impl IntoIterator<Item = &'a String>,
    ask: impl FnOnce(&mut Table) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    if keys.into_iter().any(|key| key.is_empty() || key.len() > 256) {
        return Err(Refusal::Invalid("a key has 1 to 256 bytes".to_owned()));
    }
    TABLE.with_borrow_mut(|table| if table.is_away { Err(Refusal::Unavailable) } else { ask(table) })
}

pub(crate) fn get_many(keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Refusal> {
    with(keys, |table| Ok(keys.iter().map(|key| table.values.get(key).cloned()).collect()))
}

pub(crate) fn put_many(entries: &[Entry]) -> Result<(), Refusal> {
    with(entries.iter().map(|entry| &entry.key), |table| {
        if entries.iter().any(|entry| entry.value.len() > 64 << 10) {
            return Err(Refusal::Invalid("a value has at most 64 KiB".to_owned()));
        }
        for Entry { key, value, .. } in entries {
            table.values.insert(key.clone(), value.clone());
            table.counted.retain(|(counted, _), _| counted != key);
        }
        Ok(())
    })
}

pub(crate) fn delete_many(keys: &[String]) -> Result<(), Refusal> {
    with(keys, |table| {
        for key in keys {
            table.values.remove(key);
            table.counted.retain(|(counted, _), _| counted != key);
        }
        Ok(())
    })
}

pub(crate) fn increment_many(increments: &[Addition]) -> Result<Vec<i64>, Refusal> {
    with(increments.iter().map(|increment| &increment.key), |table| {
        let number = |table: &Table, key: &String| match table.values.get(key) {
            None => Some(0),
            Some(value) => str::from_utf8(value).ok()?.parse::<i64>().ok(),
        };
        if let Some(wrong) = increments.iter().find(|increment| number(table, &increment.key).is_none()) {
            return Err(Refusal::Invalid(format!("under {:?} stands no number", wrong.key)));
        }
        let counted = increments.iter().map(|Addition { key, by, event, .. }| {
            let account = event.map(|event| (key.clone(), event));
            if let Some(count) = account.as_ref().and_then(|account| table.counted.get(account)) {
                return *count;
            }
            let count = number(table, key).unwrap_or_default().saturating_add(*by).clamp(-(1 << 53), 1 << 53);
            table.values.insert(key.clone(), count.to_string().into_bytes());
            table.counted.extend(account.map(|account| (account, count)));
            count
        });
        Ok(counted.collect())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::{self, Increment};

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_event_counts_once_for_a_key_and_those_of_another_batch_again() {
        with_state(BTreeMap::from([("b".to_owned(), b"7".to_vec())]), || {
            let count = |event, key: &str| state::increment(Increment::of_event(event, key, MINUTE)).unwrap();
            assert_eq!([count(0, "a"), count(1, "a"), count(0, "a"), count(0, "b")], [1, 2, 1, 8]);
            another_batch();
            assert_eq!(count(0, "a"), 3);
            assert_eq!(state_now()["a"], b"3");
        });
        assert_eq!(state::get("a").unwrap(), None, "the state of one test is not there in the next");
    }

    #[test]
    fn what_the_host_would_refuse_is_refused() {
        let invalid = |refusal| matches!(refusal, Refusal::Invalid(_));
        assert!(state::get(&"k".repeat(257)).is_err_and(invalid));
        assert!(state::put("", b"", MINUTE).is_err_and(invalid));
        assert!(state::put("k", &vec![0; (64 << 10) + 1], MINUTE).is_err_and(invalid));
        state::put("k", b"no number", MINUTE).unwrap();
        assert!(state::increment(Increment::of_event(0, "k", MINUTE)).is_err_and(invalid));
        without_state(|| assert!(matches!(state::get("k"), Err(Refusal::Unavailable))));
    }
}
