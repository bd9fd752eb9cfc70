//! Syslog: RFC 5424, RFC 3164 as products really write it, and what stands in its message.

mod bsd;
mod ietf;
mod priority;
mod structured;
mod message;
mod cisco;
mod netfilter;
mod panos;
mod ossec;
mod snort;

pub use message::read as message;
use priority::{facility_name, severity_name};

use aurora_guest::{Category, Kind, Severity};

use crate::{
    draft::{Draft, Meaning, Words},
    fault::Fault,
    kv,
    meaning::{About, severity, title},
    time::Civil,
};

/// A syslog header, and where the message after it begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Header<'t> {
    /// `<PRI>`: facility times eight plus severity.
    pub priority: Option<u8>,
    pub time: Option<Civil>,
    /// The time as it was written.
    pub stamp: Option<&'t str>,
    /// Of RFC 5424.
    pub version: Option<&'t str>,
    pub hostname: Option<&'t str>,
    pub appname: Option<&'t str>,
    pub procid: Option<&'t str>,
    pub msgid: Option<&'t str>,
    /// Where the structured data stands, checked.
    pub structured: Option<(usize, usize)>,
    /// Where the message begins.
    pub message: usize,
}

impl Header<'_> {
    /// 0..7, if the header has a priority.
    #[must_use]
    pub fn severity(&self) -> Option<u8> {
        self.priority.map(|priority| priority & 7)
    }
}

/// Reads the header of a message.
///
/// # Errors
/// Without a `<PRI>` the message must begin with a time, else it is any text at all.
pub fn header(text: &str) -> Result<Header<'_>, Fault> {
    let (priority, at) = priority::read(text)?;
    let rest = text[at..].trim_start_matches([' ', '\t']);
    let at = text.len() - rest.len();
    match rest.split_once(' ') {
        Some((version, _)) if priority.is_some() && matches!(version, "1" | "2") => {
            Ok(Header { version: Some(version), ..ietf::read(text, at + version.len() + 1, priority) })
        }
        _ => bsd::read(text, at, priority),
    }
}

/// Writes a header's fields. Around another format they stand under `syslog.`, so that the inner one keeps its own
/// `severity` and `name`; only `hostname` is shared, where the inner one has none.
pub fn write(text: &str, header: &Header<'_>, wrapped: bool, event: &mut Draft<'_>) {
    let names = if wrapped {
        [
            "syslog.facility",
            "syslog.severity",
            "syslog.appname",
            "syslog.procid",
            "syslog.msgid",
            "syslog.timestamp",
            "syslog.version",
        ]
    } else {
        ["facility", "severity", "appname", "procid", "msgid", "timestamp", "version"]
    };
    if let Some(priority) = header.priority {
        event.plain(names[0], facility_name(priority >> 3));
        event.plain(names[1], severity_name(priority & 7));
    }
    if let Some(hostname) = header.hostname {
        let name = if wrapped && event.index("hostname").is_some() { "syslog.hostname" } else { "hostname" };
        event.plain(name, hostname);
    }
    // One key to ask for the host, also where only the record inside names it.
    if wrapped
        && header.hostname.is_none()
        && event.index("hostname").is_none()
        && let Some(device) = event.index("dvchost").or_else(|| event.index("deviceHostName"))
    {
        event.again("hostname", device);
    }
    let rest = [header.appname, header.procid, header.msgid, header.stamp, header.version];
    for (name, value) in names[2..].iter().zip(rest) {
        if let Some(value) = value {
            event.plain(name, value);
        }
    }
    if let Some((start, end)) = header.structured {
        structured::write(&text[start..end], event);
    }
}

/// What a syslog message means that no product's reader knows better.
pub fn meaning(header: &Header<'_>, event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    // RFC 3164 says that a message without a priority is to be taken as user.notice.
    let mut severity = header.severity().map_or(Severity::Low, severity::syslog);
    if header.priority.is_some() {
        event.keep_severity("severity");
    } else if let Some(level) = level(event.get("message").unwrap_or_default()) {
        let level = level.to_owned();
        severity = severity::by_word(&level).unwrap_or(severity);
        event.plain("severity.source_value", &level);
    }
    let message = said(event).unwrap_or_default();
    let line = title::line(message);
    if let Some(appname) = header.appname {
        words.title.push_str(appname);
        if !line.is_empty() {
            words.title.push_str(": ");
        }
    }
    words.title.push_str(line);
    if words.title.is_empty() {
        words.title.push_str("Unknown Event");
    }
    words.description.push_str(title::paragraph(message));
    Meaning { kind: Kind::Alert, severity, category: category(header), timestamp_ms: about.time([]), device: None }
}

/// The message, or what the structured data says where there is none.
fn said<'e>(event: &'e Draft<'_>) -> Option<&'e str> {
    event.get("message").or_else(|| {
        let named = |(key, _): &(&str, &str)| {
            key.contains('@')
                && matches!(key.rsplit('.').next(), Some("msg" | "message" | "description" | "attack" | "reason"))
        };
        event.fields().find(named).map(|(_, value)| value).or_else(|| event.get("msgid"))
    })
}

/// The level at the start of an application's message: `ERROR [main] …`.
fn level(message: &str) -> Option<&str> {
    message.split([' ', ':']).next().filter(|word| bsd::is_level(word))
}

/// Whether all of a message is in fields of its own too, so that it need not be searched twice.
#[must_use]
pub fn is_all_fields(message: &str) -> bool {
    let pairs = message.trim_start();
    panos::fits(message)
        || memchr::memchr(b'=', message.as_bytes()).is_some() && kv::is_pairs(pairs) && !kv::says_more(pairs)
}

/// Whether a program is about who may do what.
fn is_identity(appname: &str) -> bool {
    const IDENTITY: &[&str] = &[
        "sshd",
        "sudo",
        "su",
        "login",
        "passwd",
        "useradd",
        "userdel",
        "usermod",
        "groupadd",
        "krb5kdc",
        "kadmind",
        "radiusd",
        "slapd",
        "sssd",
        "gdm-password",
        "polkitd",
        "systemd-logind",
        "vsftpd",
        "pam",
    ];
    is_one_of(appname, IDENTITY) || appname.starts_with("CISE_") || appname.starts_with("CSCOacs_")
}

fn is_network(appname: &str) -> bool {
    const NETWORK: &[&str] = &[
        "named",
        "dhcpd",
        "haproxy",
        "nginx",
        "httpd",
        "squid",
        "ovpn",
        "openvpn",
        "charon",
        "pluto",
        "snort",
        "suricata",
        "zeek",
        "filterlog",
        "pf",
        "dnsmasq",
        "unbound",
        "postfix",
        "ftd",
        "bgpd",
        "mib2d",
        "rt_flow",
    ];
    is_one_of(appname, NETWORK)
}

/// By the name of the program: `/usr/sbin/cron`, `su(pam_unix)`, `postfix-smtpd` and `named` are known by their stems.
fn is_one_of(appname: &str, list: &[&str]) -> bool {
    let program = appname.rsplit('/').next().unwrap_or(appname);
    let program = program.split(['(', '-']).next().unwrap_or(program);
    list.iter().any(|name| name.eq_ignore_ascii_case(program) || appname == *name)
}

/// By the program that wrote it, then by the facility.
fn category(header: &Header<'_>) -> Category {
    match header.appname {
        Some(appname) if is_identity(appname) => return Category::Identity,
        Some(appname) if is_network(appname) => return Category::Network,
        _ => {}
    }
    // auth and authpriv.
    match header.priority.map(|priority| priority >> 3) {
        Some(4 | 10) => Category::Identity,
        _ => Category::Endpoint,
    }
}
