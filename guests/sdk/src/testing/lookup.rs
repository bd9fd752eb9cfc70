//! What is told of observables in a test, on this thread alone. Values are compared as they are written: their one form is
//! the host's business.

use std::cell::RefCell;

use serde::Deserialize;

use super::during::during;
use crate::{
    ObservableType, Tlp,
    lookup::{Indicator, Known, Refusal},
};

/// `[[indicators]]` of a case: what is told of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Its type: `ip`, `hash_sha256`, …
    pub r#type: String,
    /// Its value.
    pub value: String,
    /// The sites that tell it.
    #[serde(default)]
    pub sites: Vec<String>,
    /// How far it may go.
    #[serde(default = "amber")]
    pub tlp: String,
    /// How many messages have told of it; none: one for each site.
    pub count: Option<u64>,
}

fn amber() -> String {
    "AMBER".to_owned()
}

#[derive(Default)]
struct Table {
    known: Vec<(Indicator, Known)>,
    is_away: bool,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

/// Runs `test` while this is told, as of an event that came at `received_ms`.
///
/// # Panics
/// If a type or a marking is none.
pub fn with_told<T>(told: &[Told], received_ms: i64, test: impl FnOnce() -> T) -> T {
    let known = told.iter().map(|told| told.known(received_ms)).collect();
    during(&TABLE, Table { known, is_away: false }, test)
}

/// Runs `test` as while nobody can say what is told.
pub fn without_told<T>(test: impl FnOnce() -> T) -> T {
    during(&TABLE, Table { is_away: true, ..Table::default() }, test)
}

impl Told {
    fn known(&self, at: i64) -> (Indicator, Known) {
        let Self { r#type, value, sites, tlp, count } = self;
        let kind = ObservableType::ALL.into_iter().find(|kind| kind.as_str() == r#type);
        let kind = kind.unwrap_or_else(|| panic!("{type:?} is no type of an indicator"));
        let all = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];
        let tlp = all.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(tlp));
        let known = Known {
            sites: sites.clone(),
            first_ms: at,
            last_ms: at,
            expires_ms: at + 86_400_000,
            count: count.unwrap_or(sites.len() as u64),
            tlp: tlp.unwrap_or_else(|| panic!("{:?} is no marking", self.tlp)),
        };
        (Indicator { kind, value: value.clone() }, known)
    }
}

pub(crate) fn look_up(indicators: &[Indicator]) -> Result<Vec<Option<Known>>, Refusal> {
    TABLE.with_borrow(|table| {
        if table.is_away {
            return Err(Refusal::Unavailable);
        }
        let found = |wanted: &Indicator| {
            let known = table.known.iter().find(|(known, _)| known.kind == wanted.kind && known.value == wanted.value);
            known.map(|(_, known)| known.clone())
        };
        Ok(indicators.iter().map(found).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup;

    #[test]
    fn what_is_told_is_found_as_long_as_the_test_runs() {
        let told =
            toml::from_str("type = 'ip'\nvalue = '203.0.113.7'\nsites = ['a', 'b']\ntlp = 'amber+strict'").unwrap();
        let ask = || lookup::look_up([(ObservableType::Ip, "203.0.113.7"), (ObservableType::Domain, "203.0.113.7")]);
        with_told(&[told], 7, || {
            let found = ask().unwrap();
            assert!(found[0].as_ref().is_some_and(|known| known.count == 2 && known.tlp == Tlp::AmberStrict));
            assert!(found[1].is_none());
        });
        assert!(ask().unwrap()[0].is_none());
        without_told(|| assert!(matches!(ask(), Err(Refusal::Unavailable))));
    }
}
