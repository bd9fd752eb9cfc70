//! JSON of no known product: severity is `severity`, else medium; the title is `title`, else `message`.

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, category, severity, title},
};

/// What such an object means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    // In a syslog message the header has a severity where the object has none.
    let mut found = about.header_severity.unwrap_or(Severity::Medium);
    let mut kept = false;
    for key in ["severity", "level", "log.level", "Severity", "priority"] {
        let Some(value) = event.get(key) else { continue };
        // Only `severity` may be an unknown word: the other keys are severities only where they sound like one.
        match severity::by_word(value) {
            Some(severity) => found = severity,
            None if key == "severity" => found = Severity::Medium,
            None => continue,
        }
        event.keep_severity(key);
        kept = true;
        break;
    }
    if !kept {
        event.keep_severity("syslog.severity");
    }
    let text = event.first(&["title", "message"]).unwrap_or("Unknown Event");
    match event.get("syslog.appname").filter(|_| text == "Unknown Event") {
        Some(appname) => {
            words.title.push_str(appname);
            if let Some(what) = event.first(&["msg", "event", "event_type", "action", "category", "type"]) {
                words.title.push_str(": ");
                words.title.push_str(title::line(what));
            }
        }
        None => words.title.push_str(title::line(text)),
    }
    let more = event.first(&["description", "message", "msg", "details", "detail", "reason"]).unwrap_or_default();
    words.description.push_str(title::paragraph(more));
    let category = event
        .get("category")
        .and_then(category::by_word)
        .or_else(|| event.first(&["product", "vendor"]).and_then(category::by_product))
        .or_else(|| category::by_product(&about.context.source))
        .unwrap_or(Category::Network);
    let times = [
        "timestamp_ms",
        "timestamp",
        "@timestamp",
        "time",
        "ts",
        "eventTime",
        "event_time",
        "created_at",
        "datetime",
        "date",
    ];
    let device = if about.context.device_id.is_none() {
        event.index("device_id").filter(|&i| is_device(event.at(i).1))
    } else {
        None
    };
    Meaning {
        kind: Kind::Alert,
        severity: found,
        category,
        timestamp_ms: about.time(times.into_iter().map(|key| event.get(key))),
        device,
    }
}

/// The pattern of device ids: `[A-Za-z0-9_-]{1,64}`.
fn is_device(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
