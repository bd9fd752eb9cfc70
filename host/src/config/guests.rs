//! Which guests there are: one for each stage, and those that rules choose.

use std::{iter, path::PathBuf};

use serde::Deserialize;

use super::{Compile, Guest, Registry, findings::Findings, rule};
use crate::telemetry::{SlotName, Stage};

/// `[guests]`: the components, one for each stage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guests {
    /// `[guests.normalize]`
    pub normalize: Guest,
    /// `[guests.route]`
    pub route: Guest,
    /// `[guests.federate]`
    pub federate: Guest,
    /// `[guests.inbound]`: who judges what other sites send. None: the host's own checks alone.
    pub inbound: Option<Guest>,
    /// Folder of compiled components, kept from start to start. It must belong to the daemon alone; nothing is kept
    /// where it is not set.
    pub cache: Option<PathBuf>,
    /// Whether a guest whose file changes takes its predecessor's place at once.
    pub watch: bool,
    /// Whether only guests run that one of `trusted_keys` has signed.
    pub require_signature: bool,
    /// Ed25519 public keys, PEM.
    pub trusted_keys: Vec<PathBuf>,
    /// `[guests.registry]`
    pub registry: Registry,
    /// `[guests.compile]`
    pub compile: Compile,
}

impl Default for Guests {
    fn default() -> Self {
        let [normalize, route, federate] = Default::default();
        Self {
            normalize,
            route,
            federate,
            inbound: None,
            cache: None,
            watch: true,
            require_signature: false,
            trusted_keys: Vec::new(),
            registry: Registry::default(),
            compile: Compile::default(),
        }
    }
}

impl Guests {
    pub(super) fn validate(&self, findings: &mut Findings) {
        self.validate_supply(findings);
        for (stage, guest) in self.stages() {
            let section = format!("guests.{stage}");
            guest.validate(&section, findings);
            rule::validate(&guest.rules, &section, findings);
        }
    }

    /// The stages that have guests, each with its own section.
    #[must_use]
    pub fn stages(&self) -> Vec<(Stage, &Guest)> {
        let always =
            [(Stage::Normalize, &self.normalize), (Stage::Route, &self.route), (Stage::Federate, &self.federate)];
        always.into_iter().chain(self.inbound.as_ref().map(|guest| (Stage::Inbound, guest))).collect()
    }

    /// The guest of the slot with this name, as in `normalize` or `normalize/acme`.
    pub fn get_mut(&mut self, slot: &str) -> Option<&mut Guest> {
        let (stage, rule) = slot.split_once('/').map_or((slot, None), |(stage, rule)| (stage, Some(rule)));
        let guest = match stage {
            "normalize" => &mut self.normalize,
            "route" => &mut self.route,
            "federate" => &mut self.federate,
            "inbound" => self.inbound.as_mut()?,
            _ => return None,
        };
        match rule {
            None => Some(guest),
            Some(name) => guest.rules.iter_mut().find(|rule| rule.name == name).map(|rule| &mut rule.guest),
        }
    }

    /// The same, for who puts another one there: that of `inbound` comes into being where there is none.
    pub fn entry(&mut self, slot: &str) -> Option<&mut Guest> {
        match slot {
            "inbound" => Some(self.inbound.get_or_insert_with(Guest::default)),
            slot => self.get_mut(slot),
        }
    }

    /// Every guest, those that rules choose included.
    pub fn all(&self) -> impl Iterator<Item = (SlotName, &Guest)> {
        self.stages().into_iter().flat_map(|(stage, guest)| {
            let rules = guest.rules.iter();
            iter::once((SlotName::from(stage), guest))
                .chain(rules.map(move |rule| (SlotName::of_rule(stage, &rule.name), &rule.guest)))
        })
    }
}
