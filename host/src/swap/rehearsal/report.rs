use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::compare::{Difference, kind};
use crate::{event::Delivery, pipeline::Pace};

/// What a rehearsal has found so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The slot.
    pub slot: String,
    /// Whether it has ended; then why.
    pub ended: Option<String>,
    /// Whether that was a failure of the rehearsal itself.
    pub broke_down: bool,
    /// When it began, RFC 3339.
    pub began: String,
    /// How long it lasts.
    pub until: String,
    /// When it promotes the candidate by itself.
    pub promote_if: Option<String>,
    /// What came of that.
    pub verdict: Option<String>,
    /// The guest that runs.
    pub present: Side,
    /// The guest that is rehearsed.
    pub candidate: Side,
    /// How many times as long the candidate takes, both on the same batches.
    pub slower: Option<f64>,
    /// Raw events that both decided.
    pub events: u64,
    /// Events among them that were the slot's own, so that the candidate was asked about them.
    pub asked: u64,
    /// Raw events that passed meanwhile and were not looked at, for the rehearsal was behind.
    pub missed: u64,
    /// Of those that both decided: how many came out otherwise.
    pub different: u64,
    /// In how many of them each field did. At most [`FIELDS`]; the others together are `…`.
    pub fields: BTreeMap<String, u64>,
    /// The first of each kind.
    pub examples: Vec<Example>,
}

/// One of the two guests.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Side {
    /// Digest.
    pub digest: String,
    /// What it is called.
    pub name: String,
    /// Events that it was at fault on.
    pub faults: u64,
    /// CPU time for an event, nanoseconds.
    pub ns_an_event: u64,
}

/// An event that came out otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// Name of the origin.
    pub source: String,
    /// MQTT topic.
    pub topic: Option<String>,
    /// The raw event, its beginning.
    pub raw: String,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Fields that are counted one by one. Their names come out of events, so they could be any number.
const FIELDS: usize = 100;

/// Examples that are kept.
const EXAMPLES: usize = 10;

/// Most bytes of a raw event in an example.
const RAW: usize = 1000;

impl Report {
    /// Takes in an event that came out otherwise.
    pub(super) fn differs(&mut self, delivery: &Delivery, differences: Vec<Difference>) {
        self.different += 1;
        let mut kinds: Vec<_> = differences.iter().map(|difference| kind(&difference.field)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut is_news = false;
        for kind in kinds {
            let full = self.fields.len() >= FIELDS && !self.fields.contains_key(&kind);
            let count = self.fields.entry(if full { "…".to_owned() } else { kind }).or_default();
            is_news |= *count == 0;
            *count += 1;
        }
        // Ten times the same difference would tell less than one of each.
        if is_news && self.examples.len() < EXAMPLES {
            self.examples.push(Example {
                source: delivery.context.source.clone(),
                topic: delivery.context.topic.clone(),
                raw: String::from_utf8_lossy(&delivery.payload[..delivery.payload.len().min(RAW)]).into_owned(),
                differences,
            });
        }
    }

    /// Takes in what both have cost.
    pub(super) fn cost(&mut self, present: &Pace, candidate: &Pace) {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        for (side, pace) in [(&mut self.present, present), (&mut self.candidate, candidate)] {
            (side.faults, side.ns_an_event) = (pace.faults(), ns(pace.an_event()));
        }
        self.asked = candidate.events();
        let known = present.events() > 0 && candidate.events() > 0 && !present.an_event().is_zero();
        self.slower = known.then(|| candidate.an_event().div_duration_f64(present.an_event()));
    }
}
