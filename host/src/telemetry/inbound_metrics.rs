use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::register;

/// What became of a message of another site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is stored.
    Stored,
    /// It was stored before.
    Repeated,
    /// A guest has dropped it, or it was turned away when it came first.
    Dropped,
    /// It is a dead letter.
    Buried,
    /// It was given up, and comes again.
    GivenUp,
    /// We sent it ourselves.
    Own,
    /// It was shared too long ago.
    Old,
    /// Nobody wants its subject.
    Unwanted,
}

impl Passage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Dropped => "dropped",
            Self::Buried => "dead_letter",
            Self::GivenUp => "given_up",
            Self::Own => "own",
            Self::Old => "old",
            Self::Unwanted => "unwanted",
        }
    }
}

/// Those of one stream of JetStream.
#[derive(Clone, Debug)]
pub struct InboundMetrics {
    stream: String,
    messages: IntCounterVec,
    sites: Sites,
    /// Messages taken and not yet stored.
    pub in_flight: IntGauge,
    /// Messages that wait in the stream, when the last one came.
    pub pending: IntGauge,
    /// Messages delivered again.
    pub redelivered: IntCounter,
    /// From when a site shared a message to when it was stored here.
    pub seconds: Histogram,
}

impl InboundMetrics {
    /// Counts a message.
    pub fn count(&self, passage: Passage) {
        self.messages.with_label_values(&[self.stream.as_str(), passage.as_str()]).inc();
    }

    /// Counts a message of `site` that was stored at `now_ms`.
    pub fn stored_from(&self, site: &str, now_ms: i64) {
        self.sites.count(site, now_ms);
    }
}

/// What came in from another site since the daemon began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSeen {
    /// The site; `?` of all beyond those that are told apart.
    pub site: String,
    /// Messages that were stored.
    pub stored: u64,
    /// When the last of them was, milliseconds since 1970-01-01 UTC.
    pub last_ms: i64,
}

/// Sites name themselves, so only so many are told apart.
const MOST_SITES: usize = 64;

/// Stands for all others; no site can have this name.
const FURTHER: &str = "?";

/// Of each site what came in from it.
#[derive(Clone, Debug)]
struct Sites {
    stored: IntCounterVec,
    known: Arc<Mutex<BTreeMap<String, (IntCounter, i64)>>>,
}

impl Sites {
    fn count(&self, site: &str, now_ms: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let site = if known.len() < MOST_SITES || known.contains_key(site) { site } else { FURTHER };
        if let Some((stored, last_ms)) = known.get_mut(site) {
            stored.inc();
            *last_ms = now_ms;
            return;
        }
        let stored = self.stored.with_label_values(&[site]);
        stored.inc();
        known.insert(site.to_owned(), (stored, now_ms));
    }
}

/// Those of all streams of JetStream that are read; labels are the streams of the configuration.
#[derive(Clone, Debug)]
pub(super) struct InboundVectors {
    messages: IntCounterVec,
    sites: Sites,
    in_flight: IntGaugeVec,
    pending: IntGaugeVec,
    redelivered: IntCounterVec,
    seconds: Histogram,
}

impl InboundVectors {
    pub fn new(registry: &Registry, seconds: &[f64]) -> Self {
        let gauges = |name: &str, help: &str| register(registry, IntGaugeVec::new(Opts::new(name, help), &["stream"]));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = HistogramOpts::new(
            "aurora_federation_in_seconds",
            "From when another site shared a message, by its clock, to when it was stored here",
        );
        Self {
            messages: counters(
                "aurora_federation_in_total",
                "Messages of a JetStream stream, by what became of them",
                &["stream", "what"],
            ),
            sites: Sites {
                stored: counters(
                    "aurora_federation_in_from_total",
                    "Messages of another site that were stored; those of sites beyond the first 64 are all of one, ?",
                    &["site"],
                ),
                known: Arc::default(),
            },
            in_flight: gauges("aurora_federation_in_flight", "Messages of other sites taken and not yet stored"),
            pending: gauges(
                "aurora_federation_in_pending",
                "Messages that waited in the stream when the last one came",
            ),
            redelivered: counters(
                "aurora_federation_in_redelivered_total",
                "Messages of other sites delivered again",
                &["stream"],
            ),
            seconds: register(registry, Histogram::with_opts(histogram.buckets(seconds.to_vec()))),
        }
    }

    pub fn of(&self, stream: &str) -> InboundMetrics {
        InboundMetrics {
            stream: stream.to_owned(),
            messages: self.messages.clone(),
            sites: self.sites.clone(),
            in_flight: self.in_flight.with_label_values(&[stream]),
            pending: self.pending.with_label_values(&[stream]),
            redelivered: self.redelivered.with_label_values(&[stream]),
            seconds: self.seconds.clone(),
        }
    }

    /// What came in from each site, those heard of last first.
    pub fn sites(&self) -> Vec<SiteSeen> {
        let known = self.sites.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(site, (stored, last_ms)): (&String, &(IntCounter, i64))| SiteSeen {
            site: site.clone(),
            stored: stored.get(),
            last_ms: *last_ms,
        };
        let mut sites: Vec<_> = known.iter().map(of).collect();
        sites.sort_by_key(|one| Reverse(one.last_ms));
        sites
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_told_apart_up_to_a_bound_and_those_heard_of_last_come_first() {
        let vectors = InboundVectors::new(&Registry::new(), &[1.0]);
        let inbound = vectors.of("AURORA");
        for number in 0..MOST_SITES + 3 {
            inbound.stored_from(&format!("site-{number}"), number as i64);
        }
        inbound.stored_from("site-0", 1000);
        let sites = vectors.sites();
        assert_eq!(sites.len(), MOST_SITES + 1);
        assert_eq!(sites[0], SiteSeen { site: "site-0".to_owned(), stored: 2, last_ms: 1000 });
        assert_eq!(sites[1], SiteSeen { site: FURTHER.to_owned(), stored: 3, last_ms: MOST_SITES as i64 + 2 });
    }
}
