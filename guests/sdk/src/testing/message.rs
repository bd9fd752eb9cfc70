use serde_json::Value;

use super::{Case, Event, origin_events};
use crate::{Context, Messages, Tlp};

/// The messages of a case: events as a router has them, each with what it came with: `site` (`north`), `subject`
/// (`aurora.alerts.network`), `tlp` (`AMBER`), and `stream`, the one that it goes to.
pub(super) fn read(case: &Case, input: &[u8]) -> Messages {
    let values = case.cut(input).into_iter().flat_map(|bytes| {
        let shown = || String::from_utf8_lossy(bytes).into_owned();
        match serde_json::from_slice::<Value>(bytes).unwrap_or_else(|error| panic!("{error} in {}", shown())) {
            Value::Array(values) => values,
            value => vec![value],
        }
    });
    let (mut events, mut contexts) = (Vec::new(), Vec::new());
    let (mut sites, mut streams, mut tlp) = (Vec::new(), Vec::new(), Vec::new());
    for mut value in values {
        let mut text = |key: &str, default: &str| {
            let given = value.as_object_mut().and_then(|map| map.remove(key));
            given.map_or_else(|| default.to_owned(), |given| given.as_str().expect("a text").to_owned())
        };
        let (site, subject) = (text("site", "north"), text("subject", "aurora.alerts.network"));
        let (sort, stream) = of_subject(&subject);
        let (stream, marking) = (text("stream", stream), text("tlp", "AMBER"));
        let all = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];
        let marked = all.into_iter().find(|tlp| tlp.as_str() == marking);
        tlp.push(marked.unwrap_or_else(|| panic!("there is no marking {marking:?}")));
        let mut event: Event = serde_json::from_value(value).expect("an event");
        if event.source.is_empty() {
            event.source.clone_from(&site);
        }
        events.push(event);
        contexts.push(Context {
            source: format!("aurora:federation:{site}"),
            format: "json".to_owned(),
            topic: Some(subject),
            device_id: None,
            channel: Some(sort.to_owned()),
            source_ip: None,
        });
        sites.push(site);
        streams.push(stream);
    }
    let mut origin = origin_events(Context::clone(&contexts[0]), case.received_ms, &events);
    (origin.contexts, origin.context) = (contexts, (0..events.len() as u32).collect());
    Messages {
        received_ms: vec![case.received_ms; events.len()],
        stream: (0..events.len() as u32).collect(),
        events: origin,
        sites,
        streams,
        tlp,
    }
}

/// What a message on `subject` is, and where it goes by default.
fn of_subject(subject: &str) -> (&'static str, &'static str) {
    match subject {
        "AURORA.agent_results" => ("agent_results", "aurora:federation:agent_results"),
        "AURORA.audit" => ("audit", "aurora:federation:audit"),
        "AURORA.ioc_sharing" => ("ioc", ""),
        _ if subject.starts_with("aurora.intel.ioc.") => ("ioc", ""),
        _ if subject.starts_with("aurora.intel.sighting.") => ("sighting", ""),
        _ if subject.starts_with("aurora.soar.") => ("soar", "aurora:federation:soar"),
        _ if subject.starts_with("aurora.cps.attestation.") => ("attestation", "aurora:cps:attestation"),
        _ => ("alert", "aurora:alerts"),
    }
}
