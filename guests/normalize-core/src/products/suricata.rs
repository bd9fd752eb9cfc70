//! Suricata's EVE JSON, all event types.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
};

/// Whether this is an EVE record and not some other object with an `event_type`.
pub fn fits(event: &Draft<'_>) -> bool {
    match event.get("event_type") {
        Some("stats") => event.get("stats.uptime").is_some() || event.get("timestamp").is_some(),
        Some(_) => {
            event.index("flow_id").is_some() || event.index("src_ip").is_some() && event.index("proto").is_some()
        }
        None => false,
    }
}

/// What the record means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let timestamp_ms = about.time([event.get("timestamp")]);
    let (kind, severity) = match event.get("event_type").unwrap_or_default() {
        "alert" => {
            let severity = severity::suricata(event.get("alert.severity").unwrap_or_default());
            event.keep_severity("alert.severity");
            let signature = event.get("alert.signature").unwrap_or("Suricata alert");
            words.title.push_str(title::line(signature));
            if let Some(class) = event.get("alert.category") {
                words.description.push_str(class);
                words.description.push_str(": ");
            }
            (Kind::Alert, severity)
        }
        "anomaly" => {
            let what = event.first(&["anomaly.event", "anomaly.type"]).unwrap_or("anomaly");
            let _ = write!(words.title, "Suricata anomaly: {}", title::line(what));
            (Kind::Alert, Severity::Low)
        }
        "stats" => {
            words.title.push_str("Suricata statistics");
            (Kind::Telemetry, Severity::Info)
        }
        other => {
            let _ = write!(words.title, "Suricata {}", title::line(other));
            let detail = event.first(&[
                "http.hostname",
                "dns.rrname",
                "dns.query.0.rrname",
                "dns.queries.0.rrname",
                "tls.sni",
                "fileinfo.filename",
                "smtp.mail_from",
                "ssh.client.software_version",
                "app_proto",
            ]);
            if let Some(detail) = detail {
                let _ = write!(words.title, ": {}", title::line(detail));
            }
            (Kind::Alert, Severity::Info)
        }
    };
    if let Some(proto) = event.get("proto") {
        words.description.push_str(proto);
        words.description.push(' ');
    }
    let from = event.get("src_ip").map(|ip| (ip, event.get("src_port")));
    let to = event.get("dest_ip").map(|ip| (ip, event.get("dest_port")));
    title::endpoints(&mut words.description, from, to);
    words.description.truncate(words.description.as_str().trim_end().len());
    Meaning { kind, severity, category: Category::Network, timestamp_ms, device: None }
}
