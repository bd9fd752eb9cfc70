use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::{
    broker::{
        jetstream::{self, Wanted, is_subject},
        redis_streams::{self, check_name},
    },
    config::{Purpose, findings::Findings},
    event::is_device_id,
    raw,
};

/// `[federation.in]`: what other sites share comes in. Without this section nothing does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The streams of JetStream that are read. None: that of `nats.stream`.
    pub streams: Vec<String>,
    /// The subjects that are wanted.
    pub subjects: Vec<String>,
    /// How far back a stream is read that is read for the first time; `0s`: only what comes from then on.
    #[serde(with = "humantime_serde")]
    pub backlog: Duration,
    /// What was shared longer ago is not taken. For so long, too, each message is known again.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// JetStream delivers again what was not heard of for so long, as after a crash.
    #[serde(with = "humantime_serde")]
    pub ack_wait: Duration,
    /// Most messages taken and not yet stored.
    pub max_in_flight: usize,
    /// Larger messages become dead letters.
    pub max_payload: ByteSize,
    /// A message that was delivered so often and never stored becomes a dead letter.
    pub max_deliveries: u64,
    /// The site of messages that name none, as other software sends them. None: they become dead letters.
    pub unnamed: Option<String>,
    /// `[federation.in.into]`
    pub into: Destinations,
}

/// `[federation.in.into]`: the streams of this site's Redis that they go to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Destinations {
    /// Alerts, but those of category `cps`.
    pub alerts: String,
    /// Alerts of category `cps`.
    pub cps_alerts: String,
    /// Results of attestation.
    pub attestation: String,
    /// What agents of other sites found.
    pub agent_results: String,
    /// The audit trails of other sites.
    pub audit: String,
    /// What other sites did.
    pub soar: String,
}

impl Default for Config {
    fn default() -> Self {
        let subjects = [
            "aurora.alerts.>",
            "aurora.intel.>",
            "aurora.cps.>",
            "aurora.soar.>",
            "AURORA.alerts",
            "AURORA.ioc_sharing",
            "AURORA.agent_results",
            "AURORA.audit",
        ];
        Self {
            streams: Vec::new(),
            subjects: subjects.map(str::to_owned).into(),
            backlog: Duration::from_hours(7 * 24),
            max_age: Duration::from_hours(30 * 24),
            ack_wait: Duration::from_secs(30),
            max_in_flight: 1024,
            max_payload: ByteSize::mib(1),
            max_deliveries: 10,
            unnamed: None,
            into: Destinations::default(),
        }
    }
}

impl Default for Destinations {
    fn default() -> Self {
        Self {
            alerts: "aurora:alerts".to_owned(),
            cps_alerts: "aurora:cps:alerts".to_owned(),
            attestation: "aurora:cps:attestation".to_owned(),
            // Not the site's own: what reads those acts on what is in them, and offers it to the other sites.
            agent_results: "aurora:federation:agent_results".to_owned(),
            audit: "aurora:federation:audit".to_owned(),
            soar: "aurora:federation:soar".to_owned(),
        }
    }
}

/// Length of a stream for which `redis.streams` has none.
const LENGTH: u64 = 50_000;

/// What a clock may be ahead, and what else may lie between a day's messages and its marks.
const SLACK: Duration = Duration::from_hours(48);

impl Config {
    /// For how long the marks of a day are kept once one is written.
    #[must_use]
    pub fn remember(&self) -> Duration {
        self.max_age + SLACK
    }

    /// The streams of JetStream that are read.
    #[must_use]
    pub fn streams<'a>(&'a self, nats: &'a jetstream::Config) -> Vec<&'a str> {
        match self.streams.as_slice() {
            [] => vec![&nats.stream],
            streams => streams.iter().map(String::as_str).collect(),
        }
    }

    /// The consumer by which `stream` is read, by its name.
    pub(super) fn wanted<'a>(&'a self, stream: &'a str, name: &'a str) -> Wanted<'a> {
        let backlog = i64::try_from(self.backlog.as_millis()).unwrap_or(i64::MAX);
        Wanted {
            stream,
            name,
            subjects: &self.subjects,
            since_ms: (backlog > 0).then(|| chrono::Utc::now().timestamp_millis().saturating_sub(backlog)),
            ack_wait: self.ack_wait,
            max_pending: self.max_in_flight,
        }
    }

    /// Adds the streams that messages go to and that `redis` does not have.
    pub(crate) fn complete(&self, redis: &mut redis_streams::Config) {
        for (_, name) in self.into.named() {
            redis.streams.entry(name.to_owned()).or_insert(LENGTH);
        }
    }

    pub(crate) fn validate(
        &self,
        nats: Option<&jetstream::Config>,
        redis: Option<&redis_streams::Config>,
        raw: Option<&raw::Config>,
        offered: &[&str],
        findings: &mut Findings,
    ) {
        if findings.purpose() == Purpose::Run && !findings.given("nats", nats.is_some()) {
            findings.problem("federation.in", "is set, but without [nats] nothing comes in", "add a [nats] section");
        }
        for (index, name) in self.streams.iter().enumerate() {
            let key = format!("federation.in.streams[{index}]");
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c)) {
                findings.problem(
                    key,
                    format!("{name:?} is no name of a stream of JetStream"),
                    "write it like \"AURORA\"",
                );
            } else if self.streams[..index].contains(name) {
                findings.problem(key, format!("{name:?} is there twice"), "name it once");
            }
        }
        if self.subjects.is_empty() {
            findings.problem("federation.in.subjects", "is empty", "name some, or remove the section");
        }
        for (index, subject) in self.subjects.iter().enumerate() {
            if !is_subject(subject) {
                let remedy = "tokens are separated by dots; `*` stands for one token, `>` for all the rest";
                let key = format!("federation.in.subjects[{index}]");
                findings.problem(key, format!("{subject:?} is no subject"), remedy);
            }
        }
        let year = Duration::from_hours(365 * 24);
        findings.range("federation.in.max_age", self.max_age, (Duration::from_hours(1), year), ("\"1h\"", "\"365d\""));
        findings.range("federation.in.backlog", self.backlog, (Duration::ZERO, year), ("\"0s\"", "\"365d\""));
        let waits = (Duration::from_secs(1), Duration::from_hours(1));
        findings.range("federation.in.ack_wait", self.ack_wait, waits, ("\"1s\"", "\"1h\""));
        findings.range("federation.in.max_in_flight", self.max_in_flight, (1, 65_536), ("1", "65536"));
        let sizes = (ByteSize::b(1), ByteSize::mib(64));
        findings.range("federation.in.max_payload", self.max_payload, sizes, ("1 byte", "\"64MiB\""));
        findings.range("federation.in.max_deliveries", self.max_deliveries, (2, 1000), ("2", "1000"));
        if let Some(site) = self.unnamed.as_ref().filter(|site| !is_device_id(site)) {
            let remedy = "choose 1 to 64 of A-Z a-z 0-9 _ -";
            findings.problem("federation.in.unnamed", format!("{site:?} is no site id"), remedy);
        }
        for (key, name) in self.into.named() {
            let key = format!("federation.in.into.{key}");
            check_name(findings, key.clone(), name);
            let is_hosts = redis
                .is_some_and(|redis| [&redis.dead_letter, &redis.audit, &redis.outbox].contains(&&name.to_owned()));
            if is_hosts || raw.is_some_and(|raw| raw.stream == name) || offered.contains(&name) {
                let what = format!("{name} is a stream that has another use");
                findings.problem(key, what, "choose one that the host neither writes for itself nor reads");
            }
        }
    }
}

impl Destinations {
    /// All of them, with their keys.
    pub(super) fn named(&self) -> [(&'static str, &str); 6] {
        let Self { alerts, cps_alerts, attestation, agent_results, audit, soar } = self;
        [
            ("alerts", alerts),
            ("cps_alerts", cps_alerts),
            ("attestation", attestation),
            ("agent_results", agent_results),
            ("audit", audit),
            ("soar", soar),
        ]
    }
}
