use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// What a site may let a guest have beside its own settings, each by name in `[guests.<stage>] grants`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grant {
    /// Lines in the host's log, at most `log_lines` a call.
    Log,
    /// The empty WASI: no files, no network, no environment; a clock and random numbers that are the same each time.
    Wasi,
    /// A table of what it remembers, as large as `[guests.<stage>.state]` says.
    State,
    /// What this and other sites tell of observables.
    Lookup,
}

impl Grant {
    /// As in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Wasi => "wasi",
            Self::State => "state",
            Self::Lookup => "lookup",
        }
    }
}

/// What one guest is granted; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Grants(BTreeSet<Grant>);

impl Grants {
    /// Whether `grant` is among them.
    #[must_use]
    pub fn hold(&self, grant: Grant) -> bool {
        self.0.contains(&grant)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more.
    pub fn add(&mut self, grant: Grant) {
        self.0.insert(grant);
    }

    /// In the order of the configuration's documentation.
    pub fn iter(&self) -> impl Iterator<Item = Grant> {
        self.0.iter().copied()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

/// As it stands in the configuration: `grants = ["log"]`.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(|grant| format!("{:?}", grant.as_str())).collect();
        write!(f, "grants = [{}]", words.join(", "))
    }
}
