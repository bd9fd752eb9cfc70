//! A normalized event as it stands in cases and recordings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::sandbox::{
    Category, Kind, ObservableType, Scope, Severity,
    events::{Draft, EventRef},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: Option<String>,
    severity: Option<String>,
    category: Option<String>,
    timestamp_ms: Option<i64>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    device_id: Option<String>,
    #[serde(default)]
    dedup_key: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    #[serde(default)]
    iocs: Vec<Ioc>,
    #[serde(default)]
    mitre_techniques: Vec<String>,
    /// The host's, which no guest sees.
    #[serde(rename = "id", default)]
    _id: String,
    /// What attestation results say once more beside their fields, for their consumers.
    #[serde(rename = "valid", default)]
    _valid: bool,
    #[serde(rename = "status", default)]
    _status: String,
    #[serde(rename = "reason", default)]
    _reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ioc {
    r#type: String,
    value: String,
    scope: Option<String>,
}

/// The event that `value` writes, by itself or as the `event` of what `aurora pipe` prints.
pub(super) fn draft(mut value: Value, received_ms: i64) -> Result<Draft, String> {
    let value = value.get_mut("event").map(Value::take).unwrap_or(value);
    let written: Written = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let observable = |ioc: Ioc| {
        let kind = known("type", &ObservableType::ALL, Some(&ioc.r#type), ObservableType::as_str, ObservableType::Ip)?;
        let scope = known("scope", &Scope::ALL, ioc.scope.as_deref(), Scope::as_str, Scope::Public)?;
        Ok((kind, scope, ioc.value))
    };
    Ok(Draft {
        kind: known("kind", &Kind::ALL, written.kind.as_deref(), Kind::as_str, Kind::Alert)?,
        severity: known("severity", &Severity::ALL, written.severity.as_deref(), Severity::as_str, Severity::Medium)?,
        category: known("category", &Category::ALL, written.category.as_deref(), Category::as_str, Category::Network)?,
        timestamp_ms: written.timestamp_ms.unwrap_or(received_ms),
        fields: written.fields.into_iter().collect(),
        observables: written.iocs.into_iter().map(observable).collect::<Result<_, String>>()?,
        techniques: written.mitre_techniques,
        source: written.source,
        device_id: written.device_id.unwrap_or_default(),
        dedup_key: written.dedup_key,
        title: written.title,
        description: written.description,
    })
}

fn known<T: Copy>(
    what: &str,
    all: &[T],
    name: Option<&str>,
    spelled: impl Fn(T) -> &'static str,
    default: T,
) -> Result<T, String> {
    let Some(name) = name else { return Ok(default) };
    let found = all.iter().copied().find(|&item| spelled(item) == name);
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|&item| spelled(item)).collect();
        format!("there is no {what} {name:?}; there are {}", names.join(", "))
    })
}

/// `event` as it stands in cases and recordings; what is empty is left out.
#[must_use]
pub fn event_value(event: EventRef<'_>) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| {
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(values) => values.is_empty(),
            _ => false,
        };
        if !empty {
            map.insert(key.to_owned(), value);
        }
    };
    let observables = event
        .observables()
        .map(|(kind, scope, value)| json!({ "type": kind.as_str(), "value": value, "scope": scope.as_str() }));
    put("kind", event.kind().as_str().into());
    put("severity", event.severity().as_str().into());
    put("category", event.category().as_str().into());
    put("timestamp_ms", event.timestamp_ms().into());
    put("source", event.source().into());
    put("device_id", event.device_id().into());
    put("dedup_key", event.dedup_key().into());
    put("title", event.title().into());
    put("description", event.description().into());
    put("fields", event.fields().map(|(key, value)| (key.to_owned(), Value::from(value))).collect());
    put("iocs", observables.collect());
    put("mitre_techniques", event.techniques().map(Value::from).collect());
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::events::Events;

    #[test]
    fn an_event_comes_back_as_it_was_written() {
        let written = json!({
            "kind": "status", "severity": "high", "category": "cps", "timestamp_ms": 7, "title": "t",
            "device_id": "d", "fields": {"a": "b"},
            "iocs": [{"type": "ip", "value": "1.2.3.4", "scope": "reserved"}], "mitre_techniques": ["T1059"],
        });
        let draft = draft(json!({ "event": written, "streams": [] }), 0).unwrap();
        let events = Events::of([&draft]).unwrap();
        assert_eq!(event_value(events.get(0)), written);
    }

    #[test]
    fn an_unknown_word_is_named_with_the_known_ones() {
        let error = draft(json!({ "severity": "hihg" }), 0).unwrap_err();
        assert!(error.contains("hihg") && error.contains("critical"), "{error}");
    }
}
