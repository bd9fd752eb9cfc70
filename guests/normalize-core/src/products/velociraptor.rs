//! Rows that Velociraptor's artifacts send on.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
};

const CLIENT: [&str; 3] = ["ClientId", "client_id", "_Source.ClientId"];
const ARTIFACT: [&str; 5] = ["_Source", "Artifact", "artifact", "artifact_name", "ArtifactName"];

/// Whether a client and an artifact are named as Velociraptor names them.
pub fn fits(event: &Draft<'_>) -> bool {
    let client = event.first(&CLIENT).is_some_and(|client| client.starts_with("C."));
    client || event.get("_Source").is_some_and(|source| source.contains('.'))
}

/// What the row means. Sigma rules and detections carry a level; what does not is a record.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let mut found = None;
    for key in ["Severity", "severity", "Level", "level", "RuleLevel", "Rule.Level"] {
        if let Some(severity) = event.get(key).and_then(severity::by_word) {
            event.keep_severity(key);
            found = Some(severity);
            break;
        }
    }
    let artifact = event.first(&ARTIFACT).unwrap_or("Velociraptor");
    words.title.push_str(title::line(artifact));
    let detail = event.first(&[
        "Title",
        "title",
        "Rule",
        "Message",
        "message",
        "OSPath",
        "FullPath",
        "Path",
        "CommandLine",
        "Name",
    ]);
    if let Some(detail) = detail {
        let _ = write!(words.title, ": {}", title::line(detail));
    }
    if let Some(host) = event.first(&["Hostname", "Fqdn", "hostname", "Computer"]).or_else(|| event.first(&CLIENT)) {
        let _ = write!(words.description, "on {host}");
    }
    let times = ["Timestamp", "EventTime", "_ts", "timestamp", "@timestamp", "Time", "Mtime"];
    let timestamp_ms = about.time(times.into_iter().map(|key| event.get(key)));
    Meaning {
        kind: Kind::Alert,
        severity: found.unwrap_or(Severity::Medium),
        category: Category::Endpoint,
        timestamp_ms,
        device: None,
    }
}
