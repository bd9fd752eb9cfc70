//! Okta's System Log.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
};

/// Whether this is an entry of the System Log.
pub fn fits(event: &Draft<'_>) -> bool {
    event.get("eventType").is_some() && event.first(&["actor.id", "actor.alternateId", "displayMessage"]).is_some()
}

/// What the entry means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let severity = event.get("severity").and_then(severity::by_word).unwrap_or(Severity::Medium);
    event.keep_severity("severity");
    words.title.push_str(title::line(event.first(&["displayMessage", "eventType"]).unwrap_or_default()));
    let who = event.first(&["actor.alternateId", "actor.displayName", "actor.id"]).unwrap_or_default();
    let _ = write!(words.description, "{}: {who}", event.get("eventType").unwrap_or_default());
    if let Some(address) = event.get("client.ipAddress") {
        let _ = write!(words.description, " from {address}");
    }
    if let Some(result) = event.get("outcome.result") {
        let _ = write!(words.description, ", {result}");
    }
    if let Some(reason) = event.get("outcome.reason") {
        let _ = write!(words.description, " ({})", title::line(reason));
    }
    let timestamp_ms = about.time([event.get("published")]);
    Meaning { kind: Kind::Alert, severity, category: Category::Identity, timestamp_ms, device: None }
}
