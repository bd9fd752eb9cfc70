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
        && (event.get("_path").is_some()
            || event.get("uid").is_some()
            || event.get("note").is_some()
            || is_of_host(event))
}

/// Whether this is of a log whose lines are of no connection, by columns that nobody else has.
fn is_of_host(event: &Draft<'_>) -> bool {
    const OWN: [&[&str]; 10] = [
        &["software_type"],
        &["certificate.serial"],
        &["tx_hosts.0"],
        &["conn_uids.0"],
        &["uids.0", "client_addr"],
        &["uids.0", "assigned_addr"],
        &["port_num", "port_proto"],
        &["compile_ts", "machine"],
        &["percent_lost", "peer"],
        &["name", "notice", "peer"],
    ];
    OWN.iter().any(|own| own.iter().all(|key| event.index(key).is_some()))
        || event.index("pkts_proc").is_some() && event.index("peer").is_some()
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
                "software" => event.first(&["unparsed_version", "name"]),
                "dhcp" => event.first(&["host_name", "assigned_addr", "client_addr", "mac"]),
                "known_services" => event.first(&["service.0", "port_num"]),
                "known_hosts" => event.get("host"),
                "pe" => event.first(&["machine", "os"]),
                "smtp" => event.first(&["subject", "mailfrom", "from", "helo"]),
                "ssh" => event.first(&["client", "server"]),
                "reporter" => event.get("message"),
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
        ("qclass_name", "dns"),
        ("trans_id", "dns"),
        ("mailfrom", "smtp"),
        ("rcptto.0", "smtp"),
        ("trans_depth", "http"),
        ("cipher", "ssl"),
        ("sni", "ssl"),
        ("mime_type", "files"),
        ("tx_hosts.0", "files"),
        ("conn_uids.0", "files"),
        ("certificate.serial", "x509"),
        ("seen.indicator", "intel"),
        ("sig_id", "signatures"),
        ("software_type", "software"),
        ("client_addr", "dhcp"),
        ("assigned_addr", "dhcp"),
        ("port_proto", "known_services"),
        ("compile_ts", "pe"),
        ("share_type", "smb_mapping"),
        ("auth_attempts", "ssh"),
        ("percent_lost", "capture_loss"),
        ("pkts_proc", "stats"),
        ("pdu_type", "modbus"),
        ("request_type", "kerberos"),
        ("domainname", "ntlm"),
        ("named_pipe", "dce_rpc"),
        ("cookie", "rdp"),
        ("tunnel_type", "tunnel"),
        ("notice", "weird"),
        ("user_agent", "http"),
        ("status_code", "http"),
    ]
    .into_iter()
    .find(|(key, _)| event.index(key).is_some())
    .map_or("log", |(_, path)| path)
}
