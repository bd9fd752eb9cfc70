use crate::sandbox::ObservableType;

/// What a message is, as its subject says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// An alert.
    Alert,
    /// The result of an attestation.
    Attestation,
    /// An indicator; its type, where the subject has it.
    Indicator(Option<ObservableType>),
    /// That an indicator was seen; its type, where the subject has it.
    Sighting(Option<ObservableType>),
    /// What an agent found.
    AgentResult,
    /// An entry of an audit trail.
    Audit,
    /// What was done about an event.
    Soar,
}

impl Sort {
    /// What is sent on `subject`; none on one that nobody has given a meaning.
    #[must_use]
    pub fn of(subject: &str) -> Option<Self> {
        let typed = |text: &str| ObservableType::ALL.into_iter().find(|kind| kind.as_str() == text);
        Some(match subject {
            "AURORA.alerts" => Self::Alert,
            "AURORA.ioc_sharing" => Self::Indicator(None),
            "AURORA.agent_results" => Self::AgentResult,
            "AURORA.audit" => Self::Audit,
            _ => match subject.strip_prefix("aurora.")?.split_once('.')? {
                ("alerts", _) => Self::Alert,
                ("soar", _) => Self::Soar,
                ("cps", rest) if rest.starts_with("attestation.") => Self::Attestation,
                ("cps", _) => Self::Alert,
                ("intel", rest) => match rest.split_once('.')? {
                    ("ioc", kind) => Self::Indicator(Some(typed(kind)?)),
                    ("sighting", kind) => Self::Sighting(Some(typed(kind)?)),
                    _ => return None,
                },
                _ => return None,
            },
        })
    }

    /// As the channel of its context, and in the field `origin` of what is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Attestation => "attestation",
            Self::Indicator(_) => "ioc",
            Self::Sighting(_) => "sighting",
            Self::AgentResult => "agent_results",
            Self::Audit => "audit",
            Self::Soar => "soar",
        }
    }

    /// Whether it becomes an entry of a stream; otherwise it is only recorded.
    #[must_use]
    pub fn is_event(self) -> bool {
        !matches!(self, Self::Indicator(_) | Self::Sighting(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_of_the_seeds_has_a_meaning_and_no_other_has() {
        for (subject, sort) in [
            ("aurora.alerts.network", Some(Sort::Alert)),
            ("aurora.cps.attestation.door_1", Some(Sort::Attestation)),
            ("aurora.cps.other", Some(Sort::Alert)),
            ("aurora.intel.ioc.ip", Some(Sort::Indicator(Some(ObservableType::Ip)))),
            ("aurora.intel.sighting.hash_md5", Some(Sort::Sighting(Some(ObservableType::HashMd5)))),
            ("aurora.soar.block_ip", Some(Sort::Soar)),
            ("AURORA.alerts", Some(Sort::Alert)),
            ("AURORA.ioc_sharing", Some(Sort::Indicator(None))),
            ("AURORA.agent_results", Some(Sort::AgentResult)),
            ("AURORA.audit", Some(Sort::Audit)),
            ("aurora.intel.ioc.colour", None),
            ("aurora.intel.ip", None),
            ("aurora.alerts", None),
            ("AURORA.other", None),
            ("$JS.API.INFO", None),
        ] {
            assert_eq!(Sort::of(subject), sort, "{subject}");
        }
    }
}
