//! Rows of Azure's `Syslog` table, which carry a syslog message and its header as columns. Sysmon for Linux writes its
//! events as XML into that message.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use super::windows;
use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
    winxml,
};

/// Whether this is such a row.
pub fn fits(event: &Draft<'_>) -> bool {
    event.index("SyslogMessage").is_some()
}

/// What the row means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    if event.get("SyslogMessage").is_some_and(|message| message.starts_with("<Event>")) {
        let xml = event.get("SyslogMessage").unwrap_or_default().to_owned();
        let mut document = winxml::Document::new(&xml, 0);
        // Azure cuts long messages: what was read before the cut is as true as ever, and the message keeps the rest.
        if document.next_event().unwrap_or(false) && (document.read(event).is_ok() || windows::fits(event)) {
            return windows::meaning(event, about, words);
        }
    }
    let severity = event.get("SeverityLevel").and_then(severity::by_word).unwrap_or(Severity::Low);
    event.keep_severity("SeverityLevel");
    if let Some(program) = event.get("ProcessName") {
        let _ = write!(words.title, "{program}: ");
    }
    let message = event.get("SyslogMessage").unwrap_or_default();
    words.title.push_str(title::line(message));
    words.description.push_str(title::paragraph(message));
    let category = match event.get("Facility") {
        Some("auth" | "authpriv") => Category::Identity,
        _ => Category::Endpoint,
    };
    let timestamp_ms = about.time([event.get("EventTime"), event.get("TimeGenerated")]);
    Meaning { kind: Kind::Alert, severity, category, timestamp_ms, device: None }
}
