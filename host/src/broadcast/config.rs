use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use crate::{
    broker::redis_streams::check_name,
    config::{Admin, Ingest, Secret, findings::Findings},
    event::is_source,
    ingest::Token,
};

/// `[broadcast]`: live events for browsers, over WebSockets. Without this section nothing listens, and no group is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address to listen on. Not that of `[admin]`: viewers are other people than operators, and come from elsewhere.
    pub listen: SocketAddr,
    /// File that holds the bearer token. One of `token_file` and `token` is required.
    pub token_file: Option<PathBuf>,
    /// The bearer token itself; meant for `AURORA_BROADCAST__TOKEN`.
    pub token: Option<Secret>,
    /// Pages that a browser may open a feed for, as in `https://soc.example.org`. Programs send no origin.
    pub origins: Vec<String>,
    /// The streams behind `/ws/alerts`.
    pub alerts: Vec<String>,
    /// Its consumer group.
    pub alerts_group: String,
    /// The streams behind `/ws/audit`.
    pub audit: Vec<String>,
    /// Its consumer group.
    pub audit_group: String,
    /// Name of this host among several that broadcast from one Redis; each then has groups of its own,
    /// `api-ws-alerts:<host>`.
    pub host: Option<String>,
    /// Most viewers at a time.
    pub max_clients: usize,
    /// Messages that wait for the slowest viewer. Whoever is further behind is sent away.
    pub queue: usize,
    /// Larger messages are announced without what they say.
    pub max_message: ByteSize,
    /// How often a viewer is asked whether it is there. One that does not answer twice is sent away.
    #[serde(with = "humantime_serde")]
    pub ping: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9466)),
            token_file: None,
            token: None,
            origins: Vec::new(),
            alerts: ["aurora:alerts", "aurora:cps:alerts"].map(str::to_owned).into(),
            alerts_group: "api-ws-alerts".to_owned(),
            audit: vec!["aurora:audit".to_owned()],
            audit_group: "api-ws-thoughts".to_owned(),
            host: None,
            max_clients: 64,
            queue: 1024,
            max_message: ByteSize::kib(64),
            ping: Duration::from_secs(20),
        }
    }
}

impl Config {
    pub(crate) fn validate(&self, admin: &Admin, ingest: Option<&Ingest>, findings: &mut Findings) {
        let file = findings.given("broadcast.token_file", self.token_file.is_some());
        let token = findings.given("broadcast.token", self.token.is_some());
        let remedy = "set `broadcast.token_file`, or AURORA_BROADCAST__TOKEN, but not both";
        if !file && !token {
            findings.problem("broadcast.token_file", "is missing: without a token anybody could read events", remedy);
        } else if file && token {
            findings.problem("broadcast.token", "is set beside `broadcast.token_file`", remedy);
        }
        if let Some(Secret(token)) = &self.token
            && Token::of(token).is_none()
        {
            let remedy = "choose letters, digits, - and _, which fit a header and a subprotocol";
            findings.problem("broadcast.token", "is empty, or holds spaces or other characters", remedy);
        }
        let listeners = [("admin", Some(admin.listen)), ("ingest", ingest.map(|ingest| ingest.listen))];
        for (section, theirs) in listeners {
            if theirs.is_some_and(|theirs| is_taken(self.listen, theirs)) {
                let what = format!("{} is also the address of `{section}.listen`", self.listen);
                findings.problem("broadcast.listen", what, "choose another port");
            }
        }
        for (index, origin) in self.origins.iter().enumerate() {
            if !is_origin(origin) {
                let what = format!("{origin:?} is no origin of a page");
                let remedy = "write scheme, host and port alone, like \"https://soc.example.org\"";
                findings.problem(format!("broadcast.origins[{index}]"), what, remedy);
            }
        }
        for (key, streams) in [("alerts", &self.alerts), ("audit", &self.audit)] {
            if streams.is_empty() {
                findings.problem(format!("broadcast.{key}"), "is empty", "name a stream, or leave the key out");
            }
            for (index, name) in streams.iter().enumerate() {
                check_name(findings, format!("broadcast.{key}[{index}]"), name);
            }
        }
        check_name(findings, "broadcast.alerts_group".to_owned(), &self.alerts_group);
        check_name(findings, "broadcast.audit_group".to_owned(), &self.audit_group);
        let shared = self.alerts.iter().any(|stream| self.audit.contains(stream));
        if shared && self.alerts_group == self.audit_group {
            let what = "is also `broadcast.alerts_group`, and both read one stream: each would get a part of it";
            findings.problem("broadcast.audit_group", what, "choose another name");
        }
        if self.host.as_ref().is_some_and(|host| !is_source(host)) {
            findings.problem("broadcast.host", "is no name of a host", "choose 1 to 64 of A-Z a-z 0-9 _ . -");
        }
        findings.range("broadcast.max_clients", self.max_clients, (1, 10_000), ("1", "10000"));
        findings.range("broadcast.queue", self.queue, (16, 65_536), ("16", "65536"));
        let sizes = (ByteSize::kib(1), ByteSize::mib(1));
        findings.range("broadcast.max_message", self.max_message, sizes, ("\"1KiB\"", "\"1MiB\""));
        let pings = (Duration::from_secs(1), Duration::from_secs(600));
        findings.range("broadcast.ping", self.ping, pings, ("\"1s\"", "\"10m\""));
    }

    /// The group, of this host where there are several.
    pub(super) fn group(&self, name: &str) -> String {
        self.host.as_ref().map_or_else(|| name.to_owned(), |host| format!("{name}:{host}"))
    }

    /// The token.
    ///
    /// # Errors
    /// There is none that could be sent, or its file cannot be read.
    pub(super) fn token(&self) -> Result<Token, String> {
        let text = match (&self.token_file, &self.token) {
            (Some(path), _) => std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read `broadcast.token_file` {}: {error}", path.display()))?,
            (None, Some(Secret(token))) => token.clone(),
            (None, None) => return Err("`broadcast` has no token".to_owned()),
        };
        let unusable = || "the token of `broadcast` is empty, or not visible ASCII without spaces".to_owned();
        Token::of(text.trim()).ok_or_else(unusable)
    }
}

/// Linux binds [::] to IPv4 as well. Port 0 is a new port each time.
fn is_taken(ours: SocketAddr, theirs: SocketAddr) -> bool {
    let same_host = ours.ip() == theirs.ip() || ours.ip().is_unspecified() || theirs.ip().is_unspecified();
    ours.port() != 0 && ours.port() == theirs.port() && same_host
}

/// Whether a browser would ever send it: it sends scheme, host and port, in small letters, and nothing behind them.
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https")
            && !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for sound in ["https://soc.example.org", "http://127.0.0.1:8080", "http://[::1]:80"] {
            assert!(is_origin(sound), "{sound}");
        }
        for wrong in ["*", "null", "soc.example.org", "https://", "https://a/", "https://A.example", "wss://a"] {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }

    #[test]
    fn each_host_of_several_has_groups_of_its_own() {
        assert_eq!(Config::default().group("api-ws-alerts"), "api-ws-alerts");
        let config = Config { host: Some("b".to_owned()), ..Config::default() };
        assert_eq!(config.group("api-ws-alerts"), "api-ws-alerts:b");
    }
}
