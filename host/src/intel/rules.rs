//! How far a match raises: the first rule that fits.

use super::{Config, Known, MatchRule, Raise};
use crate::sandbox::Severity;

/// `[intel.match]`, for the site that it is of.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    raise_to: Raise,
    rules: Vec<MatchRule>,
}

impl Rules {
    pub fn new(config: &Config) -> Self {
        Self { raise_to: config.matches.raise_to, rules: config.matches.rules.clone() }
    }

    /// The severity that an event has at least which has `known` among its observables.
    pub fn least(&self, known: &Known, now_ms: u64) -> Option<Severity> {
        let rule = self.rules.iter().find(|rule| fits(rule, known, now_ms));
        match rule.map_or(self.raise_to, |rule| rule.raise_to) {
            Raise::No => None,
            Raise::To(severity) => Some(severity),
        }
    }
}

fn fits(rule: &MatchRule, known: &Known, now_ms: u64) -> bool {
    let MatchRule { types, sites, min_sources, max_age, raise_to: _ } = rule;
    let told = known.sources.values().map(|source| source.times.last_ms).max().unwrap_or(known.last_ms);
    let age = now_ms.saturating_sub(told);
    (types.is_empty() || types.iter().any(|kind| kind == known.indicator.kind().as_str()))
        && (sites.is_empty() || sites.iter().any(|site| known.sources.contains_key(site)))
        && known.sources.len() >= *min_sources
        && max_age.is_none_or(|most| u128::from(age) <= most.as_millis())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        intel::{Indicator, Source, Times},
        sandbox::Tlp,
    };

    fn known(sites: &[&str], told_ms: u64) -> Known {
        let times = Times { first_ms: 0, last_ms: told_ms, count: 1 };
        Known {
            indicator: Indicator::new("ip", "45.155.205.233").unwrap(),
            sources: sites.iter().map(|site| ((*site).to_owned(), Source { times, tlp: Tlp::Green })).collect(),
            sightings: [("here".to_owned(), Times { last_ms: 99_000, ..times })].into(),
            first_ms: 0,
            last_ms: 99_000,
            expires_ms: 200_000,
            count: 1,
            tlp: Tlp::Green,
        }
    }

    fn least(toml: &str, known: &Known) -> Option<Severity> {
        Rules::new(&toml::from_str(toml).unwrap()).least(known, 100_000)
    }

    #[test]
    fn a_match_is_high_unless_the_site_says_otherwise() {
        let one = known(&["a"], 0);
        assert_eq!(least("", &one), Some(Severity::High));
        assert_eq!(least("match.raise_to = 'no'", &one), None);
        assert_eq!(least("match.raise_to = 'critical'", &one), Some(Severity::Critical));
    }

    #[test]
    fn the_first_rule_all_of_whose_conditions_hold_decides() {
        let rules = "
            match.raise_to = 'low'
            [[match.rule]]
            types = ['domain']
            raise_to = 'info'
            [[match.rule]]
            min_sources = 2
            raise_to = 'critical'
            [[match.rule]]
            sites = ['trusted']
            max_age = '10s'
            raise_to = 'medium'";
        assert_eq!(least(rules, &known(&["a"], 0)), Some(Severity::Low));
        assert_eq!(least(rules, &known(&["a", "b"], 0)), Some(Severity::Critical));
        assert_eq!(least(rules, &known(&["trusted"], 90_000)), Some(Severity::Medium));
        assert_eq!(least(rules, &known(&["trusted"], 89_999)), Some(Severity::Low), "own sightings make it no younger");
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        assert!(toml::from_str::<Config>("match.raise_to = 'loud'").is_err());
        assert!(toml::from_str::<Config>("[[match.rule]]\nmax_age = 1").is_err());
        assert!(Duration::from_secs(30 * 86_400) == toml::from_str::<Config>("").unwrap().ttl);
    }
}
