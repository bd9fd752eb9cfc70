use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, de};

use crate::{
    config::findings::Findings,
    sandbox::{ObservableType, Severity},
};

/// `[intel]`: indicators that sites tell each other of. Without this section none are kept and nothing is looked up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long an indicator is looked out for after it was told last. No message can make it longer.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// The same for single types, as addresses change hands sooner than hashes.
    pub ttl_of: BTreeMap<String, Life>,
    /// Most indicators. What comes when it is full is not taken, so that nobody can push out what is there.
    pub max: u64,
    /// Longest wait of a lane for an answer of Redis. Once one took longer, events are not looked up until it answers again.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Whether other sites are told what of theirs was seen here, where the policy shares the event.
    pub sightings: bool,
    /// `[intel.match]`
    #[serde(rename = "match")]
    pub matches: Matches,
}

/// A time as `"30d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Life(#[serde(with = "humantime_serde")] pub Duration);

/// `[intel.match]`: what a match makes of an event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matches {
    /// Severity that an event has at least whose observable is an indicator for which no rule is.
    pub raise_to: Raise,
    /// `[[intel.match.rule]]`, the first that fits.
    #[serde(rename = "rule")]
    pub rules: Vec<MatchRule>,
}

/// One rule: what all of its conditions hold for is raised as it says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchRule {
    /// Types of indicators; empty: all.
    pub types: Vec<String>,
    /// Sites of which one must tell it; empty: any.
    pub sites: Vec<String>,
    /// How many sites must tell it at least.
    pub min_sources: usize,
    /// How long ago it was told at most; none: as long as it is there.
    #[serde(with = "humantime_serde")]
    pub max_age: Option<Duration>,
    /// Severity that the event then has at least.
    pub raise_to: Raise,
}

/// How far a match raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raise {
    /// Not at all: the event only says that it matched.
    No,
    /// At least to this.
    To(Severity),
}

impl Default for Raise {
    fn default() -> Self {
        Self::To(Severity::High)
    }
}

impl<'de> Deserialize<'de> for Raise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "no" {
            return Ok(Self::No);
        }
        let known = Severity::ALL.into_iter().find(|severity| severity.as_str() == text);
        known
            .map(Self::To)
            .ok_or_else(|| de::Error::unknown_variant(&text, &["no", "info", "low", "medium", "high", "critical"]))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30 * 86_400),
            ttl_of: BTreeMap::new(),
            max: 1_000_000,
            timeout: Duration::from_millis(250),
            sightings: true,
            matches: Matches::default(),
        }
    }
}

impl Config {
    /// How long indicators of a type live.
    #[must_use]
    pub fn life(&self, kind: ObservableType) -> Duration {
        self.ttl_of.get(kind.as_str()).map_or(self.ttl, |life| life.0)
    }

    pub(crate) fn validate(&self, findings: &mut Findings) {
        let lives = (Duration::from_secs(1), Duration::from_secs(3660 * 86_400));
        findings.range("intel.ttl", self.ttl, lives, ("\"1s\"", "\"3660d\""));
        for (kind, life) in &self.ttl_of {
            let key = format!("intel.ttl_of.{kind}");
            if is_type(kind) {
                findings.range(&key, life.0, lives, ("\"1s\"", "\"3660d\""));
            } else {
                findings.problem(key, "is no type of an indicator", types());
            }
        }
        findings.range("intel.max", self.max, (1, 100_000_000), ("1", "100000000"));
        let waits = (Duration::from_millis(5), Duration::from_secs(10));
        findings.range("intel.timeout", self.timeout, waits, ("\"5ms\"", "\"10s\""));
        for (place, rule) in self.matches.rules.iter().enumerate() {
            if let Some(unknown) = rule.types.iter().find(|kind| !is_type(kind)) {
                let what = format!("has {unknown:?}, which is no type of an indicator");
                findings.problem(format!("intel.match.rule.{place}.types"), what, types());
            }
        }
    }
}

fn is_type(text: &str) -> bool {
    ObservableType::ALL.into_iter().any(|kind| kind.as_str() == text)
}

fn types() -> String {
    let all: Vec<_> = ObservableType::ALL.into_iter().map(ObservableType::as_str).collect();
    format!("there are {}", all.join(", "))
}
