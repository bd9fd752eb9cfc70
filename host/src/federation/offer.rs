//! What a site can offer to the others beside events: what its agents found, its audit trail, and what was done about an
//! event. Each is a stream of this site's Redis, whose entries stay there.
//!
//! An entry goes the way of an event from federate on: the host makes an event of it, the policy decides, the ceiling
//! narrows, and the step that puts it into the outbox acknowledges it to the group. So it leaves once or is kept once,
//! whoever dies in between. No normalizer sees it, for there is nothing to find out about it, and no router, for it is in
//! its stream already.
//!
//! A policy knows it by its context: `source` is the name that the stream has by default, whatever it is called here. No
//! collector can pass anything off as one, for names of origins have no colons.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, de};

use crate::{
    event::Context,
    sandbox::{Category, Kind, Severity, events::Draft},
};

/// A stream that can be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// What agents found: investigations.
    AgentResults,
    /// The audit trail.
    Audit,
    /// What was done about an event.
    Soar,
}

impl Offer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AgentResults, Self::Audit, Self::Soar];

    /// As in the configuration, in labels, and in the field `kind` of the outbox.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentResults => "agent_results",
            Self::Audit => "audit",
            Self::Soar => "soar",
        }
    }

    /// The source that a policy knows it by.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::AgentResults => "aurora:agent:results",
            Self::Audit => "aurora:audit",
            Self::Soar => "aurora:soar:actions",
        }
    }

    /// Which one an event of this context comes from, if from any.
    #[must_use]
    pub fn of(context: &Context) -> Option<Self> {
        // Nearly every event ends here.
        if !context.source.starts_with("aurora:") {
            return None;
        }
        Self::ALL.into_iter().find(|offer| offer.source() == context.source)
    }

    /// Whether its entries go to `subject`.
    #[must_use]
    pub fn takes(self, subject: &str) -> bool {
        match self {
            Self::AgentResults => subject == "AURORA.agent_results",
            Self::Audit => subject == "AURORA.audit",
            Self::Soar => subject.strip_prefix("aurora.soar.").is_some_and(|action| !action.contains('.')),
        }
    }

    /// The subjects that [`takes`](Self::takes) speaks of.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            Self::AgentResults => "AURORA.agent_results",
            Self::Audit => "AURORA.audit",
            Self::Soar => "aurora.soar.<action>",
        }
    }

    /// The same as a pattern.
    #[must_use]
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Soar => "aurora.soar.*",
            Self::AgentResults | Self::Audit => self.subject(),
        }
    }

    /// The event that an entry is to a policy. `payload` has the entry's fields, as a JSON object or as a list of pairs.
    ///
    /// # Errors
    /// It has not.
    pub fn event(self, payload: &[u8], received_ms: i64) -> Result<Draft, String> {
        let Fields(fields) = serde_json::from_slice(payload)
            .map_err(|error| format!("is no entry of {}, whose fields are a JSON object: {error}", self.source()))?;
        let mut keys = BTreeSet::new();
        if let Some((twice, _)) = fields.iter().find(|(key, _)| !keys.insert(key.as_str())) {
            return Err(format!("the field {twice:?} is there twice"));
        }
        let field = |wanted: &str| fields.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        let severity = field("severity").and_then(|text| Severity::ALL.into_iter().find(|one| one.as_str() == text));
        let category = field("category").and_then(|text| Category::ALL.into_iter().find(|one| one.as_str() == text));
        let time = field("timestamp").and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
        let some = |keys: &[&str]| keys.iter().find_map(|key| field(key).filter(|text| !text.is_empty()));
        let title = match self {
            Self::AgentResults => some(&["title", "summary", "task_id"]).unwrap_or("agent result"),
            Self::Audit | Self::Soar => some(&["action"]).unwrap_or(self.as_str()),
        };
        Ok(Draft {
            kind: Kind::Alert,
            severity: severity.unwrap_or(Severity::Info),
            category: category.unwrap_or(Category::Endpoint),
            timestamp_ms: time.map_or(received_ms, |time| time.timestamp_millis()),
            title: title.to_owned(),
            description: String::new(),
            observables: Vec::new(),
            techniques: Vec::new(),
            source: String::new(),
            device_id: String::new(),
            dedup_key: String::new(),
            fields,
        })
    }
}

/// Fields of an entry, in their order.
struct Fields(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> de::Visitor<'de> for Either {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of texts, or a list of pairs")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    fields.push(pair);
                }
                Ok(Fields(fields))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(pair) = seq.next_element()? {
                    fields.push(pair);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(source: &str) -> Context {
        Context { source: source.to_owned(), ..Context::default() }
    }

    #[test]
    fn is_known_by_a_source_that_no_collector_can_have() {
        for offer in Offer::ALL {
            assert_eq!(Offer::of(&context(offer.source())), Some(offer));
            assert!(!crate::event::is_source(offer.source()));
        }
        assert_eq!(Offer::of(&context("aurora:alerts")), None);
        assert_eq!(Offer::of(&context("audit")), None);
    }

    #[test]
    fn each_has_subjects_of_its_own() {
        assert!(Offer::Soar.takes("aurora.soar.block_ip") && !Offer::Soar.takes("aurora.soar.a.b"));
        assert!(!Offer::Soar.takes("aurora.soar") && !Offer::Soar.takes("AURORA.audit"));
        assert!(Offer::Audit.takes("AURORA.audit") && !Offer::Audit.takes("AURORA.agent_results"));
    }

    #[test]
    fn an_entry_becomes_an_event_with_its_fields() {
        let payload = br#"{"agent":"triage","action":"close","details":"x","timestamp":"2026-03-01T00:00:00Z"}"#;
        let event = Offer::Audit.event(payload, 7).unwrap();
        assert_eq!(
            (event.title.as_str(), event.severity, event.timestamp_ms),
            ("close", Severity::Info, 1_772_323_200_000)
        );
        assert_eq!(event.fields[0], ("agent".to_owned(), "triage".to_owned()));
        let same = br#"[["agent","triage"],["action","close"],["details","x"],["timestamp","2026-03-01T00:00:00Z"]]"#;
        assert_eq!(Offer::Audit.event(same, 7).unwrap(), event);
        let result =
            Offer::AgentResults.event(br#"{"severity":"high","category":"cps","timestamp":"soon"}"#, 7).unwrap();
        assert_eq!((result.severity, result.category, result.timestamp_ms), (Severity::High, Category::Cps, 7));
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for payload in [&b""[..], b"7", b"[1]", b"{\"a\":1}", b"[[\"a\",\"b\"],[\"a\",\"c\"]]", b"[[\"a\"]]"] {
            assert!(Offer::Audit.event(payload, 0).is_err(), "{}", String::from_utf8_lossy(payload));
        }
    }
}
