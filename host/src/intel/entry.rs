//! An entry of the table. `broker/redis_streams/indicators.lua` writes it, as JSON with names of one letter: there may be a
//! million.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

use super::Indicator;
use crate::sandbox::Tlp;

/// What is known of an indicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub indicator: Indicator,
    /// The sites that tell it, by name. None if it was only ever seen.
    pub sources: BTreeMap<String, Source>,
    /// The sites that have seen it, this one included.
    pub sightings: BTreeMap<String, Times>,
    /// When it was seen first, milliseconds since 1970.
    pub first_ms: u64,
    /// When it was seen last.
    pub last_ms: u64,
    /// Until when it is looked out for.
    pub expires_ms: u64,
    /// How many messages of sites have told of it.
    pub count: u64,
    /// The strictest marking that it came with.
    pub tlp: Tlp,
}

/// What one site tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// When.
    pub times: Times,
    /// The strictest marking of that site.
    pub tlp: Tlp,
}

/// When, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// First.
    pub first_ms: u64,
    /// Last.
    pub last_ms: u64,
    /// How often.
    pub count: u64,
}

/// As it is kept, but for what only the script asks: the messages and the objects that told it. Lua has no whole numbers.
#[derive(Deserialize)]
struct Stored {
    t: String,
    v: String,
    f: f64,
    l: f64,
    e: f64,
    c: f64,
    m: f64,
    s: BTreeMap<String, [f64; 4]>,
    g: BTreeMap<String, [f64; 3]>,
}

impl Known {
    /// The sites that tell it; of one that was only seen those that have seen it.
    #[must_use]
    pub fn sites(&self) -> Vec<&str> {
        let names: Vec<&str> = self.sources.keys().map(String::as_str).collect();
        if names.is_empty() { self.sightings.keys().map(String::as_str).collect() } else { names }
    }

    /// Reads an entry; none if it is over at `now_ms`, or was written by somebody else.
    pub(super) fn read(text: &str, now_ms: u64) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text).ok()?;
        let indicator = Indicator::new(&stored.t, &stored.v).ok()?;
        let expires_ms = stored.e as u64;
        if expires_ms <= now_ms {
            return None;
        }
        let times = |first: f64, last: f64, count: f64| Times {
            first_ms: first as u64,
            last_ms: last as u64,
            count: count as u64,
        };
        let source = |[first, last, count, tlp]: [f64; 4]| Source { times: times(first, last, count), tlp: rank(tlp) };
        Some(Self {
            indicator,
            sources: stored.s.into_iter().map(|(site, told)| (site, source(told))).collect(),
            sightings: stored
                .g
                .into_iter()
                .map(|(site, [first, last, count])| (site, times(first, last, count)))
                .collect(),
            first_ms: stored.f as u64,
            last_ms: stored.l as u64,
            expires_ms,
            count: stored.c as u64,
            tlp: rank(stored.m),
        })
    }
}

/// Of an entry what says who told it: the marks of the last messages, one behind the other, and the sites.
#[derive(Deserialize)]
struct Tellers {
    k: String,
    s: BTreeMap<String, IgnoredAny>,
    g: BTreeMap<String, IgnoredAny>,
}

/// The site of the entry `text` whose message is among those that told it, where `mark` says by what that of each site is
/// known.
pub(super) fn teller(text: &str, mark: impl Fn(&str) -> String) -> Option<String> {
    let Tellers { k, s, g } = serde_json::from_str(text).ok()?;
    let is_among = |mark: String| k.as_bytes().chunks(mark.len().max(1)).any(|known| known == mark.as_bytes());
    s.into_keys().chain(g.into_keys()).find(|site| is_among(mark(site)))
}

/// What is none of ours is for nobody else.
fn rank(number: f64) -> Tlp {
    Tlp::ALL.into_iter().find(|tlp| f64::from(*tlp as u8) == number).unwrap_or(Tlp::Red)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"t":"ip","v":"203.0.113.7","f":1763800000000,"l":1.763800000001e+12,"e":1763800000100,"c":3,"m":2,
        "s":{"a":[1763800000000,1763800000001,3,2]},"g":{},"k":"0123456789ab"}"#;

    #[test]
    fn an_entry_is_there_until_it_ends() {
        let known = Known::read(ENTRY, 1_763_800_000_099).unwrap();
        assert_eq!((known.last_ms, known.count, known.tlp), (1_763_800_000_001, 3, Tlp::Amber));
        assert_eq!(known.sources["a"].times.count, 3);
        assert_eq!(Known::read(ENTRY, 1_763_800_000_100), None);
    }

    #[test]
    fn who_told_it_is_known_by_the_whole_mark() {
        let entry = ENTRY.replace("0123456789ab", "0123456789ab456789abcdef");
        let site_of = |mark: &str| teller(&entry, |site| if site == "a" { mark.to_owned() } else { String::new() });
        assert_eq!(site_of("456789abcdef").as_deref(), Some("a"));
        assert_eq!((site_of("6789ab456789"), teller("7", str::to_owned)), (None, None));
    }

    #[test]
    fn what_is_none_of_ours_is_not_there_and_an_unknown_marking_is_the_strictest() {
        for other in ["", "7", "{}", &ENTRY.replace("203.0.113.7", "x"), &ENTRY.replace("\"ip\"", "\"x\"")] {
            assert_eq!(Known::read(other, 0), None, "{other}");
        }
        assert_eq!(Known::read(&ENTRY.replace("\"m\":2", "\"m\":9"), 0).unwrap().tlp, Tlp::Red);
    }
}
