//! What others hear of the observables of an event that has matches.

use std::collections::BTreeMap;

use super::Known;

/// The events of a batch that have matches, by position.
pub(crate) type Matched = BTreeMap<usize, Match>;

/// The matches of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Its observables of which sites tell, and what others hear of each.
    pub(super) found: Vec<(u32, Tell)>,
    /// Whether it is as severe as it is only because of them.
    pub(super) is_raised: bool,
}

/// What other sites hear of an observable that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// That it is an indicator.
    Indicator,
    /// That it was seen here.
    Sighting,
    /// Nothing but what the event says.
    Nothing,
}

impl Tell {
    /// Of what is known, at `site`. None where nobody tells it: it is as any other observable then, for sightings of what
    /// is only seen would keep each other alive.
    pub(super) fn of(known: &Known, site: &str) -> Option<Self> {
        // Told anew it would seem to be known to one site more, and live on by that.
        let is_of_others = known.sources.keys().any(|source| source != site);
        let tell = if is_of_others { Self::Sighting } else { Self::Indicator };
        (!known.sources.is_empty()).then_some(tell)
    }
}

impl Match {
    /// What others hear of the observable at this position. Of an event that only its matches made severe nobody here has
    /// said that the rest of it is bad: what stands beside a match may be as common as an address of a resolver.
    #[must_use]
    pub fn tells(&self, observable: u32) -> Tell {
        let found = self.found.iter().find(|(position, _)| *position == observable);
        found.map_or(if self.is_raised { Tell::Nothing } else { Tell::Indicator }, |(_, tell)| *tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        intel::{Indicator, Source, Times},
        sandbox::Tlp,
    };

    const TIMES: Times = Times { first_ms: 0, last_ms: 0, count: 1 };

    fn known(sources: &[&str], seers: &[&str]) -> Known {
        Known {
            indicator: Indicator::new("domain", "evil.net").unwrap(),
            sources: sources
                .iter()
                .map(|site| ((*site).to_owned(), Source { times: TIMES, tlp: Tlp::Clear }))
                .collect(),
            sightings: seers.iter().map(|site| ((*site).to_owned(), TIMES)).collect(),
            first_ms: 0,
            last_ms: 0,
            expires_ms: 9,
            count: 1,
            tlp: Tlp::Clear,
        }
    }

    #[test]
    fn what_others_tell_is_seen_what_only_we_tell_is_told_and_what_is_only_seen_is_as_any_other() {
        for (sources, seers, tell) in [
            (&["north"][..], &[][..], Some(Tell::Sighting)),
            (&["here", "north"], &["here"], Some(Tell::Sighting)),
            (&["here"], &["north"], Some(Tell::Indicator)),
            (&[], &["north"], None),
            (&[], &["here"], None),
        ] {
            assert_eq!(Tell::of(&known(sources, seers), "here"), tell, "{sources:?} {seers:?}");
        }
    }

    #[test]
    fn a_raised_event_makes_no_indicators_of_what_stands_beside_its_match() {
        let found = vec![(1, Tell::Sighting), (2, Tell::Indicator)];
        for (is_raised, beside) in [(false, Tell::Indicator), (true, Tell::Nothing)] {
            let matches = Match { found: found.clone(), is_raised };
            let told = [0, 1, 2].map(|observable| matches.tells(observable));
            assert_eq!(told, [beside, Tell::Sighting, Tell::Indicator]);
        }
    }
}
