use std::borrow::Cow;

use axum::extract::ws::Utf8Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Feed;
use crate::{broker::redis_streams::Followed, event::EntryId};

/// What viewers get of one entry, and what they may filter by. Made once for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub text: Utf8Bytes,
    pub severity: String,
    pub category: String,
    pub source: String,
    pub device: String,
    pub agent: String,
    pub action: String,
}

/// An entry of alerts.
#[derive(Serialize)]
struct Alert<'a> {
    r#type: &'static str,
    stream: &'a str,
    id: String,
    event: Option<&'a RawValue>,
    /// Why there is no event.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'a str>,
}

/// An entry of the audit trail.
#[derive(Serialize)]
struct Audit<'a> {
    r#type: &'static str,
    stream: &'a str,
    id: String,
    agent: &'a str,
    action: &'a str,
    details: &'a str,
    timestamp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'a str>,
}

/// What of an event is filtered by.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head<'a> {
    #[serde(borrow)]
    severity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    category: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    device_id: Option<Cow<'a, str>>,
}

impl Message {
    /// Of an entry of the stream `name`; at most `most` bytes of it are passed on. Others than we write there, too, so
    /// nothing is taken for granted.
    pub fn of(feed: Feed, name: &str, entry: &Followed, most: usize) -> Self {
        let field = |name: &[u8]| {
            let mut pairs = entry.fields.chunks_exact(2);
            pairs.find(|pair| pair[0] == name).map_or(&b""[..], |pair| &pair[1])
        };
        let text = |name: &[u8]| String::from_utf8_lossy(field(name)).into_owned();
        match feed {
            Feed::Alerts => {
                let data = field(b"data");
                let parsed: Option<&RawValue> = serde_json::from_slice(data).ok();
                let head: Head = serde_json::from_slice(data).unwrap_or_default();
                let or = |own: String, of_data: &Option<Cow<str>>| match of_data {
                    Some(of_data) if own.is_empty() => of_data.clone().into_owned(),
                    _ => own,
                };
                let mut message = Self {
                    text: Utf8Bytes::default(),
                    severity: or(text(b"severity"), &head.severity),
                    category: or(text(b"category"), &head.category),
                    source: or(text(b"source"), &head.source),
                    device: head.device_id.as_deref().unwrap_or_default().to_owned(),
                    agent: String::new(),
                    action: String::new(),
                };
                let missing = match parsed {
                    None => Some("the entry holds no JSON"),
                    Some(_) if data.len() > most => Some("larger than broadcast.max_message"),
                    Some(_) => None,
                };
                let event = parsed.filter(|_| missing.is_none());
                message.text = json(&Alert { r#type: "alert", stream: name, id: id(entry.id), event, missing });
                message
            }
            Feed::Audit => {
                let (agent, action, details, timestamp) =
                    (text(b"agent"), text(b"action"), text(b"details"), text(b"timestamp"));
                let is_large = details.len() + agent.len() + action.len() + timestamp.len() > most;
                let shown = |text: &'_ str| if is_large { String::new() } else { text.to_owned() };
                let text = json(&Audit {
                    r#type: "audit",
                    stream: name,
                    id: id(entry.id),
                    agent: &shown(&agent),
                    action: &shown(&action),
                    details: &shown(&details),
                    timestamp: &shown(&timestamp),
                    missing: is_large.then_some("larger than broadcast.max_message"),
                });
                Self {
                    text,
                    severity: String::new(),
                    category: String::new(),
                    source: String::new(),
                    device: String::new(),
                    agent,
                    action,
                }
            }
        }
    }
}

fn id(id: EntryId) -> String {
    id.to_string()
}

fn json(value: &impl Serialize) -> Utf8Bytes {
    // Texts and JSON that was read a moment ago: nothing here can fail.
    serde_json::to_string(value).unwrap_or_default().into()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(fields: &[&[u8]]) -> Followed {
        let fields = fields.iter().map(|field| field.to_vec()).collect();
        Followed { stream: 0, id: EntryId { ms: 7, sequence: 1 }, fields }
    }

    pub fn alert(fields: &[&[u8]]) -> Message {
        Message::of(Feed::Alerts, "aurora:alerts", &entry(fields), 1000)
    }

    fn value(message: &Message) -> Value {
        serde_json::from_str(&message.text).expect("JSON")
    }

    #[test]
    fn an_event_is_passed_on_as_it_is() {
        let message = alert(&[b"data", br#"{"title":"a", "device_id":"pump_1"}"#, b"severity", b"high"]);
        assert_eq!(
            value(&message),
            json!({"type": "alert", "stream": "aurora:alerts", "id": "7-1", "event": {"title": "a", "device_id": "pump_1"}})
        );
        assert_eq!((&*message.severity, &*message.device, &*message.source), ("high", "pump_1", ""));
    }

    #[test]
    fn what_an_entry_does_not_say_its_event_does() {
        let data = br#"{"severity":"low","category":"cps","source":"s\u0041"}"#;
        let message = alert(&[b"data", data]);
        assert_eq!((&*message.severity, &*message.category, &*message.source), ("low", "cps", "sA"));
    }

    #[test]
    fn what_is_no_event_or_too_large_is_announced() {
        assert_eq!(value(&alert(&[b"data", b"{\"cut"]))["missing"], "the entry holds no JSON");
        assert_eq!(value(&alert(&[b"odd"]))["event"], Value::Null);
        let large = format!(r#"{{"title":"{}"}}"#, "a".repeat(2000));
        let message = alert(&[b"data", large.as_bytes(), b"severity", b"high"]);
        assert!(message.text.len() < 200 && message.severity == "high", "{message:?}");
        let fields: &[&[u8]] = &[b"agent", b"x", b"details", large.as_bytes()];
        let message = Message::of(Feed::Audit, "aurora:audit", &entry(fields), 1000);
        assert!(message.text.len() < 300 && message.agent == "x", "{message:?}");
    }

    #[test]
    fn an_audit_entry_has_its_four_fields() {
        let fields: &[&[u8]] = &[b"agent", b"a", b"action", b"b", b"details", b"c\xff", b"timestamp", b"t"];
        let message = Message::of(Feed::Audit, "aurora:audit", &entry(fields), 1000);
        let expected = json!({"type": "audit", "stream": "aurora:audit", "id": "7-1", "agent": "a", "action": "b", "details": "c\u{fffd}", "timestamp": "t"});
        assert_eq!(value(&message), expected);
    }
}
