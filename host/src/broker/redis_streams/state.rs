//! What guests remember, in Redis: a hash for each place, and a sorted set of when its entries end. Lanes are plain threads
//! and a guest waits for the answer in the middle of its call, so these connections block.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use redis::{Connection, RedisResult, Script};

use super::{
    Config, Pool,
    blocking::{Blocking, NoAnswer, Words},
};
use crate::{
    config::StateLimits,
    state::{Away, Change, Found, MARKS, Mark, Shelf, Usage, Value, Written},
    telemetry::SlotName,
};

static CHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("state.lua")));

/// One answer, so that a Redis that is frozen costs one time-out; of a pipeline each command would.
static LOOK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=no-writes
local time = redis.call('TIME')
return { time[1], time[2], redis.call('HLEN', KEYS[1]), redis.call('HMGET', KEYS[1], '', unpack(ARGV)) }",
    )
});

const WORDS: Words = Words {
    thread: "state",
    refused: "Redis refuses what guests remember",
    lost: "guests are without what they remember",
    back: "guests remember again",
};

/// The tables of all guests of a site. Shared by the lanes.
#[derive(Clone)]
pub struct StateShelf(Arc<Tables>);

struct Tables {
    redis: Blocking,
    names: Config,
}

impl StateShelf {
    /// In the Redis of `redis`, under the names of `config`. Nothing is connected yet.
    #[must_use]
    pub fn new(redis: Pool, config: &Config) -> Self {
        Self(Arc::new(Tables { redis: Blocking::new(redis, WORDS), names: config.clone() }))
    }

    /// The key of the table of `slot`, and the key of when its entries end.
    #[must_use]
    pub fn keys(&self, slot: &SlotName) -> (String, String) {
        let names = &self.0.names;
        (names.state_key(&format!("guest:{slot}")), names.state_key(&format!("guest-ends:{slot}")))
    }

    fn ask<T>(&self, wait: Duration, again: bool, ask: impl Fn(&mut Connection) -> RedisResult<T>) -> Result<T, Away> {
        self.0.redis.ask(wait, again, ask).map_err(|NoAnswer| Away)
    }
}

impl Shelf for StateShelf {
    fn read(&self, slot: &SlotName, keys: &[&str], wait: Duration) -> Result<Found, Away> {
        type Answer = (u64, u64, u64, Vec<Option<Vec<u8>>>);
        let (table, _) = self.keys(slot);
        let (seconds, micros, count, mut values): Answer =
            self.ask(wait, true, |connection| LOOK.key(&table).arg(keys).invoke(connection))?;
        let now = seconds * 1000 + micros / 1000;
        let bytes = values.first().cloned().flatten().and_then(|text| str::from_utf8(&text).ok()?.parse().ok());
        let values = values.drain(1..).map(|value| Value::read(&value?, now));
        let usage = Usage { keys: count.saturating_sub(1), bytes: bytes.unwrap_or_default() };
        Ok(Found { values: values.collect(), usage })
    }

    fn write(
        &self,
        slot: &SlotName,
        limits: &StateLimits,
        changes: &[(&str, Change)],
        wait: Duration,
    ) -> Result<Written, Away> {
        let (table, ends) = self.keys(slot);
        // To put or to delete again, or to add what is marked, changes nothing.
        let again = |change: &Change| match change {
            Change::Put { .. } | Change::Delete => true,
            Change::Add { steps, .. } => steps.iter().all(|(mark, _)| mark.is_some_and(|mark| mark.may_repeat)),
        };
        let may_repeat = changes.iter().all(|(_, change)| again(change));
        let (keys, bytes, refused) = self.ask(wait, may_repeat, |connection| {
            let mut call = CHANGE.prepare_invoke();
            call.key(&table).key(&ends).arg(limits.keys).arg(limits.bytes.as_u64()).arg(MARKS);
            for (key, change) in changes {
                match change {
                    Change::Put { value, ttl } => call.arg("p").arg(*key).arg(millis(*ttl)).arg(&value[..]),
                    Change::Delete => call.arg("d").arg(*key),
                    Change::Add { ttl, steps } => call.arg("i").arg(*key).arg(millis(*ttl)).arg(packed(steps)),
                };
            }
            call.invoke(connection)
        })?;
        Ok(Written { usage: Usage { keys, bytes }, refused })
    }

    fn is_away(&self) -> bool {
        self.0.redis.is_away()
    }
}

impl fmt::Debug for StateShelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateShelf").field("is_away", &self.is_away()).finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// As the script takes them.
fn packed(steps: &[(Option<Mark>, i64)]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(17 * steps.len());
    for (mark, by) in steps {
        packed.push(match mark {
            None => b'n',
            Some(mark) if mark.may_repeat => b'm',
            Some(_) => b'f',
        });
        packed.extend_from_slice(&mark.map_or([0; 8], |mark| mark.id));
        packed.extend_from_slice(&by.to_be_bytes());
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_carry_the_hash_tag_and_no_two_places_share_them() {
        let config = Config { cluster: true, url: "redis://127.0.0.1:1".to_owned(), ..Config::default() };
        let shelf = StateShelf::new(Pool::new(&config).unwrap(), &config);
        let stage = crate::telemetry::Stage::Normalize;
        let keys = |slot: SlotName| shelf.keys(&slot);
        let (table, ends) = keys(stage.into());
        assert_eq!((&*table, &*ends), ("{aurora}:state:guest:normalize", "{aurora}:state:guest-ends:normalize"));
        assert_eq!(keys(SlotName::of_rule(stage, "ends")).0, "{aurora}:state:guest:normalize/ends");
    }
}
