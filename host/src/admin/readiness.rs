use std::{collections::BTreeMap, sync::Arc};

use serde::{Serialize, ser::SerializeMap};
use tokio::sync::watch;

/// What has to be in order before events should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Every guest is loaded.
    Guests,
    /// The lanes take events.
    Lanes,
    /// Connected to the MQTT broker, and subscribed.
    Mqtt,
    /// Reading the stream of raw events.
    Raw,
    /// Connected to Redis.
    Redis,
    /// Connected to NATS, and the stream is there.
    Nats,
}

impl Part {
    /// As in `/readyz` and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guests => "guests",
            Self::Lanes => "lanes",
            Self::Mqtt => "mqtt",
            Self::Raw => "raw",
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }
}

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// In order.
    Ready,
    /// Not in order, and why.
    NotReady(String),
}

impl Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ready", &(*self == Self::Ready))?;
        if let Self::NotReady(reason) = self {
            map.serialize_entry("reason", reason)?;
        }
        map.end()
    }
}

/// How all parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The daemon is on its way out.
    pub draining: bool,
    /// Each part that counts.
    pub parts: BTreeMap<Part, State>,
    /// What is not as it should be and keeps nobody from sending events: what, and why. A guest with an open breaker
    /// is here and not among the parts, for it is tried again on events, and an unready host gets none.
    pub degraded: BTreeMap<String, String>,
}

impl Report {
    /// Whether events should be sent here.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.draining && self.parts.values().all(|state| *state == State::Ready)
    }
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("ready", &self.ready())?;
        map.serialize_entry("draining", &self.draining)?;
        map.serialize_entry("parts", &self.parts)?;
        map.serialize_entry("degraded", &self.degraded)?;
        map.end()
    }
}

/// Where the parts say how they are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Report>>);

impl Readiness {
    /// Counts `parts`, none of them ready yet. Name only what is configured: a broker that nobody asked for must not
    /// keep the daemon from being ready.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let starting = |part| (part, State::NotReady("starting".to_owned()));
        let report =
            Report { draining: false, parts: parts.into_iter().map(starting).collect(), degraded: BTreeMap::new() };
        Self(Arc::new(watch::Sender::new(report)))
    }

    /// How `part` is now. A part that does not count is left out.
    pub fn set(&self, part: Part, state: State) {
        self.0.send_if_modified(|report| match report.parts.get_mut(&part) {
            Some(known) if *known != state => {
                *known = state;
                true
            }
            _ => false,
        });
    }

    /// Why `what` is degraded, or that it is not.
    pub fn degrade(&self, what: &str, why: Option<String>) {
        self.0.send_if_modified(|report| {
            let before = report.degraded.get(what);
            let changed = before != why.as_ref();
            match why {
                Some(why) => report.degraded.insert(what.to_owned(), why),
                None => report.degraded.remove(what),
            };
            changed
        });
    }

    /// The daemon is on its way out. There is no way back.
    pub fn drain(&self) {
        self.0.send_if_modified(|report| !std::mem::replace(&mut report.draining, true));
    }

    /// How all parts are now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.0.borrow().clone()
    }

    /// Wakes at every change, for whoever waits for the daemon to be ready.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Report> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_every_part_that_counts_is() {
        let readiness = Readiness::new([Part::Redis, Part::Lanes]);
        assert!(!readiness.report().ready());
        readiness.set(Part::Redis, State::Ready);
        assert!(!readiness.report().ready());
        readiness.set(Part::Lanes, State::Ready);
        assert!(readiness.report().ready());
    }

    #[test]
    fn does_not_count_a_part_that_is_not_configured() {
        let readiness = Readiness::new([Part::Lanes]);
        readiness.set(Part::Nats, State::NotReady("no route".to_owned()));
        readiness.set(Part::Lanes, State::Ready);
        assert!(readiness.report().ready());
        assert!(!readiness.report().parts.contains_key(&Part::Nats));
    }

    #[test]
    fn is_never_ready_again_once_it_drains() {
        let readiness = Readiness::new([Part::Lanes]);
        readiness.drain();
        readiness.set(Part::Lanes, State::Ready);
        assert!(!readiness.report().ready());
    }

    #[test]
    fn is_ready_in_spite_of_what_is_degraded() {
        let readiness = Readiness::new([Part::Lanes]);
        readiness.set(Part::Lanes, State::Ready);
        readiness.degrade("route", Some("breaker open".to_owned()));
        let report = readiness.report();
        assert!(report.ready());
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!(json["degraded"], serde_json::json!({"route": "breaker open"}));
        readiness.degrade("route", None);
        assert!(readiness.report().degraded.is_empty());
    }

    #[test]
    fn wakes_watchers_only_for_a_change() {
        let readiness = Readiness::new([Part::Lanes]);
        let mut changes = readiness.watch();
        changes.mark_unchanged();
        readiness.set(Part::Lanes, State::NotReady("starting".to_owned()));
        assert!(!changes.has_changed().expect("the sender lives"));
        readiness.set(Part::Lanes, State::Ready);
        assert!(changes.has_changed().expect("the sender lives"));
    }
}
