use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::metrics::register;

/// What other sites get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// An alert.
    Alert,
    /// A result of an attestation.
    Attestation,
    /// An observable of an event.
    Indicator,
    /// That an indicator of other sites was seen here.
    Sighting,
    /// What an agent found.
    AgentResults,
    /// An entry of the audit trail.
    Audit,
    /// What was done about an event.
    Soar,
}

impl Outbound {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Alert, Self::Attestation, Self::Indicator, Self::Sighting, Self::AgentResults, Self::Audit, Self::Soar];

    /// As in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Attestation => "attestation",
            Self::Indicator => "indicator",
            Self::Sighting => "sighting",
            Self::AgentResults => "agent_results",
            Self::Audit => "audit",
            Self::Soar => "soar",
        }
    }

    /// What a message of this `kind` of the outbox is; none of a kind that says nothing new, as a copy of an alert.
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "ioc" => Some(Self::Indicator),
            _ => Self::ALL.into_iter().find(|one| *one != Self::Indicator && one.as_str() == kind),
        }
    }
}

/// Messages that JetStream has acknowledged, each thing once, in however many sets of subjects it is.
#[derive(Clone, Debug)]
pub struct OutboundMetrics([IntCounter; Outbound::ALL.len()]);

impl OutboundMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let sent = IntCounterVec::new(
            Opts::new(
                "aurora_federation_out_total",
                "What JetStream has acknowledged for other sites; a copy in the second set of subjects does not count",
            ),
            &["what"],
        );
        let sent = register(registry, sent);
        Self(Outbound::ALL.map(|what| sent.with_label_values(&[what.as_str()])))
    }

    /// Counts a message of this `kind`, as the outbox calls it.
    pub fn count(&self, kind: &str) {
        if let Some(what) = Outbound::of(kind) {
            self.0[what as usize].inc();
        }
    }

    /// How many of each there were.
    #[must_use]
    pub fn all(&self) -> [(&'static str, u64); Outbound::ALL.len()] {
        Outbound::ALL.map(|what| (what.as_str(), self.0[what as usize].get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_outbox_is_counted_under_its_own_name_and_a_copy_under_none() {
        let metrics = OutboundMetrics::new(&Registry::new());
        for kind in ["alert", "attestation", "ioc", "ioc", "sighting", "agent_results", "audit", "soar"] {
            metrics.count(kind);
        }
        for nothing in ["copy", "indicator", "", "Alert"] {
            metrics.count(nothing);
        }
        let expected = Outbound::ALL.map(|what| (what.as_str(), 1 + u64::from(what == Outbound::Indicator)));
        assert_eq!(metrics.all(), expected);
    }
}
