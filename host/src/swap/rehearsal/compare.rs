//! What two guests make of the same event, field by field.

use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::entry,
    pipeline::{Decided, Outcome, Stages},
};

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which, as in `events[0].event.fields.src_ip`.
    pub field: String,
    /// What the present guest makes of it; none if the field is not there.
    pub present: Option<String>,
    /// What the candidate makes of it.
    pub candidate: Option<String>,
}

/// Most differences of one event that are told one by one.
const MOST: usize = 20;

/// Most characters of a key.
const KEY: usize = 100;

/// Most characters of a value.
const VALUE: usize = 200;

/// What became of one raw event, as `aurora pipe` prints it.
#[derive(Serialize)]
struct Spoken<'a> {
    outcome: &'static str,
    reason: &'a str,
    events: Vec<entry::Entry<'a>>,
}

/// What became of the raw event at `index`, as JSON.
pub(super) fn spoken(decided: &Decided, index: usize, stages: &Stages) -> Vec<u8> {
    let (outcome, reason) = match &decided.outcomes[index] {
        Outcome::Accepted { .. } => ("accepted", ""),
        Outcome::Dropped(reason) => ("dropped", reason.as_str()),
        Outcome::RetryAfter { reason, .. } => ("retry-after", reason.as_str()),
        Outcome::Rejected(reason) => ("rejected", reason.as_str()),
    };
    let events = decided.events_of(index, decided.fingerprint(index));
    let events = events.filter_map(|event| entry::entry(&event, stages).ok()).collect();
    serde_json::to_vec(&Spoken { outcome, reason, events }).unwrap_or_default()
}

/// What differs between two of [`spoken`].
pub(super) fn differences(present: &[u8], candidate: &[u8]) -> Vec<Difference> {
    let read = |bytes| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let mut found = Vec::new();
    walk(String::new(), Some(&read(present)), Some(&read(candidate)), &mut found);
    found
}

fn walk(at: String, present: Option<&Value>, candidate: Option<&Value>, found: &mut Vec<Difference>) {
    if present == candidate || found.len() == MOST {
        return;
    }
    let empty = serde_json::Map::new();
    match (present, candidate) {
        (Some(Value::Object(ours)), Some(Value::Object(_)) | None) | (None, Some(Value::Object(ours))) => {
            let theirs = candidate.and_then(Value::as_object).unwrap_or(&empty);
            let ours = if present.is_some() { ours } else { &empty };
            let only_theirs = theirs.keys().filter(|key| !ours.contains_key(*key));
            for key in ours.keys().chain(only_theirs) {
                // Keys come out of events, and are as long as somebody likes.
                let key_at: String = key.chars().take(KEY).collect();
                let at = if at.is_empty() { key_at } else { format!("{at}.{key_at}") };
                walk(at, ours.get(key), theirs.get(key), found);
            }
        }
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
            for index in 0..ours.len().max(theirs.len()) {
                walk(format!("{at}[{index}]"), ours.get(index), theirs.get(index), found);
            }
        }
        _ => found.push(Difference { field: at, present: present.map(shown), candidate: candidate.map(shown) }),
    }
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(VALUE).collect()
}

/// The field's name without positions and without an event's own keys' positions: what the table counts by.
pub(super) fn kind(field: &str) -> String {
    let mut kind = String::with_capacity(field.len());
    let mut within = false;
    for c in field.chars() {
        match c {
            '[' => {
                kind.push('[');
                within = true;
            }
            ']' => {
                kind.push(']');
                within = false;
            }
            c if !within => kind.push(c),
            _ => {}
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(present: &str, candidate: &str) -> Vec<(String, String, String)> {
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let found = differences(present.as_bytes(), candidate.as_bytes());
        found.into_iter().map(|found| (found.field, text(found.present), text(found.candidate))).collect()
    }

    #[test]
    fn names_each_field_that_differs_and_no_other() {
        let present =
            r#"{"outcome":"accepted","events":[{"event":{"title":"a","fields":{"x":"1","y":"2"}},"streams":["s"]}]}"#;
        let candidate = r#"{"outcome":"accepted","events":[{"event":{"title":"a","fields":{"x":"3","z":"4"}},"streams":["s","t"]}]}"#;
        let of =
            |field: &str, present: &str, candidate: &str| (field.to_owned(), present.to_owned(), candidate.to_owned());
        let fields = "events[0].event.fields";
        assert_eq!(
            found(present, candidate),
            [
                of(&format!("{fields}.x"), "\"1\"", "\"3\""),
                of(&format!("{fields}.y"), "\"2\"", "-"),
                of(&format!("{fields}.z"), "-", "\"4\""),
                of("events[0].streams[1]", "-", "\"t\""),
            ]
        );
        assert!(found(present, present).is_empty());
    }

    #[test]
    fn an_event_that_only_one_of_them_made_is_told_by_its_fields() {
        let all = found(r#"{"events":[]}"#, r#"{"events":[{"event":{"title":"a"}}]}"#);
        assert_eq!(all, [("events[0].event.title".to_owned(), "-".to_owned(), "\"a\"".to_owned())]);
    }

    #[test]
    fn long_keys_are_cut() {
        let long = format!(r#"{{"fields":{{"{}":1}}}}"#, "k".repeat(10_000));
        assert_eq!(found(&long, "{}")[0].0, format!("fields.{}", "k".repeat(KEY)));
    }

    #[test]
    fn the_table_counts_by_field_whatever_its_position() {
        assert_eq!(kind("events[12].event.iocs[3].value"), "events[].event.iocs[].value");
    }
}
