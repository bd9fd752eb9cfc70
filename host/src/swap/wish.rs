//! What can be asked of a slot.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Refused, history::Event, rehearsal::Rule, view::View};
use crate::config;

/// On whose word a guest was put into its place, or taken out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The configuration, at the start.
    Start,
    /// The file that the configuration names has changed.
    File,
    /// SIGHUP.
    Signal,
    /// The admin API.
    Admin,
    /// The rule that a rehearsal was begun with.
    Rule,
    /// Its own probation.
    Probation,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "the start",
            Self::File => "a changed file",
            Self::Signal => "SIGHUP",
            Self::Admin => "the admin API",
            Self::Rule => "the rule of its rehearsal",
            Self::Probation => "its probation",
        })
    }
}

/// Where a guest comes from.
#[derive(Debug)]
pub enum Source {
    /// The configuration's own, read again.
    Configured,
    /// Sent.
    Sent {
        /// What it is called.
        name: String,
        /// The component.
        wasm: Vec<u8>,
        /// Its file of signatures.
        signature: Option<Vec<u8>>,
    },
    /// A file of this machine.
    Path(PathBuf),
    /// In a registry.
    Oci(String),
}

/// A guest that somebody wants in a slot.
#[derive(Debug)]
pub struct Wish {
    /// Which.
    pub source: Source,
    /// Who.
    pub by: By,
    /// Its own cases, where they do not lie beside it.
    pub cases: Option<PathBuf>,
    /// Only to be rehearsed.
    pub rehearse: Option<Plan>,
}

impl Wish {
    /// The configuration's guest.
    #[must_use]
    pub fn configured(by: By) -> Self {
        Self { source: Source::Configured, by, cases: None, rehearse: None }
    }
}

/// How long a rehearsal lasts, and what follows.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long.
    pub until: Until,
    /// When the guest is promoted without being asked for again.
    pub promote_if: Option<Rule>,
}

/// How long a rehearsal lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So long.
    Time(Duration),
    /// For so many events.
    Events(u64),
}

/// Longest rehearsal.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

impl std::str::FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a time, as \"5m\", nor a number of events, as \"10000\"");
        if let Ok(events) = text.parse::<u64>() {
            return if events > 0 { Ok(Self::Events(events)) } else { Err(wrong()) };
        }
        let text = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
        let time: Duration = humantime_serde::deserialize(text).map_err(|_| wrong())?;
        if time.is_zero() || time > LONGEST { Err(wrong()) } else { Ok(Self::Time(time)) }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{time:?}"),
            Self::Events(events) => write!(f, "{events} events"),
        }
    }
}

/// What became of an order.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// The slot.
    pub slot: String,
    /// What was done, for a person.
    pub done: String,
    /// Digest of the guest that runs now.
    pub present: String,
    /// Digest of the guest that this is about.
    pub guest: String,
}

/// Hears what became of an order.
pub type Answer = oneshot::Sender<Result<Done, Refused>>;

/// What a slot is told.
#[derive(Debug)]
pub(super) enum Order {
    /// To install or rehearse a guest.
    Install(Wish, Option<Answer>),
    /// To go by another configuration.
    Configure(Box<config::Guest>),
    /// To see whether the configuration's file has changed.
    Look,
    /// To take the guest before.
    RollBack(Answer),
    /// To install what was rehearsed.
    Promote(Answer),
    /// To forget what is rehearsed.
    EndRehearsal(Answer),
    /// To say how it is.
    Describe(oneshot::Sender<View>),
    /// To say what befell it.
    History(oneshot::Sender<Vec<Event>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_lasts_for_a_time_or_for_events() {
        assert_eq!("5m".parse(), Ok(Until::Time(Duration::from_secs(300))));
        assert_eq!("10000".parse(), Ok(Until::Events(10_000)));
        for wrong in ["", "0", "0s", "-1", "five", "8d"] {
            let parsed = wrong.parse::<Until>();
            assert!(parsed.is_err(), "{wrong}: {parsed:?}");
        }
    }
}
