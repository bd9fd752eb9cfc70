use super::entry::{self, Read};
use crate::{
    admin::{Part, PartState, Readiness},
    broker::redis_streams::RawEntry,
    event::{EntryId, Identity},
    federation::Offer,
    telemetry::{EntryMetrics, Metrics},
};

/// What the entries of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Raw events.
    Raw,
    /// What other sites are offered.
    Offer(Offer),
}

impl Sort {
    /// For the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw events",
            Self::Offer(Offer::AgentResults) => "agent results to share",
            Self::Offer(Offer::Audit) => "audit entries to share",
            Self::Offer(Offer::Soar) => "SOAR actions to share",
        }
    }

    /// What its keys in the configuration begin with.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Raw => "raw.",
            Self::Offer(_) => "federation.streams.",
        }
    }

    /// See [`entry::read`].
    pub(super) fn read(self, entry: RawEntry, max_payload: usize, now_ms: i64) -> Read {
        match self {
            Self::Raw => entry::read(entry, max_payload, now_ms),
            Self::Offer(offer) => entry::read_offer(offer, entry, max_payload, now_ms),
        }
    }

    pub(super) fn identity(self, id: EntryId) -> Identity {
        match self {
            Self::Raw => Identity::Entry(id),
            Self::Offer(offer) => Identity::Offer(offer, id),
        }
    }

    pub(super) fn metrics(self, metrics: &Metrics) -> EntryMetrics {
        match self {
            Self::Raw => metrics.raw_entries(),
            Self::Offer(offer) => metrics.offered_entries(offer.as_str()),
        }
    }

    /// Says that the stream can be read, or why not. A host that cannot share can still take events.
    pub(super) fn tell(self, readiness: &Readiness, why: Option<&str>) {
        match self {
            Self::Raw => {
                let state = why.map_or(PartState::Ready, |why| PartState::NotReady(why.to_owned()));
                readiness.set(Part::Raw, state);
            }
            Self::Offer(offer) => {
                readiness.degrade(&format!("federation.share.{}", offer.as_str()), why.map(str::to_owned));
            }
        }
    }
}
