//! PAN-OS logs: comma-separated values whose columns depend on the fourth, the log's type. Fields have the names of
//! the variables in the PAN-OS documentation ("Syslog Field Descriptions"), under `panos.`.

use std::fmt::Write as _;

use aurora_guest::Severity;

use super::message::of_network;
use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
    time,
};

/// Columns that all logs begin with; an empty name is a column reserved for the future.
const HEAD: [&str; 7] = ["", "receive_time", "serial", "type", "subtype", "", "time_generated"];

const SESSION: [&str; 24] = [
    "src",
    "dst",
    "natsrc",
    "natdst",
    "rule",
    "srcuser",
    "dstuser",
    "app",
    "vsys",
    "from",
    "to",
    "inbound_if",
    "outbound_if",
    "logset",
    "",
    "sessionid",
    "repeatcnt",
    "sport",
    "dport",
    "natsport",
    "natdport",
    "flags",
    "proto",
    "action",
];

const TRAFFIC: [&str; 16] = [
    "bytes",
    "bytes_sent",
    "bytes_received",
    "packets",
    "start",
    "elapsed",
    "category",
    "",
    "seqno",
    "actionflags",
    "srcloc",
    "dstloc",
    "",
    "pkts_sent",
    "pkts_received",
    "session_end_reason",
];

const THREAT: [&str; 23] = [
    "misc",
    "threatid",
    "category",
    "severity",
    "direction",
    "seqno",
    "actionflags",
    "srcloc",
    "dstloc",
    "",
    "contenttype",
    "pcap_id",
    "filedigest",
    "cloud",
    "url_idx",
    "user_agent",
    "filetype",
    "xff",
    "referer",
    "sender",
    "subject",
    "recipient",
    "reportid",
];

const SYSTEM: [&str; 10] =
    ["vsys", "eventid", "object", "", "", "module", "severity", "opaque", "seqno", "actionflags"];

const CONFIG: [&str; 8] = ["host", "vsys", "cmd", "admin", "client", "result", "path", "seqno"];

/// Whether a message is such a line.
#[must_use]
pub fn fits(message: &str) -> bool {
    // Every release begins with a column that is one digit or nothing.
    if !matches!(message.trim_start().as_bytes(), [b'0'..=b'9', b',', ..] | [b',', ..]) {
        return false;
    }
    let mut columns = message.splitn(6, ',');
    let (Some(_), Some(received), Some(serial), Some(kind), Some(_)) =
        (columns.next(), columns.next(), columns.next(), columns.next(), columns.next())
    else {
        return false;
    };
    tail(kind).is_some() && received.contains(':') && serial.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The columns behind the head, by the log's type.
fn tail(kind: &str) -> Option<[&'static [&'static str]; 2]> {
    match kind {
        "TRAFFIC" => Some([&SESSION, &TRAFFIC]),
        "THREAT" => Some([&SESSION, &THREAT]),
        "SYSTEM" => Some([&SYSTEM, &[]]),
        "CONFIG" => Some([&CONFIG, &[]]),
        "HIPMATCH" | "GLOBALPROTECT" | "USERID" | "AUTHENTICATION" | "CORRELATION" | "DECRYPTION" => Some([&[], &[]]),
        _ => None,
    }
}

/// Reads the columns, and says what they mean.
pub fn meaning(
    message: &str,
    stated: Severity,
    event: &mut Draft<'_>,
    about: &About<'_>,
    words: &mut Words,
) -> Meaning {
    let kind = message.split(',').nth(3).unwrap_or_default();
    let [middle, end] = tail(kind).unwrap_or([&[], &[]]);
    let mut names = HEAD.iter().chain(middle).chain(end);
    let (mut key, mut at, mut number) = (String::new(), 0, 0);
    while at <= message.len() {
        let (value, quoted, next) = column(message, at);
        key.clear();
        key.push_str("panos.");
        number += 1;
        match names.next() {
            Some(&"") => {}
            Some(name) => key.push_str(name),
            // Columns that later releases have added.
            None => crate::draft::push_number(&mut key, number),
        }
        if key.len() > "panos.".len() && !value.is_empty() {
            if quoted && value.contains("\"\"") {
                event.field(&key, &value.replace("\"\"", "\""));
            } else {
                event.field(&key, value);
            }
        }
        at = next;
    }
    let severity = match event.get("panos.severity") {
        Some(word) => severity::by_word(word).unwrap_or(stated),
        None if event.get("panos.action").is_some_and(|action| action != "allow") => Severity::Low,
        None => stated,
    };
    let source = if event.get("panos.severity").is_some() { "panos.severity" } else { "severity" };
    event.keep_severity(source);
    let subtype = event.get("panos.subtype").unwrap_or_default();
    let what =
        event.first(&["panos.threatid", "panos.misc", "panos.opaque", "panos.cmd", "panos.app", "panos.eventid"]);
    let _ = write!(words.title, "PAN-OS {kind} {subtype}");
    if let Some(what) = what {
        let _ = write!(words.title, ": {}", title::line(what));
    }
    let from = event.get("panos.src").map(|ip| (ip, event.get("panos.sport")));
    let to = event.get("panos.dst").map(|ip| (ip, event.get("panos.dport")));
    title::endpoints(&mut words.description, from, to);
    if let Some(action) = event.get("panos.action") {
        let _ = write!(words.description, " {action}");
    }
    let timestamp_ms = ["panos.time_generated", "panos.receive_time"]
        .iter()
        .find_map(|key| time::read(event.get(key)?, about.clock))
        .unwrap_or_else(|| about.time([]));
    of_network(severity, timestamp_ms)
}

/// The column at `at`, without its quotes; whether it had any; and where the next begins.
fn column(message: &str, at: usize) -> (&str, bool, usize) {
    let bytes = message.as_bytes();
    if bytes.get(at) == Some(&b'"') {
        let mut end = at + 1;
        while let Some(found) = memchr::memchr(b'"', bytes.get(end..).unwrap_or_default()) {
            end += found;
            if bytes.get(end + 1) != Some(&b'"') {
                let next = memchr::memchr(b',', &bytes[end..]).map_or(bytes.len() + 1, |comma| end + comma + 1);
                return (&message[at + 1..end], true, next);
            }
            end += 2;
        }
    }
    match memchr::memchr(b',', &bytes[at..]) {
        Some(comma) => (&message[at..at + comma], false, at + comma + 1),
        None => (&message[at..], false, bytes.len() + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_quoted_columns_whole() {
        let text = r#"a,"b,""c""",,d"#;
        let (mut at, mut columns) = (0, Vec::new());
        while at <= text.len() {
            let (value, _, next) = column(text, at);
            columns.push(value);
            at = next;
        }
        assert_eq!(columns, ["a", r#"b,""c"""#, "", "d"]);
    }
}
