//! Whether devices are there: from their heartbeats, for all hosts of a site.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use super::Config;

/// How a device is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was heard of a short while ago.
    Online,
    /// It was heard of not so long ago.
    Stale,
    /// It has been silent for long.
    Offline,
    /// It was never heard of.
    Unknown,
}

impl Health {
    /// Those that a device can be in which was heard of.
    pub const ALL: [Self; 3] = [Self::Online, Self::Stale, Self::Offline];

    /// As in lists and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Stale => "stale",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }

    /// Of a device that was last heard of at `heard`.
    #[must_use]
    pub fn of(heard: Option<i64>, now: i64, config: &Config) -> Self {
        let Some(heard) = heard else { return Self::Unknown };
        if heard > now - milliseconds(config.online) {
            Self::Online
        } else if heard > now - milliseconds(config.stale) {
            Self::Stale
        } else {
            Self::Offline
        }
    }
}

pub(super) fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Devices whose heartbeats wait to be written; beyond that only those that are enrolled are noted. Ids come from whoever
/// may publish, so their number is not ours to trust.
const MOST: usize = 65_536;

/// Heartbeats that lanes saw, until somebody writes them to Redis. Cheap to clone; a lane holds the lock for a batch that
/// has heartbeats in it.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Beats>>);

#[derive(Debug, Default)]
struct Beats {
    latest: HashMap<String, i64>,
    enrolled: Arc<BTreeSet<String>>,
}

impl Heard {
    /// Notes heartbeats, each of a device, with when it came.
    pub fn note<'a>(&self, beats: impl Iterator<Item = (&'a str, i64)>) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Beats { latest, enrolled } = &mut *heard;
        for (device, at) in beats {
            let is_full = latest.len() >= MOST && !enrolled.contains(device);
            match latest.get_mut(device) {
                Some(last) => *last = at.max(*last),
                None if is_full => {}
                None => _ = latest.insert(device.to_owned(), at),
            }
        }
    }

    /// From now on `enrolled` have room in any case.
    pub(super) fn expect(&self, enrolled: Arc<BTreeSet<String>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).enrolled = enrolled;
    }

    /// Takes what was noted.
    #[must_use]
    pub fn take(&self) -> Vec<(String, i64)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).latest).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_online_then_stale_then_offline() {
        let (config, minute) = (Config::default(), 60_000);
        let of = |ago: i64| Health::of(Some(1_000 * minute - ago), 1_000 * minute, &config);
        assert_eq!((of(0), of(10 * minute - 1)), (Health::Online, Health::Online));
        assert_eq!((of(10 * minute), of(60 * minute - 1)), (Health::Stale, Health::Stale));
        assert_eq!(of(60 * minute), Health::Offline);
        assert_eq!(Health::of(None, 0, &config), Health::Unknown);
        // A clock that is ahead.
        assert_eq!(of(-5 * minute), Health::Online);
    }

    #[test]
    fn keeps_the_latest_heartbeat_of_a_bounded_number_of_devices() {
        let heard = Heard::default();
        heard.note([("a", 5), ("a", 3), ("b", 1)].into_iter());
        let mut taken = heard.take();
        taken.sort();
        assert_eq!(taken, [("a".to_owned(), 5), ("b".to_owned(), 1)]);
        assert!(heard.take().is_empty());
        let names: Vec<String> = (0..MOST + 5).map(|number| number.to_string()).collect();
        heard.note(names.iter().map(|name| (name.as_str(), 1)));
        assert_eq!(heard.take().len(), MOST);
        // Those that somebody invents do not push out one that is enrolled.
        heard.expect(Arc::new(BTreeSet::from(["enrolled".to_owned()])));
        heard.note(names.iter().map(|name| (name.as_str(), 1)).chain([("enrolled", 2), ("another", 2)]));
        let taken = heard.take();
        assert_eq!(taken.len(), MOST + 1);
        assert!(taken.contains(&("enrolled".to_owned(), 2)));
    }
}
