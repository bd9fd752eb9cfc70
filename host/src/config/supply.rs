//! Keys about where guests come from, whom they are believed, and what compiling them may cost.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use super::{Guests, findings::Findings};
use crate::supply::Reference;

/// `[guests.registry]`: how OCI registries are reached. Without it anonymously, by HTTPS, and those of this machine by
/// HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registry {
    /// The registry that `username` and `plain_http` are for, host and port as guests name it.
    pub host: Option<String>,
    /// Who we are there.
    pub username: Option<String>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// A `config.json` as `docker login` writes it, for this and other registries.
    pub auth_file: Option<PathBuf>,
    /// Certificate authority, PEM, beside the system's own.
    pub ca: Option<PathBuf>,
    /// Whether `host` is reached by HTTP. What comes is checked against its digest all the same; the password is not
    /// hidden.
    pub plain_http: bool,
    /// Longest time that pulling a guest may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            host: None,
            username: None,
            password_file: None,
            auth_file: None,
            ca: None,
            plain_http: false,
            timeout: Duration::from_secs(120),
        }
    }
}

/// `[guests.compile]`: what compiling a guest may cost. Beyond it the guest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compile {
    /// Most address space of the process that compiles.
    pub memory: ByteSize,
    /// Most CPU time of that process, all threads taken together; it may take ten times as long on a busy machine.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
}

impl Default for Compile {
    fn default() -> Self {
        Self { memory: ByteSize::gib(2), time: Duration::from_secs(120) }
    }
}

impl Registry {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let host = findings.given("guests.registry.host", self.host.is_some());
        let username = findings.given("guests.registry.username", self.username.is_some());
        let password = findings.given("guests.registry.password_file", self.password_file.is_some());
        if !host && (username || password || self.plain_http) {
            let remedy = "name the registry, as in host = \"registry.site:5000\"";
            findings.problem("guests.registry.host", "is missing: credentials and plain HTTP are for one host", remedy);
        }
        if username != password {
            let remedy = "set both of `username` and `password_file`, or neither";
            let key = if username { "password_file" } else { "username" };
            findings.problem(format!("guests.registry.{key}"), "is missing", remedy);
        }
        if let Some(host) = &self.host
            && Reference::parse(&format!("{host}/guest:tag")).is_err()
        {
            let remedy = "write host or host:port, without https:// and without a path";
            findings.problem("guests.registry.host", format!("{host:?} is no registry"), remedy);
        }
        let times = (Duration::from_secs(1), Duration::from_secs(3600));
        findings.range("guests.registry.timeout", self.timeout, times, ("\"1s\"", "\"1h\""));
    }
}

impl Compile {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let memories = (ByteSize::mib(64), ByteSize::gib(64));
        findings.range("guests.compile.memory", self.memory, memories, ("\"64MiB\"", "\"64GiB\""));
        let times = (Duration::from_secs(1), Duration::from_secs(3600));
        findings.range("guests.compile.time", self.time, times, ("\"1s\"", "\"1h\""));
    }
}

impl Guests {
    pub(super) fn validate_supply(&self, findings: &mut Findings) {
        self.registry.validate(findings);
        self.compile.validate(findings);
        if self.require_signature && !findings.given("guests.trusted_keys", !self.trusted_keys.is_empty()) {
            let remedy = "name the public keys of who signs guests, as in trusted_keys = [\"keys/site.pub\"]";
            findings.problem("guests.trusted_keys", "is empty, so `require_signature` would refuse all guests", remedy);
        }
    }
}
