//! `aurora:state/state`, as a call's draft answers it. See `crate::state`.

use super::{
    bindings::aurora::state::state::{self, Entry, Increment},
    import::State,
};
use crate::state::{self as table, Draft};

impl State {
    /// None while the instance starts: a guest remembers nothing that it does outside of a call.
    fn draft(&mut self) -> Result<&mut Draft, state::Refusal> {
        self.draft.as_mut().ok_or(state::Refusal::Unavailable)
    }
}

impl From<table::Refusal> for state::Refusal {
    fn from(refusal: table::Refusal) -> Self {
        match refusal {
            table::Refusal::Unavailable => Self::Unavailable,
            table::Refusal::OverQuota => Self::OverQuota,
            table::Refusal::Invalid(why) => Self::Invalid(why),
        }
    }
}

impl state::Host for State {
    fn get_many(&mut self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, state::Refusal> {
        Ok(self.draft()?.get(&keys)?)
    }

    fn put_many(&mut self, entries: Vec<Entry>) -> Result<(), state::Refusal> {
        let entries = entries.into_iter().map(|Entry { key, value, ttl }| (key, value, ttl));
        Ok(self.draft()?.put(entries.collect())?)
    }

    fn delete_many(&mut self, keys: Vec<String>) -> Result<(), state::Refusal> {
        Ok(self.draft()?.delete(keys)?)
    }

    fn increment_many(&mut self, increments: Vec<Increment>) -> Result<Vec<i64>, state::Refusal> {
        let asked = |Increment { key, by, ttl, event }| table::Increment { key, by, ttl, event };
        Ok(self.draft()?.increment(increments.into_iter().map(asked).collect())?)
    }
}
