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
    /// The sites that tell it, by name. None if it was only ever seen. One whose word has ended is not among them.
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
    /// The strictest marking of those who tell it or have seen it.
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
    s: BTreeMap<String, Vec<f64>>,
    g: BTreeMap<String, [f64; 3]>,
    /// Until when it is looked out for though nobody named tells it, and the marking of the same. Older daemons wrote none.
    #[serde(default)]
    q: Option<[f64; 2]>,
}

/// Of an entry what is asked when a source tells something anew: by which objects it told it so far.
#[derive(Deserialize)]
struct Claims {
    t: String,
    v: String,
    #[serde(default)]
    w: BTreeMap<String, BTreeMap<String, [f64; 3]>>,
}

/// The objects by which `site` tells the entry `text`, by their marks, each with its version.
pub(super) fn objects_of(text: &str, site: &str) -> Option<(Indicator, Vec<(String, u64)>)> {
    let mut claims: Claims = serde_json::from_str(text).ok()?;
    let objects = claims.w.remove(site)?.into_iter().filter(|(object, _)| !object.is_empty());
    let objects = objects.map(|(object, [version, ..])| (object, version as u64)).collect();
    Some((Indicator::new(&claims.t, &claims.v).ok()?, objects))
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
        let mut sources = BTreeMap::new();
        for (site, told) in stored.s {
            let [first, last, count, tlp, ends @ ..] = told.as_slice() else { return None };
            // What a source said ends with its word, whoever else goes on.
            if ends.first().is_none_or(|ends| *ends > now_ms as f64) {
                sources.insert(site, Source { times: times(*first, *last, *count), tlp: rank(*tlp) });
            }
        }
        let tlp = match stored.q {
            Some([_, tlp]) => sources.values().fold(rank(tlp), |tlp, source| tlp.stricter(source.tlp)),
            None => rank(stored.m),
        };
        Some(Self {
            indicator,
            sources,
            sightings: stored
                .g
                .into_iter()
                .map(|(site, [first, last, count])| (site, times(first, last, count)))
                .collect(),
            first_ms: stored.f as u64,
            last_ms: stored.l as u64,
            expires_ms,
            count: stored.c as u64,
            tlp,
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
    fn a_source_counts_as_long_as_its_word() {
        let entry = ENTRY.replace(",2]},\"g\"", ",2,1763800000050],\"b\":[1,2,1,1,1763800000100]},\"q\":[0,0],\"g\"");
        let known = |now| Known::read(&entry, now).unwrap();
        let (before, after) = (known(1_763_800_000_049), known(1_763_800_000_050));
        assert_eq!((before.sources.len(), before.tlp), (2, Tlp::Amber));
        assert_eq!((after.sources.keys().next().map(String::as_str), after.tlp), (Some("b"), Tlp::Green));
        assert_eq!(after.sources.len(), 1);
    }

    #[test]
    fn the_objects_of_a_source_are_told_with_their_versions() {
        let claims = r#""w":{"a":{"":[1,2,3],"00000000000a":[1.763800000001e+12,2,3]},"b":{"x":[1,2,3]}},"k""#;
        let entry = ENTRY.replace("\"k\"", claims);
        let (indicator, objects) = objects_of(&entry, "a").unwrap();
        assert_eq!((indicator.value(), objects), ("203.0.113.7", vec![("00000000000a".to_owned(), 1_763_800_000_001)]));
        assert_eq!(objects_of(&entry, "c"), None);
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
