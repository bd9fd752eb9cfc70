//! A message of another site as it stands in cases: an event, with what it came with.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Origin, event};
use crate::{
    federation::inbound::{Sort, context},
    sandbox::{
        Tlp,
        events::{Draft, Events},
    },
};

/// A message of another site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it says, and the subject that it came on.
    pub origin: Origin,
    /// The site.
    pub site: String,
    /// The stream that it goes to; empty where it is no event.
    pub stream: String,
    /// Its marking.
    pub tlp: Tlp,
    /// When it was received.
    pub received_ms: i64,
}

const SITE: &str = "north";
const SUBJECT: &str = "aurora.alerts.network";

impl Foreign {
    /// The one that `value` writes: an event with `site`, `subject`, `tlp` and `stream`, all of which may be left out.
    pub(crate) fn read(mut value: Value, received_ms: i64) -> Result<Self, String> {
        let map = value.as_object_mut().ok_or("it is no JSON object")?;
        let mut text = |key: &str| match map.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{key}` is {other}, expected a text")),
        };
        let site = text("site")?.unwrap_or_else(|| SITE.to_owned());
        let subject = text("subject")?.unwrap_or_else(|| SUBJECT.to_owned());
        let sort = Sort::of(&subject).ok_or_else(|| format!("{subject:?} is no subject that has a meaning"))?;
        let stream = text("stream")?.unwrap_or_else(|| into(sort).to_owned());
        let marking = text("tlp")?.unwrap_or_else(|| "AMBER".to_owned());
        let tlp = Tlp::read(&marking).ok_or_else(|| format!("{marking:?} is no marking"))?;
        let mut event = event::draft(value, received_ms)?;
        if event.source.is_empty() {
            event.source.clone_from(&site);
        }
        let context = Arc::new(context(Some(&site), sort, &subject));
        Ok(Self { origin: Origin { context, event }, site, stream, tlp, received_ms })
    }

    /// One that says `event`.
    pub(super) fn of(event: Draft) -> Self {
        let (context, received_ms) = (Arc::new(context(Some(SITE), Sort::Alert, SUBJECT)), event.timestamp_ms);
        let origin = Origin { context, event };
        Self { origin, site: SITE.to_owned(), stream: into(Sort::Alert).to_owned(), tlp: Tlp::Amber, received_ms }
    }

    /// As [`read`](Self::read) reads it.
    #[must_use]
    pub fn written(&self) -> Value {
        let mut value = match Events::of([&self.origin.event]) {
            Ok(events) => event::event_value(events.get(0)),
            Err(_) => json!({}),
        };
        value["site"] = self.site.as_str().into();
        value["subject"] = self.origin.context.topic.as_deref().into();
        value["stream"] = self.stream.as_str().into();
        value["tlp"] = self.tlp.as_str().into();
        value
    }
}

/// The stream that it goes to by default.
fn into(sort: Sort) -> &'static str {
    match sort {
        Sort::Alert => "aurora:alerts",
        Sort::Attestation => "aurora:cps:attestation",
        Sort::AgentResult => "aurora:federation:agent_results",
        Sort::Audit => "aurora:federation:audit",
        Sort::Soar => "aurora:federation:soar",
        Sort::Indicator(_) | Sort::Sighting(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was_written() {
        let value = json!({
            "title": "t", "severity": "high", "category": "cps", "kind": "alert", "source": "plc", "timestamp_ms": 5,
            "site": "south", "subject": "aurora.cps.other", "stream": "aurora:cps:alerts", "tlp": "RED",
        });
        let message = Foreign::read(value.clone(), 7).unwrap();
        assert_eq!((message.written(), message.received_ms), (value, 7));
        assert_eq!(message.origin.context.source, "aurora:federation:south");
    }

    #[test]
    fn what_is_left_out_is_an_alert_of_north() {
        let message = Foreign::read(json!({ "title": "t" }), 7).unwrap();
        assert_eq!(
            (message.site.as_str(), message.stream.as_str(), message.tlp),
            ("north", "aurora:alerts", Tlp::Amber)
        );
        let told = Foreign::read(json!({ "subject": "aurora.intel.ioc.ip" }), 7).unwrap();
        assert_eq!((told.stream.as_str(), told.origin.context.channel.as_deref()), ("", Some("ioc")));
        for wrong in [json!(7), json!({ "site": 7 }), json!({ "tlp": "PINK" }), json!({ "subject": "x" })] {
            assert!(Foreign::read(wrong.clone(), 7).is_err(), "{wrong}");
        }
    }
}
