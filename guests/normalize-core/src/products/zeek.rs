//! Zeek's logs, as JSON or out of TSV.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, title},
};

/// Whether this is a line of a Zeek log.
pub fn fits(event: &Draft<'_>) -> bool {
    event.get("ts").is_some()
        && (event.get("_path").is_some() || event.get("uid").is_some() || event.get("note").is_some())
}

/// What the line means. Most of Zeek's logs are records and no alarms: they are `info`.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let timestamp_ms = about.time([event.get("ts")]);
    let path = event.get("_path").unwrap_or_else(|| guess(event));
    let mut kind = Kind::Alert;
    let severity = match path {
        "notice" | "notice_alarm" => {
            let _ = write!(words.title, "Zeek {}", title::line(event.get("note").unwrap_or("notice")));
            let message = event.get("msg").unwrap_or_default();
            if !message.is_empty() {
                let _ = write!(words.title, ": {}", title::line(message));
            }
            // What a site has told Zeek to raise an alarm or to page for is worse than what it only logs.
            let alarm = path == "notice_alarm"
                || (0..event.len()).map(|i| event.at(i)).any(|(key, value)| {
                    key.starts_with("actions") && (value.contains("ACTION_ALARM") || value.contains("ACTION_PAGE"))
                });
            if alarm { Severity::High } else { Severity::Medium }
        }
        "intel" => {
            let seen = event.first(&["seen.indicator", "seen.indicator_type"]).unwrap_or_default();
            let _ = write!(words.title, "Zeek intelligence match: {}", title::line(seen));
            Severity::High
        }
        "signatures" => {
            let _ = write!(
                words.title,
                "Zeek signature: {}",
                title::line(event.first(&["event_msg", "sig_id"]).unwrap_or_default())
            );
            Severity::Medium
        }
        "weird" => {
            let _ = write!(words.title, "Zeek weird: {}", title::line(event.get("name").unwrap_or_default()));
            Severity::Low
        }
        _ => {
            if matches!(path, "stats" | "capture_loss") {
                kind = Kind::Telemetry;
            }
            let _ = write!(words.title, "Zeek {}", title::line(path));
            let detail = match path {
                "dns" => event.get("query"),
                "http" => event.first(&["host", "uri"]),
                "ssl" => event.first(&["server_name", "subject"]),
                "files" => event.first(&["filename", "mime_type"]),
                "conn" => event.first(&["service", "proto"]),
                "mqtt_publish" => event.get("topic"),
                "mqtt_connect" => event.get("client_id"),
                "modbus" => event.get("func"),
                "x509" => event.get("certificate.subject"),
                _ => None,
            };
            if let Some(detail) = detail {
                let _ = write!(words.title, ": {}", title::line(detail));
            }
            Severity::Info
        }
    };
    let from = event.first(&["id.orig_h", "src"]).map(|host| (host, event.get("id.orig_p")));
    let to = event.first(&["id.resp_h", "dst"]).map(|host| (host, event.first(&["id.resp_p", "p"])));
    title::endpoints(&mut words.description, from, to);
    if let Some(more) = event.first(&["sub", "conn_state", "addl"]) {
        let _ = write!(words.description, " {}", title::line(more));
    }
    Meaning { kind, severity, category: Category::Network, timestamp_ms, device: None }
}

/// The log by its columns, where the line does not name it.
fn guess(event: &Draft<'_>) -> &'static str {
    [
        ("note", "notice"),
        ("conn_state", "conn"),
        ("qtype_name", "dns"),
        ("user_agent", "http"),
        ("status_code", "http"),
        ("cipher", "ssl"),
        ("mime_type", "files"),
        ("certificate.serial", "x509"),
        ("seen.indicator", "intel"),
        ("sig_id", "signatures"),
    ]
    .into_iter()
    .find(|(key, _)| event.index(key).is_some())
    .map_or("log", |(_, path)| path)
}
