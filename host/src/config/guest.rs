//! Keys about one guest: where it lies, what it may take, and its own settings.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use super::{Breaker, Grants, Probation, Purpose, Rule, StateLimits, findings::Findings, quoted};
use crate::supply::{Reference, Source};

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
