use std::{fmt, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use crate::config::{findings::Findings, redacted_url, urls};

/// `[nats]`: where shared events go. Without this section nothing leaves the site.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `nats://[user:password@]host[:4222]` or `tls://…`. Required. Several, separated by commas, name a cluster.
    pub url: String,
    /// NATS credentials file (JWT and seed).
    pub credentials: Option<PathBuf>,
    /// Certificate authority, PEM.
    pub ca: Option<PathBuf>,
    /// Client certificate chain, PEM. Needs `key`.
    pub cert: Option<PathBuf>,
    /// Client private key, PEM. Needs `cert`.
    pub key: Option<PathBuf>,
    /// Name of the JetStream stream. Created if missing; an existing one is used as it is.
    pub stream: String,
    /// Subjects of a stream that we create, and the only ones that a policy may share to.
    pub subjects: Vec<String>,
    /// Size limit of a stream that we create.
    pub max_bytes: ByteSize,
    /// Window in which JetStream drops a second message with the same `Nats-Msg-Id`, of a stream that we create.
    #[serde(with = "humantime_serde")]
    pub duplicate_window: Duration,
    /// Longest wait for JetStream's ack.
    #[serde(with = "humantime_serde")]
    pub ack_timeout: Duration,
    /// Messages sent and not yet acknowledged.
    pub max_in_flight: usize,
    /// How often a message that JetStream refuses is tried again before it becomes a dead letter. What is refused only
    /// for the moment is tried without end.
    pub retries: u32,
    /// Name of this host among those that send from the same outbox, each of which needs its own, the same after a
    /// restart. Default: the host name.
    pub host: Option<String>,
    /// Ceiling of the back-off between attempts after an error.
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            credentials: None,
            ca: None,
            cert: None,
            key: None,
            stream: "AURORA".to_owned(),
            subjects: [
                "aurora.alerts.>",
                "aurora.intel.>",
                "aurora.cps.>",
                "aurora.soar.>",
                "AURORA.alerts",
                "AURORA.ioc_sharing",
                "AURORA.agent_results",
                "AURORA.audit",
            ]
            .map(str::to_owned)
            .into(),
            max_bytes: ByteSize::gib(10),
            duplicate_window: Duration::from_secs(10 * 60),
            ack_timeout: Duration::from_secs(5),
            max_in_flight: 512,
            retries: 5,
            host: None,
            reconnect_max: Duration::from_secs(5),
        }
    }
}

/// What looks into the stream, each with a consumer of its own, so that none ends what another reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looker {
    /// The relay, after an outage.
    Relay,
    /// `aurora explain`.
    Explain,
}

impl Looker {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Relay, Self::Explain];

    /// The consumer of this host of `site`. Rights go by whole tokens of a subject, so it is named before it is made.
    pub(super) fn consumer(self, site: &str, host: &str) -> String {
        let what = match self {
            Self::Relay => "relay",
            Self::Explain => "explain",
        };
        format!("{what}-{site}-{host}")
    }
}

impl Config {
    /// The name of this host, the same after a restart. A site that shares its outbox among hosts of the same name, as
    /// containers may have them, has to say which is which.
    #[must_use]
    pub fn host(&self, site: &str) -> String {
        if let Some(host) = &self.host {
            return host.clone();
        }
        let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = kernel.trim();
        if name.is_empty() { site.to_owned() } else { name.to_owned() }
    }

    /// The name of the consumer with which this host of `site` looks into the stream.
    #[must_use]
    pub fn consumer(&self, looker: Looker, site: &str) -> String {
        // Names of consumers have no dots, those of hosts may have some.
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        looker.consumer(site, &self.host(site).chars().map(plain).collect::<String>())
    }

    pub(crate) fn validate(&self, findings: &mut Findings) {
        for address in urls::split(&self.url) {
            let Some(url) = urls::check(findings, "nats.url", address, ["nats", "tls"]) else { continue };
            if url.host_str().is_some_and(|host| host.contains(',')) {
                findings.problem("nats.url", "lists a server without its scheme", "begin each with nats:// or tls://");
            }
            if !url.username().is_empty() && findings.given("nats.credentials", self.credentials.is_some()) {
                let remedy = "use one of them: the other would be ignored";
                findings.problem("nats.credentials", "is set, and `nats.url` holds a user as well", remedy);
            }
        }
        let cert = findings.given("nats.cert", self.cert.is_some());
        let key = findings.given("nats.key", self.key.is_some());
        if cert && !key {
            findings.problem("nats.cert", "is set without `nats.key`", "set `nats.key` as well, or remove `nats.cert`");
        }
        if key && !cert {
            findings.problem("nats.key", "is set without `nats.cert`", "set `nats.cert` as well, or remove `nats.key`");
        }
        let name = &self.stream;
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
        if name.is_empty() || name.len() > 255 || name.contains(forbidden) {
            let remedy = "choose 1 to 255 bytes without spaces and . * > / \\";
            findings.problem("nats.stream", format!("{name:?} is no JetStream stream name"), remedy);
        }
        self.validate_subjects(findings);
        let sizes = (ByteSize::mib(1), ByteSize(i64::MAX as u64));
        findings.range("nats.max_bytes", self.max_bytes, sizes, ("\"1MiB\"", "\"8EiB\""));
        // JetStream itself takes no shorter one.
        let windows = (Duration::from_millis(100), Duration::from_secs(30 * 24 * 3600));
        findings.range("nats.duplicate_window", self.duplicate_window, windows, ("\"100ms\"", "\"30d\""));
        let waits = (Duration::from_millis(100), Duration::from_secs(3600));
        findings.range("nats.ack_timeout", self.ack_timeout, waits, ("\"100ms\"", "\"1h\""));
        findings.range("nats.max_in_flight", self.max_in_flight, (1, 65_536), ("1", "65536"));
        findings.range("nats.retries", self.retries, (0, 1000), ("0", "1000"));
        let is_name = |name: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
            (1..=64).contains(&name.len()) && name.bytes().all(plain)
        };
        if self.host.as_deref().is_some_and(|host| !is_name(host)) {
            findings.problem("nats.host", "is no name of a host", "choose 1 to 64 of A-Z a-z 0-9 _ . -");
        }
        findings.range("nats.reconnect_max", self.reconnect_max, waits, ("\"100ms\"", "\"1h\""));
    }

    fn validate_subjects(&self, findings: &mut Findings) {
        if self.subjects.is_empty() {
            let remedy = "name what may be shared, or remove [nats] to share nothing";
            findings.problem("nats.subjects", "is empty", remedy);
        }
        for (index, subject) in self.subjects.iter().enumerate() {
            let key = format!("nats.subjects[{index}]");
            if !is_subject(subject) {
                let remedy = "tokens are separated by dots; `*` stands for one token, `>` for all the rest";
                findings.problem(key, format!("{subject:?} is no subject"), remedy);
            } else if let Some(other) = self.subjects[..index].iter().find(|other| overlap(other, subject)) {
                let what = format!("{subject:?} overlaps with {other:?}, which JetStream refuses");
                findings.problem(key, what, "remove one of them");
            }
        }
    }
}

/// Whether `subject` is one that a stream can take, wildcards allowed. Those that begin with `$` are the server's own.
pub(crate) fn is_subject(subject: &str) -> bool {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        let rest = tokens.peek().is_some();
        let is_sound = match token {
            "" => false,
            ">" => !rest,
            "*" => true,
            _ => !token.contains(|c: char| c.is_whitespace() || c.is_control() || c == '*' || c == '>'),
        };
        if !is_sound {
            return false;
        }
    }
    !subject.starts_with('$')
}

/// Whether a subject can match both patterns.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some(x), Some(y)) if x == "*" || y == "*" || x == y => {}
            _ => return false,
        }
    }
}

/// Every field, but the addresses without their passwords.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            credentials,
            ca,
            cert,
            key,
            stream,
            subjects,
            max_bytes,
            duplicate_window,
            ack_timeout,
            max_in_flight,
            retries,
            host,
            reconnect_max,
        } = self;
        f.debug_struct("Config")
            .field("url", &redacted_url(url))
            .field("credentials", credentials)
            .field("ca", ca)
            .field("cert", cert)
            .field("key", key)
            .field("stream", stream)
            .field("subjects", subjects)
            .field("max_bytes", max_bytes)
            .field("duplicate_window", duplicate_window)
            .field("ack_timeout", ack_timeout)
            .field("max_in_flight", max_in_flight)
            .field("retries", retries)
            .field("host", host)
            .field("reconnect_max", reconnect_max)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_whole_tokens() {
        for subject in ["a", "a.b", "a.*.b", "a.>", ">", "AURORA.ioc_sharing"] {
            assert!(is_subject(subject), "{subject}");
        }
        for subject in ["", "a.", ".a", "a..b", "a.>.b", "a*", "a b", "$JS.x", "a.b>"] {
            assert!(!is_subject(subject), "{subject}");
        }
    }

    #[test]
    fn patterns_overlap_where_one_subject_matches_both() {
        for (a, b) in [("a.>", "a.b"), ("a.*", "a.b"), (">", "a"), ("a.*.c", "a.b.*")] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [("a.>", "a"), ("a.b", "a.c"), ("a.*", "a.b.c"), ("aurora.alerts", "AURORA.alerts")] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }
}
