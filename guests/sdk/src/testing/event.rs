use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Case;
use crate::{
    Category, Context, Kind, Normalizing, ObservableType, OriginEvents, Scope, Severity, Summary, Text,
    spelling::from_name,
};

/// A normalized event made by hand, for tests of routers and policies. In the `input` of a case it is a line of JSON
/// with these keys, or what `aurora pipe` prints of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Event {
    /// `alert`, `status`, `telemetry` or `attestation`.
    pub kind: String,
    /// `critical`, `high`, `medium`, `low` or `info`.
    pub severity: String,
    /// `cps`, `network`, `endpoint`, `identity` or `cloud`.
    pub category: String,
    /// When it happened.
    pub timestamp_ms: Option<i64>,
    /// The origin that it names.
    pub source: String,
    /// The device that it names.
    pub device_id: Option<String>,
    /// Its deduplication key.
    pub dedup_key: String,
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// Its fields.
    pub fields: BTreeMap<String, String>,
    /// Its observables.
    pub iocs: Vec<Ioc>,
    /// MITRE ATT&CK technique ids.
    pub mitre_techniques: Vec<String>,
    /// The host's, which no guest sees.
    #[serde(rename = "id")]
    _id: String,
}

/// An observable of an [`Event`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ioc {
    /// `ip`, `domain`, …
    pub r#type: String,
    /// Its value.
    pub value: String,
    /// `public`, `reserved` or `allow-listed`.
    #[serde(default = "public")]
    pub scope: String,
}

fn public() -> String {
    "public".to_owned()
}

impl Default for Event {
    fn default() -> Self {
        Self {
            kind: "alert".to_owned(),
            severity: "medium".to_owned(),
            category: "network".to_owned(),
            timestamp_ms: None,
            source: String::new(),
            device_id: None,
            dedup_key: String::new(),
            title: String::new(),
            description: String::new(),
            fields: BTreeMap::new(),
            iocs: Vec::new(),
            mitre_techniques: Vec::new(),
            _id: String::new(),
        }
    }
}

/// `events`, which came in `context` at `received_ms`, as a router or a policy gets them.
///
/// # Panics
/// If one has a kind, severity, category, type or scope that does not exist.
#[must_use]
pub fn origin_events(context: Context, received_ms: i64, events: &[Event]) -> OriginEvents {
    let mut out = Normalizing::with_capacity(events.len(), 0);
    for event in events {
        let mut writer = out.event();
        event.fields.iter().for_each(|(key, value)| writer.field(key, value));
        for ioc in &event.iocs {
            let kind = known("type", from_name(&ObservableType::ALL, &ioc.r#type, ObservableType::as_str), &ioc.r#type);
            let scope = known("scope", from_name(&Scope::ALL, &ioc.scope, Scope::as_str), &ioc.scope);
            writer.observable(kind, scope, &ioc.value);
        }
        event.mitre_techniques.iter().for_each(|id| writer.technique(id));
        writer.finish(&Summary {
            kind: known("kind", from_name(&Kind::ALL, &event.kind, Kind::as_str), &event.kind),
            severity: known("severity", from_name(&Severity::ALL, &event.severity, Severity::as_str), &event.severity),
            category: known("category", from_name(&Category::ALL, &event.category, Category::as_str), &event.category),
            timestamp_ms: event.timestamp_ms.unwrap_or(received_ms),
            source: Text::Str(&event.source),
            device_id: Text::Str(event.device_id.as_deref().unwrap_or_default()),
            dedup_key: Text::Str(&event.dedup_key),
            title: Text::Str(&event.title),
            description: Text::Str(&event.description),
        });
        out.accept();
    }
    OriginEvents { contexts: vec![context], context: vec![0; events.len()], events: out.finish().events }
}

fn known<T>(what: &str, found: Option<T>, text: &str) -> T {
    found.unwrap_or_else(|| panic!("there is no {what} {text:?}"))
}

/// The events of a case: JSON, one a line, or an array with `framing = "whole"`.
pub(super) fn read(case: &Case, input: &[u8]) -> OriginEvents {
    let parse = |bytes: &[u8]| -> Value {
        let shown = || String::from_utf8_lossy(bytes).into_owned();
        serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error} in {}", shown()))
    };
    let values = case.cut(input).into_iter().flat_map(|bytes| match parse(bytes) {
        Value::Array(values) => values,
        value => vec![value],
    });
    let events: Vec<Event> = values
        .map(|mut value| {
            let event = value.get_mut("event").map(Value::take).unwrap_or(value);
            serde_json::from_value(event).unwrap_or_else(|error| panic!("an event of the case: {error}"))
        })
        .collect();
    origin_events(case.context(), case.received_ms, &events)
}
