//! What an event says of its matches, in fields that are the host's: no guest's fields are kept that are called so, and none
//! of another site's message.

use std::{collections::BTreeSet, sync::Arc};

use super::{Known, rules::Rules};
use crate::sandbox::{Severity, Tlp, events::Draft};

/// What was found, as `ip:203.0.113.7`.
pub const MATCH: &str = "intel.match";
/// The sites that tell it.
pub const SOURCES: &str = "intel.sources";
/// The strictest marking that it came with: what is shared of the event is marked no more openly.
pub const TLP: &str = "intel.tlp";
/// The severity before, and what the match made of it.
pub const RAISED: &str = "intel.raised";
/// Why there is none of the above, where there might be.
pub const STATUS: &str = "intel";
/// There, of an event that nobody could look up: how what it speaks of is marked is not known.
pub const NOT_LOOKED_UP: &str = "not looked up";

/// Matches and sites that are named.
const NAMED: usize = 16;

/// Whether a field is one that only the host writes.
pub(crate) fn is_ours(key: &str) -> bool {
    key == STATUS || key.starts_with("intel.")
}

/// Takes away what a guest has written there.
pub(super) fn clean(draft: &mut Draft) {
    draft.fields.retain(|(key, _)| !is_ours(key));
}

/// Writes down that nobody knows.
pub(super) fn not_looked_up(draft: &mut Draft) {
    draft.fields.push((STATUS.to_owned(), NOT_LOOKED_UP.to_owned()));
}

/// Writes the matches of `draft` into it and raises it. Returns whether it was raised.
pub(super) fn enter(draft: &mut Draft, found: &[Arc<Known>], rules: &Rules, now_ms: u64) -> bool {
    let names = found.iter().map(|known| known.indicator.to_string());
    let sites: BTreeSet<&str> = found.iter().flat_map(|known| known.sites()).collect();
    let tlp = found.iter().fold(Tlp::Clear, |tlp, known| tlp.stricter(known.tlp));
    let mut field = |key: &str, value: String| draft.fields.push((key.to_owned(), value));
    field(MATCH, listed(names.collect()));
    field(SOURCES, listed(sites.into_iter().map(str::to_owned).collect()));
    field(TLP, tlp.as_str().to_owned());
    let least: Option<Severity> =
        found.iter().filter_map(|known| rules.least(known, now_ms)).max_by_key(|one| *one as u8);
    match least {
        Some(least) if (least as u8) > draft.severity as u8 => {
            draft.fields.push((RAISED.to_owned(), format!("{} to {}", draft.severity.as_str(), least.as_str())));
            draft.severity = least;
            true
        }
        _ => false,
    }
}

/// Not more of them than a person reads.
fn listed(names: Vec<String>) -> String {
    let mut text = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        intel::{Config, Indicator, Source, Times},
        sandbox::{Category, Kind},
    };

    fn known(value: &str, sites: &[&str], tlp: Tlp) -> Arc<Known> {
        let times = Times { first_ms: 0, last_ms: 0, count: 1 };
        Arc::new(Known {
            indicator: Indicator::new("domain", value).unwrap(),
            sources: sites.iter().map(|site| ((*site).to_owned(), Source { times, tlp })).collect(),
            sightings: BTreeMap::from([("seer".to_owned(), times)]),
            first_ms: 0,
            last_ms: 0,
            expires_ms: 9,
            count: 1,
            tlp,
        })
    }

    fn draft(severity: Severity) -> Draft {
        let fields = [("intel.tlp", "CLEAR"), ("intel", "x"), ("intelligence", "y")];
        Draft {
            kind: Kind::Alert,
            severity,
            category: Category::Network,
            timestamp_ms: 0,
            fields: fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            observables: Vec::new(),
            techniques: Vec::new(),
            source: String::new(),
            device_id: String::new(),
            dedup_key: String::new(),
            title: String::new(),
            description: String::new(),
        }
    }

    #[test]
    fn the_strictest_marking_and_all_sites_are_told_and_severity_only_rises() {
        let rules = Rules::new(&Config::default());
        let found = [known("a.net", &["one", "two"], Tlp::Green), known("b.net", &[], Tlp::Amber)];
        for (before, after) in [(Severity::Info, Severity::High), (Severity::Critical, Severity::Critical)] {
            let mut draft = draft(before);
            clean(&mut draft);
            assert_eq!(enter(&mut draft, &found, &rules, 0), before != after);
            let of = |key: &str| draft.fields.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
            assert_eq!((of(MATCH), of(SOURCES)), (Some("domain:a.net, domain:b.net"), Some("one, seer, two")));
            assert_eq!((of(TLP), of("intelligence"), of(STATUS)), (Some("AMBER"), Some("y"), None));
            assert_eq!((draft.severity, of(RAISED)), (after, (before != after).then_some("info to high")));
        }
    }
}
