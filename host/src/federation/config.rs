use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use super::{inbound, names::canonical, networks::network, offer::Offer, warning_list::WarningList};
use crate::{
    broker::{
        jetstream,
        redis_streams::{self, check_name},
    },
    config::{Purpose, findings::Findings},
    pipeline::dedup::EventKind,
    raw,
    sandbox::{Severity, Tlp},
};

/// `[federation]`: what may leave the site, and in which form. Counts where `[nats]` is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which of the two sets of subjects alerts and observables go to: `aurora`, `AURORA`, or both.
    pub sets: Vec<Set>,
    /// Which streams of this site are offered to the others, beside events.
    pub share: Vec<Offer>,
    /// `[federation.streams]`
    pub streams: Streams,
    /// `[federation.ceiling]`
    pub ceiling: CeilingConfig,
    /// `[federation.in]`; none: nothing comes in.
    #[serde(rename = "in")]
    pub inbound: Option<inbound::Config>,
}

/// A set of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Set {
    /// `aurora.alerts.<category>` and `aurora.intel.ioc.<type>`: what the policy says.
    #[serde(rename = "aurora")]
    Aurora,
    /// `AURORA.alerts` and `AURORA.ioc_sharing`.
    #[serde(rename = "AURORA")]
    Capital,
}

/// `[federation.streams]`: the streams that can be offered, and how they are read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Streams {
    /// What agents found. The audit trail is that of `redis.audit`.
    pub agent_results: String,
    /// What was done about it.
    pub soar: String,
    /// Where the host writes down what was decided on each of their entries.
    pub decisions: String,
    /// Length to which it is trimmed, approximately; 0 never trims.
    pub decisions_length: u64,
    /// The consumer group. Daemons of one group share the work.
    pub group: String,
    /// Entries of a daemon that has not been heard of for this long are taken over.
    #[serde(with = "humantime_serde")]
    pub stale: Duration,
    /// An entry that was delivered so often and never settled becomes a dead letter.
    pub max_deliveries: u64,
    /// Most entries of a stream taken and not yet stored.
    pub max_in_flight: usize,
    /// Larger entries become dead letters.
    pub max_payload: ByteSize,
}

/// `[federation.ceiling]`: what no policy can go beyond.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CeilingConfig {
    /// Alerts below it stay.
    #[serde(deserialize_with = "severity")]
    pub min_severity: Severity,
    /// Kinds of events that may leave.
    pub kinds: Vec<EventKind>,
    /// Subjects that may be shared to, wildcards allowed. Default: all of `nats.subjects`.
    pub subjects: Option<Vec<String>>,
    /// What is marked as more confidential stays.
    pub max_tlp: Marking,
    /// `[federation.ceiling.never]`
    pub never: NeverConfig,
}

/// A marking of TLP 2.0, from the most open one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words are those of the protocol")]
pub enum Marking {
    Clear,
    Green,
    Amber,
    AmberStrict,
    Red,
}

/// `[federation.ceiling.never]`: what never leaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeverConfig {
    /// Addresses and names that mean nothing elsewhere.
    pub reserved: bool,
    /// What everybody has: the empty file, public resolvers, browsers.
    pub common: bool,
    /// The site's own networks and addresses.
    pub networks: Vec<String>,
    /// The site's own names, each with all that is below it.
    pub domains: Vec<String>,
    /// Files of observables: warning lists of MISP, or plain lines.
    pub lists: Vec<PathBuf>,
    /// What the files hold; read with the configuration.
    #[serde(skip)]
    pub read: WarningLists,
    /// Keys of fields, in which `*` stands for any characters.
    pub fields: Vec<String>,
    /// Whether what never leaves is also blotted out in the texts of what leaves.
    pub mask: bool,
}

/// The warning lists of a configuration.
#[derive(Clone, Default)]
pub struct WarningLists(pub(super) Vec<Arc<WarningList>>);

impl Default for Config {
    fn default() -> Self {
        Self {
            sets: vec![Set::Aurora],
            share: Vec::new(),
            streams: Streams::default(),
            ceiling: CeilingConfig::default(),
            inbound: None,
        }
    }
}

impl Default for Streams {
    fn default() -> Self {
        let raw = raw::Config::default();
        Self {
            agent_results: "aurora:agent:results".to_owned(),
            soar: "aurora:soar:actions".to_owned(),
            decisions: "aurora:federation:decisions".to_owned(),
            decisions_length: 50_000,
            group: "aurora-federate".to_owned(),
            stale: raw.stale,
            max_deliveries: raw.max_deliveries,
            max_in_flight: 512,
            max_payload: raw.max_payload,
        }
    }
}

impl Default for CeilingConfig {
    fn default() -> Self {
        Self {
            min_severity: Severity::High,
            kinds: vec![EventKind::Alert, EventKind::Attestation],
            subjects: None,
            max_tlp: Marking::AmberStrict,
            never: NeverConfig::default(),
        }
    }
}

impl Default for NeverConfig {
    fn default() -> Self {
        Self {
            reserved: true,
            common: true,
            networks: Vec::new(),
            domains: Vec::new(),
            lists: Vec::new(),
            read: WarningLists::default(),
            fields: Vec::new(),
            mask: true,
        }
    }
}

/// Subjects of the second set.
pub(crate) const CAPITAL: [&str; 2] = ["AURORA.alerts", "AURORA.ioc_sharing"];

impl Config {
    /// The sections that it speaks of are given along.
    pub(crate) fn validate(
        &self,
        nats: Option<&jetstream::Config>,
        redis: Option<&redis_streams::Config>,
        raw: Option<&raw::Config>,
        findings: &mut Findings,
    ) {
        if self.sets.is_empty() {
            let remedy = "name \"aurora\", \"AURORA\", or both; without [nats] nothing leaves at all";
            findings.problem("federation.sets", "is empty", remedy);
        }
        if self.sets.first().is_some_and(|first| self.sets[1..].contains(first)) || self.sets.len() > 2 {
            findings.problem("federation.sets", "names a set twice", "name it once");
        }
        if let Some(nats) = nats
            && self.sets.contains(&Set::Capital)
            && !findings.is_misfit("federation.ceiling.subjects")
        {
            let may = self.subjects(nats);
            if let Some(missing) = CAPITAL.iter().find(|subject| !may.iter().all(|subjects| subjects.allow(subject))) {
                let what = format!("has \"AURORA\", but nothing may be shared to {missing}");
                findings.problem("federation.sets", what, "add it to nats.subjects and to federation.ceiling.subjects");
            }
        }
        self.validate_share(nats, redis, raw, findings);
        if let Some(inbound) = &self.inbound {
            let redis_streams = redis.cloned().unwrap_or_default();
            let offered = Offer::ALL.into_iter().map(|offer| self.stream_of(offer, &redis_streams));
            let offered: Vec<_> = offered.chain([self.streams.decisions.as_str()]).collect();
            inbound.validate(nats, redis, raw, &offered, findings);
        }
        self.ceiling.validate(findings);
    }

    fn validate_share(
        &self,
        nats: Option<&jetstream::Config>,
        redis: Option<&redis_streams::Config>,
        raw: Option<&raw::Config>,
        findings: &mut Findings,
    ) {
        let Streams { agent_results, soar, decisions, group, .. } = &self.streams;
        let named = [("agent_results", agent_results), ("soar", soar), ("decisions", decisions), ("group", group)];
        for (key, name) in named {
            check_name(findings, format!("federation.streams.{key}"), name);
        }
        if agent_results == soar {
            findings.problem("federation.streams.soar", "is the same stream as `agent_results`", "give each its own");
        }
        if [agent_results, soar].contains(&decisions) {
            let what = "is one of the streams that are offered";
            findings.problem("federation.streams.decisions", what, "choose a name of its own");
        }
        for (key, name) in &named[..3] {
            let key = format!("federation.streams.{key}");
            let taken = redis.is_some_and(|redis| {
                [&redis.dead_letter, &redis.audit, &redis.outbox].contains(name) || redis.streams.contains_key(*name)
            });
            if taken || raw.is_some_and(|raw| raw.stream == **name) {
                findings.problem(key, "is a stream that has another use", "choose a name of its own");
            }
        }
        let Streams { stale, max_deliveries, max_in_flight, max_payload, .. } = self.streams;
        let section = "federation.streams";
        let ages = (Duration::from_secs(1), Duration::from_hours(24));
        findings.range(&format!("{section}.stale"), stale, ages, ("\"1s\"", "\"24h\""));
        findings.range(&format!("{section}.max_deliveries"), max_deliveries, (2, 1000), ("2", "1000"));
        findings.range(&format!("{section}.max_in_flight"), max_in_flight, (1, 65_536), ("1", "65536"));
        let sizes = (ByteSize::b(1), ByteSize::mib(256));
        findings.range(&format!("{section}.max_payload"), max_payload, sizes, ("1 byte", "\"256MiB\""));
        if self.share.is_empty() {
            return;
        }
        if findings.purpose() == Purpose::Run && !findings.given("nats", nats.is_some()) {
            findings.problem("federation.share", "is set, but without [nats] nothing leaves", "add a [nats] section");
        }
        if (1..self.share.len()).any(|index| self.share[..index].contains(&self.share[index])) {
            findings.problem("federation.share", "names a stream twice", "name it once");
        }
        if let Some(nats) = nats
            && !findings.is_misfit("federation.ceiling.subjects")
        {
            // Else each entry would be kept, and acknowledged for good.
            let may = self.subjects(nats);
            let closed = |offer: &&Offer| !may.iter().all(|subjects| subjects.meet(offer.pattern()));
            if let Some(offer) = self.share.iter().find(closed) {
                let what = format!("has {:?}, but nothing may be shared to {}", offer.as_str(), offer.subject());
                findings.problem(
                    "federation.share",
                    what,
                    "add it to nats.subjects and to federation.ceiling.subjects",
                );
            }
        }
    }

    /// Whom a subject has to please: `nats.subjects`, and those of the ceiling where it has some.
    pub(crate) fn subjects(&self, nats: &jetstream::Config) -> Vec<jetstream::Subjects> {
        let all = [Some(&nats.subjects), self.ceiling.subjects.as_ref()];
        all.into_iter().flatten().map(|subjects| jetstream::Subjects::new(subjects)).collect()
    }

    /// The stream of an offer.
    #[must_use]
    pub fn stream_of<'a>(&'a self, offer: Offer, redis: &'a redis_streams::Config) -> &'a str {
        match offer {
            Offer::AgentResults => &self.streams.agent_results,
            Offer::Audit => &redis.audit,
            Offer::Soar => &self.streams.soar,
        }
    }
}

impl Streams {
    /// How the stream of this name is read.
    pub(crate) fn of(&self, stream: &str) -> raw::Config {
        raw::Config {
            stream: stream.to_owned(),
            group: self.group.clone(),
            consumer: None,
            // Others read it as well.
            remove: false,
            stale: self.stale,
            max_deliveries: self.max_deliveries,
            max_in_flight: self.max_in_flight,
            max_in_flight_bytes: raw::Config::default().max_in_flight_bytes,
            max_payload: self.max_payload,
        }
    }
}

impl CeilingConfig {
    fn validate(&self, findings: &mut Findings) {
        if self.subjects.as_ref().is_some_and(Vec::is_empty) {
            let remedy = "name what may be shared, leave it out, or remove [nats] to share nothing";
            findings.problem("federation.ceiling.subjects", "is empty", remedy);
        }
        for (index, subject) in self.subjects.iter().flatten().enumerate() {
            if !jetstream::is_subject(subject) {
                let remedy = "tokens are separated by dots; `*` stands for one token, `>` for all the rest";
                let key = format!("federation.ceiling.subjects[{index}]");
                findings.problem(key, format!("{subject:?} is no subject"), remedy);
            }
        }
        let section = "federation.ceiling.never";
        for (index, text) in self.never.networks.iter().enumerate() {
            if network(text).is_none() {
                let key = format!("{section}.networks[{index}]");
                let remedy = "write it like \"198.51.100.0/24\", or a single address";
                findings.problem(key, format!("{text:?} is no network"), remedy);
            }
        }
        for (index, text) in self.never.domains.iter().enumerate() {
            if canonical(text).is_none() {
                let key = format!("{section}.domains[{index}]");
                let remedy = "write it like \"plant.example\"; what is below it is meant as well";
                findings.problem(key, format!("{text:?} is no name of a host"), remedy);
            }
        }
        for (index, pattern) in self.never.fields.iter().enumerate() {
            if pattern.is_empty() {
                let key = format!("{section}.fields[{index}]");
                findings.problem(key, "is empty", "name a field, in which * stands for any characters");
            }
        }
    }
}

impl NeverConfig {
    /// Reads the lists. What is wrong with each that cannot be used, by its position.
    pub(crate) fn read(&mut self) -> Vec<(usize, String)> {
        let (mut read, mut wrong) = (Vec::new(), Vec::new());
        for (index, path) in self.lists.iter().enumerate() {
            match WarningList::read(path) {
                Ok(list) => read.push(Arc::new(list)),
                Err(what) => wrong.push((index, format!("{} {what}", path.display()))),
            }
        }
        self.read = WarningLists(read);
        wrong
    }
}

impl Set {
    /// As in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aurora => "aurora",
            Self::Capital => "AURORA",
        }
    }
}

impl Marking {
    /// Whether `tlp` is no more confidential.
    #[must_use]
    pub fn covers(self, tlp: Tlp) -> bool {
        let marking = match tlp {
            Tlp::Clear => Self::Clear,
            Tlp::Green => Self::Green,
            Tlp::Amber => Self::Amber,
            Tlp::AmberStrict => Self::AmberStrict,
            Tlp::Red => Self::Red,
        };
        marking <= self
    }

    /// As TLP 2.0 writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let tlp = match self {
            Self::Clear => Tlp::Clear,
            Self::Green => Tlp::Green,
            Self::Amber => Tlp::Amber,
            Self::AmberStrict => Tlp::AmberStrict,
            Self::Red => Tlp::Red,
        };
        tlp.as_str()
    }
}

impl fmt::Debug for WarningLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// A severity as it is spelled everywhere else.
fn severity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Spelled {
        Info,
        Low,
        Medium,
        High,
        Critical,
    }
    Ok(match Spelled::deserialize(deserializer)? {
        Spelled::Info => Severity::Info,
        Spelled::Low => Severity::Low,
        Spelled::Medium => Severity::Medium,
        Spelled::High => Severity::High,
        Spelled::Critical => Severity::Critical,
    })
}
