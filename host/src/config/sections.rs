//! The sections that belong to no other module.

use std::{collections::BTreeMap, iter, net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::{
    Breaker, Compile, Grants, Probation, Purpose, Registry, Rule, StateLimits, findings::Findings, quoted, rule,
    wording::closest,
};
use crate::{
    event::is_device_id,
    ingest::Token,
    supply::{Reference, Source},
    telemetry::{SlotName, Stage},
};

/// `[site]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Name of this site, `[A-Za-z0-9_-]{1,64}`: it marks what leaves for other sites. Required.
    pub id: String,
}

impl Site {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let remedy = "choose 1 to 64 of A-Z a-z 0-9 _ -";
        if self.id.is_empty() {
            if findings.purpose() == Purpose::Run {
                findings.problem("site.id", "is missing or empty", remedy);
            }
        } else if !is_device_id(&self.id) {
            findings.problem("site.id", format!("{:?} is no site id", self.id), remedy);
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What to log, in the syntax of `tracing_subscriber::EnvFilter`: `info`, `aurora=debug,info`.
    pub level: String,
}

/// `[log] format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Log {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let remedy = "write it like \"info\" or \"aurora=debug,info\"";
        if self.level.trim().is_empty() {
            findings.problem("log.level", "is empty", remedy);
        } else if self.level.parse::<EnvFilter>().is_err() {
            findings.problem("log.level", format!("{:?} is no log filter", self.level), remedy);
        }
        // The filter's syntax takes any word for a module's name, so a mistyped level would silence the log.
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        for word in self.level.split(',').map(|directive| directive.rsplit('=').next().unwrap_or(directive).trim()) {
            let meant = closest(word, &LEVELS).filter(|meant| !meant.eq_ignore_ascii_case(word));
            if let Some(meant) = meant {
                findings.problem("log.level", format!("{word:?} is no level"), format!("did you mean \"{meant}\"?"));
            }
        }
    }
}

/// `[lanes]`: events of one device stay in one lane and in order; lanes run beside each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lanes {
    /// Number of lanes, a thread each. 0: one for each core.
    pub count: usize,
    /// Most events of a batch, 1 to 4,096.
    pub batch: usize,
    /// Most payload bytes of a batch; a single larger event is a batch of its own.
    pub batch_bytes: ByteSize,
    /// How long a lane waits for more before it runs a batch that is not full. `0ms`: it takes what is there, and
    /// batches grow by themselves while the one before is being stored.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// Most events waiting before a lane. Full means that sources stop reading.
    pub queue: usize,
    /// How often an event is asked for again after a guest's `retry-after`, before it becomes a dead letter.
    pub retries: u32,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { count: 0, batch: 256, batch_bytes: ByteSize::mib(1), linger: Duration::ZERO, queue: 4096, retries: 5 }
    }
}

impl Lanes {
    pub(super) fn validate(&self, findings: &mut Findings) {
        findings.range("lanes.count", self.count, (0, 256), ("0 (one a core)", "256"));
        findings.range("lanes.batch", self.batch, (1, 4096), ("1", "4096"));
        let sizes = (ByteSize::kib(1), ByteSize::mib(256));
        findings.range("lanes.batch_bytes", self.batch_bytes, sizes, ("\"1KiB\"", "\"256MiB\""));
        let lingers = (Duration::ZERO, Duration::from_secs(60));
        findings.range("lanes.linger", self.linger, lingers, ("\"0ms\"", "\"60s\""));
        findings.range("lanes.queue", self.queue, (1, 1 << 20), ("1", "1048576"));
        findings.range("lanes.retries", self.retries, (0, 1000), ("0", "1000"));
    }
}

/// `[guests]`: the components, one for each stage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guests {
    /// `[guests.normalize]`
    pub normalize: Guest,
    /// `[guests.route]`
    pub route: Guest,
    /// `[guests.federate]`
    pub federate: Guest,
    /// `[guests.inbound]`: who judges what other sites send. None: the host's own checks alone.
    pub inbound: Option<Guest>,
    /// Folder of compiled components, kept from start to start. It must belong to the daemon alone; nothing is kept
    /// where it is not set.
    pub cache: Option<PathBuf>,
    /// Whether a guest whose file changes takes its predecessor's place at once.
    pub watch: bool,
    /// Whether only guests run that one of `trusted_keys` has signed.
    pub require_signature: bool,
    /// Ed25519 public keys, PEM.
    pub trusted_keys: Vec<PathBuf>,
    /// `[guests.registry]`
    pub registry: Registry,
    /// `[guests.compile]`
    pub compile: Compile,
}

impl Default for Guests {
    fn default() -> Self {
        let [normalize, route, federate] = Default::default();
        Self {
            normalize,
            route,
            federate,
            inbound: None,
            cache: None,
            watch: true,
            require_signature: false,
            trusted_keys: Vec::new(),
            registry: Registry::default(),
            compile: Compile::default(),
        }
    }
}

/// `[guests.<stage>]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guest {
    /// The component, a `.wasm` file. Required, or `oci`.
    pub path: PathBuf,
    /// The component in an OCI registry, `registry/repository@sha256:…`.
    pub oci: Option<String>,
    /// What it may import beside its settings; a guest that imports more is refused.
    pub grants: Grants,
    /// Most linear memory.
    pub memory: ByteSize,
    /// Most CPU time of a call. Halves of a batch that is searched for a culprit get less.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// Most bytes that cross from the guest in one call: its answer, and separately what it passes to the host.
    pub output: ByteSize,
    /// Most log lines of a call.
    pub log_lines: u32,
    /// Whether memory lives on from batch to batch.
    pub instance: Instance,
    /// `[guests.<stage>.breaker]`
    pub breaker: Breaker,
    /// `[guests.<stage>.probation]`
    pub probation: Probation,
    /// `[guests.<stage>.state]`
    pub state: StateLimits,
    /// `[guests.<stage>.options]`: the guest's own settings.
    pub options: BTreeMap<String, toml::Value>,
    /// `[[guests.<stage>.rule]]`: other guests for some of the events. A rule has none.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// `[guests.<stage>] instance`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instance {
    /// A new one for each batch: nothing leaks from batch to batch, and any batch replays bit for bit.
    #[default]
    Fresh,
    /// The same one until it traps: a little faster, for guests that the site trusts.
    Reuse,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            oci: None,
            grants: Grants::default(),
            memory: ByteSize::mib(64),
            deadline: Duration::from_millis(100),
            output: ByteSize::mib(16),
            log_lines: 100,
            instance: Instance::Fresh,
            breaker: Breaker::default(),
            probation: Probation::default(),
            state: StateLimits::default(),
            options: BTreeMap::new(),
            rules: Vec::new(),
        }
    }
}

impl Guests {
    pub(super) fn validate(&self, findings: &mut Findings) {
        self.validate_supply(findings);
        for (stage, guest) in self.stages() {
            let section = format!("guests.{stage}");
            guest.validate(&section, findings);
            rule::validate(&guest.rules, &section, findings);
        }
    }

    /// The stages that have guests, each with its own section.
    #[must_use]
    pub fn stages(&self) -> Vec<(Stage, &Guest)> {
        let always =
            [(Stage::Normalize, &self.normalize), (Stage::Route, &self.route), (Stage::Federate, &self.federate)];
        always.into_iter().chain(self.inbound.as_ref().map(|guest| (Stage::Inbound, guest))).collect()
    }

    /// The guest of the slot with this name, as in `normalize` or `normalize/acme`.
    pub fn get_mut(&mut self, slot: &str) -> Option<&mut Guest> {
        let (stage, rule) = slot.split_once('/').map_or((slot, None), |(stage, rule)| (stage, Some(rule)));
        let guest = match stage {
            "normalize" => &mut self.normalize,
            "route" => &mut self.route,
            "federate" => &mut self.federate,
            "inbound" => self.inbound.as_mut()?,
            _ => return None,
        };
        match rule {
            None => Some(guest),
            Some(name) => guest.rules.iter_mut().find(|rule| rule.name == name).map(|rule| &mut rule.guest),
        }
    }

    /// The same, for who puts another one there: that of `inbound` comes into being where there is none.
    pub fn entry(&mut self, slot: &str) -> Option<&mut Guest> {
        match slot {
            "inbound" => Some(self.inbound.get_or_insert_with(Guest::default)),
            slot => self.get_mut(slot),
        }
    }

    /// Every guest, those that rules choose included.
    pub fn all(&self) -> impl Iterator<Item = (SlotName, &Guest)> {
        self.stages().into_iter().flat_map(|(stage, guest)| {
            let rules = guest.rules.iter();
            iter::once((SlotName::from(stage), guest))
                .chain(rules.map(move |rule| (SlotName::of_rule(stage, &rule.name), &rule.guest)))
        })
    }
}

impl Guest {
    /// Where it lies.
    #[must_use]
    pub fn source(&self) -> Source {
        self.oci.clone().map_or_else(|| Source::File(self.path.clone()), Source::Oci)
    }

    /// The same for a person: the file, or the reference.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        self.oci.as_ref().map_or_else(|| self.path.clone(), PathBuf::from)
    }

    /// Whether it lies anywhere.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.oci.is_some() || !self.path.as_os_str().is_empty()
    }

    pub(crate) fn validate(&self, section: &str, findings: &mut Findings) {
        let key = |name: &str| format!("{section}.{name}");
        let is_set = findings.given(&key("path"), !self.path.as_os_str().is_empty());
        let is_pulled = findings.given(&key("oci"), self.oci.is_some());
        if !is_set && !is_pulled && findings.purpose() == Purpose::Run {
            findings.problem(key("path"), "is missing or empty", "name a component, a .wasm file");
        } else if is_set && is_pulled {
            findings.problem(key("oci"), "is set beside `path`", "leave one of them out");
        }
        if let Some(Err(error)) = self.oci.as_deref().map(Reference::parse) {
            let remedy = "write \"registry/repository@sha256:…\"; `aurora guest pull` says the digest of a tag";
            findings.problem(key("oci"), error.to_string(), remedy);
        }
        // 4 GiB is all that a 32-bit guest can address.
        let memories = (ByteSize::kib(64), ByteSize::gib(4));
        findings.range(&key("memory"), self.memory, memories, ("\"64KiB\"", "\"4GiB\""));
        let deadlines = (Duration::from_millis(1), Duration::from_secs(60));
        findings.range(&key("deadline"), self.deadline, deadlines, ("\"1ms\"", "\"60s\""));
        let outputs = (ByteSize::kib(1), ByteSize::gib(1));
        findings.range(&key("output"), self.output, outputs, ("\"1KiB\"", "\"1GiB\""));
        self.breaker.validate(section, findings);
        self.probation.validate(section, findings);
        self.state.validate(section, findings);
        for (name, value) in &self.options {
            let key = format!("{section}.options.{}", quoted(name));
            if name.is_empty() {
                findings.problem(&*key, "has no name", "give the option a name");
            }
            if let Some(what) = beyond_json(value) {
                findings.problem(key, what, "guests read options as JSON: write it as a string");
            }
        }
    }
}

/// What of an option a guest could not be given.
fn beyond_json(value: &toml::Value) -> Option<&'static str> {
    match value {
        toml::Value::Datetime(_) => Some("is a date"),
        toml::Value::Float(number) if !number.is_finite() => Some("is not a finite number"),
        toml::Value::Array(values) => values.iter().find_map(beyond_json),
        toml::Value::Table(values) => values.values().find_map(beyond_json),
        _ => None,
    }
}

/// `[ingest]`: events over HTTP. Without this section nothing listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// File that holds the bearer token. One of `token_file` and `token` is required.
    pub token_file: Option<PathBuf>,
    /// The bearer token itself; meant for `AURORA_INGEST__TOKEN`.
    pub token: Option<Secret>,
    /// Largest request body.
    pub max_body: ByteSize,
    /// Largest single event; larger ones become dead letters.
    pub max_payload: ByteSize,
    /// Events taken and not yet stored, over all requests. Beyond it a request is answered with 429.
    pub max_in_flight: usize,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9465)),
            token_file: None,
            token: None,
            max_body: ByteSize::mib(16),
            max_payload: ByteSize::mib(1),
            max_in_flight: 8192,
        }
    }
}

impl Ingest {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let file = findings.given("ingest.token_file", self.token_file.is_some());
        let token = findings.given("ingest.token", self.token.is_some());
        let remedy = "set `ingest.token_file`, or AURORA_INGEST__TOKEN, but not both";
        if !file && !token {
            findings.problem("ingest.token_file", "is missing: without a token anybody could send events", remedy);
        } else if file && token {
            findings.problem("ingest.token", "is set beside `ingest.token_file`", remedy);
        }
        if let Some(Secret(token)) = &self.token
            && (token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            let remedy = "choose printable ASCII without spaces, as an HTTP header needs";
            findings.problem("ingest.token", "is empty, or holds spaces or other characters", remedy);
        }
        let sizes = (ByteSize::b(1), ByteSize::gib(1));
        findings.range("ingest.max_body", self.max_body, sizes, ("1 byte", "\"1GiB\""));
        findings.range("ingest.max_payload", self.max_payload, sizes, ("1 byte", "\"1GiB\""));
        findings.range("ingest.max_in_flight", self.max_in_flight, (1, 1 << 20), ("1", "1048576"));
    }
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address of the page, `/livez`, `/readyz`, `/metrics` and `/v1/guests`.
    pub listen: SocketAddr,
    /// File that holds the bearer token for changing guests, and for seeing what events say. Without one they and figures
    /// can only be looked at.
    pub token_file: Option<PathBuf>,
    /// The bearer token itself; meant for `AURORA_ADMIN__TOKEN`.
    pub token: Option<Secret>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)), token_file: None, token: None }
    }
}

impl Admin {
    pub(super) fn validate(&self, findings: &mut Findings) {
        if self.token_file.is_some() && self.token.is_some() {
            let remedy = "set `admin.token_file`, or AURORA_ADMIN__TOKEN, but not both";
            findings.problem("admin.token", "is set beside `admin.token_file`", remedy);
        }
        if let Some(Secret(token)) = &self.token
            && Token::of(token).is_none()
        {
            let remedy = "choose printable ASCII without spaces, as an HTTP header needs";
            findings.problem("admin.token", "is empty, or holds spaces or other characters", remedy);
        }
    }

    /// The token; none where none is set.
    ///
    /// # Errors
    /// Its file cannot be read, or holds none that could be sent.
    pub fn token(&self) -> Result<Option<Token>, String> {
        let wrong = "the token of `admin` is empty, or not visible ASCII without spaces";
        self.token_text()?.map(|text| Token::of(&text).ok_or_else(|| wrong.to_owned())).transpose()
    }

    /// The same as text, for who shows it.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn token_text(&self) -> Result<Option<String>, String> {
        match (&self.token_file, &self.token) {
            (Some(path), _) => {
                let failed = |error| format!("cannot read `admin.token_file` {}: {error}", path.display());
                Ok(Some(std::fs::read_to_string(path).map_err(failed)?.trim().to_owned()))
            }
            (None, token) => Ok(token.clone().map(|Secret(token)| token)),
        }
    }

    pub(super) fn validate_beside(&self, ingest: &Ingest, findings: &mut Findings) {
        let (ours, theirs) = (self.listen, ingest.listen);
        // Linux binds [::] to IPv4 as well. Port 0 is a new port each time.
        let same_host = ours.ip() == theirs.ip() || ours.ip().is_unspecified() || theirs.ip().is_unspecified();
        if ours.port() != 0 && ours.port() == theirs.port() && same_host {
            let what = format!("{theirs} is also the address of `admin.listen`");
            findings.problem("ingest.listen", what, "choose another port");
        }
    }
}

/// `[shutdown]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long events in flight may take to settle after SIGTERM. What is not settled then is redelivered.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10) }
    }
}

impl Shutdown {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let graces = (Duration::from_millis(100), Duration::from_secs(600));
        findings.range("shutdown.grace", self.grace, graces, ("\"100ms\"", "\"10m\""));
    }
}

/// Text that never shows in a log.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}
