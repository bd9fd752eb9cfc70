//! What the edge devices of `aurora/…` topics publish: JSON, whose kind comes from the last level of the topic.

mod attestation;

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, category, severity, title},
};

/// Whether an object that is no product's comes from a device.
#[must_use]
pub fn is_device(about: &About<'_>) -> bool {
    about.context.format == "mqtt" || about.context.device_id.is_some()
}

/// Whether a message is a device's answer to an attestation request.
#[must_use]
pub fn is_answer(about: &About<'_>) -> bool {
    is_device(about) && about.context.channel.as_deref() == Some("response")
}

/// Whether a payload is a bare number, as the smallest devices publish a reading.
#[must_use]
pub fn is_reading(text: &str) -> bool {
    let text = text.trim();
    text.len() < 64 && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) && text.parse::<f64>().is_ok()
}

/// What a device's message means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let device = if about.context.device_id.is_none() { event.index("device_id") } else { None };
    let name = about.context.device_id.as_deref().or_else(|| event.get("device_id")).unwrap_or("device").to_owned();
    let timestamp_ms = about.time(TIMES.map(|key| event.get(key)));
    let stated = event.get("severity").map(|word| severity::by_word(word).unwrap_or(Severity::Medium));
    event.keep_severity("severity");
    let (kind, severity) = match about.context.channel.as_deref() {
        Some("status") => {
            let _ = write!(words.title, "{name} status");
            for key in ["status", "state", "device_type", "board_family", "firmware_stack", "firmware_version"] {
                if let Some(value) = event.get(key) {
                    let _ = write!(words.description, "{key} {value}, ");
                }
            }
            words.description.truncate(words.description.as_str().trim_end_matches(", ").len());
            (Kind::Status, stated.unwrap_or(Severity::Info))
        }
        Some("telemetry") => {
            reading(event, &name, words);
            (Kind::Telemetry, stated.unwrap_or(Severity::Info))
        }
        Some("response") => {
            let severity = attestation::check(event, about.context.device_id.as_deref(), &name, words);
            (Kind::Attestation, severity)
        }
        Some("badge_event") => {
            let result = event.first(&["result", "outcome", "decision", "event", "event_type", "type", "status"]);
            let granted = result.is_some_and(|result| contains(result, "grant") || contains(result, "allow"))
                || event.first(&["granted", "access_granted", "allowed"]) == Some("true");
            match event.first(&["title", "message"]) {
                Some(text) => words.title.push_str(title::line(text)),
                None => {
                    let _ = write!(words.title, "{name} badge event");
                    if let Some(result) = result {
                        let _ = write!(words.title, ": {}", title::line(result));
                    }
                }
            }
            let badge = event.first(&["badge_id", "badge", "card_id", "credential_id", "user", "user_id"]);
            let door = event.first(&["door", "door_id", "location", "reader", "reader_id"]);
            for (what, value) in [("badge", badge), ("at", door)] {
                if let Some(value) = value {
                    let _ = write!(words.description, "{what} {value} ");
                }
            }
            words.description.truncate(words.description.as_str().trim_end().len());
            (Kind::Alert, stated.unwrap_or(if granted { Severity::Info } else { Severity::Medium }))
        }
        _ => {
            let text = event.first(&["title", "message"]).unwrap_or("Unknown Event");
            words.title.push_str(title::line(text));
            let more = event.first(&["description", "detail", "details", "message"]).unwrap_or_default();
            words.description.push_str(title::paragraph(more));
            (Kind::Alert, stated.unwrap_or(Severity::Medium))
        }
    };
    let category = event.get("category").and_then(category::by_word).unwrap_or(Category::Cps);
    Meaning { kind, severity, category, timestamp_ms, device }
}

const TIMES: [&str; 7] = ["timestamp_ms", "timestamp", "ts", "time", "@timestamp", "event_time", "date"];

/// `sensor: value unit`, out of whatever a reading calls them.
fn reading(event: &Draft<'_>, name: &str, words: &mut Words) {
    let what = event.first(&["sensor", "metric", "measurement", "type", "name", "channel"]);
    let value = event.first(&["value", "reading"]);
    match (what, value) {
        (Some(what), Some(value)) => {
            let _ = write!(words.title, "{name} {what}: {value}");
            if let Some(unit) = event.first(&["unit", "units"]) {
                let _ = write!(words.title, " {unit}");
            }
        }
        (_, Some(value)) => {
            let _ = write!(words.title, "{name}: {value}");
        }
        _ => {
            // `{"temp_c": 21.5}` names the reading by its key.
            let number = event
                .fields()
                .find(|(key, value)| !TIMES.contains(key) && *key != "device_id" && value.parse::<f64>().is_ok());
            match number {
                Some((key, value)) => {
                    let _ = write!(words.title, "{name} {key}: {value}");
                }
                None => {
                    let _ = write!(words.title, "{name} telemetry");
                }
            }
        }
    }
    // Keys and values of a device's own may be of any length.
    let most = words.title.as_str().floor_char_boundary(160);
    words.title.truncate(most);
}

fn contains(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}
