//! Events of the Elastic Common Schema, from any shipper.

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, category, severity, title},
};

/// Whether this is an ECS event.
pub fn fits(event: &Draft<'_>) -> bool {
    event.get("@timestamp").is_some()
        && event
            .first(&[
                "ecs.version",
                "event.kind",
                "event.category",
                "event.category.0",
                "event.module",
                "event.dataset",
            ])
            .is_some()
}

/// What the event means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let mut severity = None;
    for key in ["kibana.alert.severity", "signal.rule.severity", "log.level", "event.severity", "severity"] {
        let Some(value) = event.get(key) else { continue };
        severity = severity::by_word(value).or_else(|| number(value));
        if severity.is_some() {
            event.keep_severity(key);
            break;
        }
    }
    let alert = event.get("event.kind") == Some("alert") || event.get("kibana.alert.severity").is_some();
    let name = event.first(&["rule.name", "kibana.alert.rule.name", "message", "event.action", "event.dataset"]);
    words.title.push_str(title::line(name.unwrap_or("Unknown Event")));
    let more = event.first(&["message", "event.reason", "kibana.alert.reason", "rule.description", "event.original"]);
    words.description.push_str(title::paragraph(more.unwrap_or_default()));
    Meaning {
        kind: if event.get("event.kind") == Some("metric") { Kind::Telemetry } else { Kind::Alert },
        severity: severity.unwrap_or(if alert { Severity::Medium } else { Severity::Info }),
        category: category(event),
        timestamp_ms: about.time([event.get("@timestamp"), event.get("event.created")]),
        device: None,
    }
}

/// Elastic's risk bands for numbers over 10; under that the scale is CEF's.
fn number(text: &str) -> Option<Severity> {
    match text.parse::<u32>().ok()? {
        0..=10 => Some(severity::cef(text)),
        11..=46 => Some(Severity::Low),
        47..=72 => Some(Severity::Medium),
        73..=98 => Some(Severity::High),
        99..=100 => Some(Severity::Critical),
        _ => None,
    }
}

fn category(event: &Draft<'_>) -> Category {
    for (key, value) in event.fields() {
        if !key.starts_with("event.category") {
            continue;
        }
        match value {
            "authentication" | "iam" | "session" => return Category::Identity,
            "network" | "intrusion_detection" | "web" | "email" => return Category::Network,
            "process" | "file" | "registry" | "malware" | "host" | "driver" | "library" | "package" => {
                return Category::Endpoint;
            }
            _ => {}
        }
    }
    if event.get("cloud.provider").is_some() {
        return Category::Cloud;
    }
    event
        .first(&["event.module", "event.dataset", "observer.product", "observer.vendor", "agent.type"])
        .and_then(category::by_product)
        .unwrap_or(Category::Endpoint)
}
