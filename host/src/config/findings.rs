//! Collects what validation finds, before it is known where each key stands.

use std::collections::HashSet;

use super::{Purpose, outline};

/// Where validation writes what it finds. Keys are full ones, as in `mqtt.cert`.
#[derive(Debug)]
pub(crate) struct Findings {
    purpose: Purpose,
    /// Keys that were written and did not fit, so their value is a default that nobody chose.
    misfits: HashSet<String>,
    found: Vec<Finding>,
}

/// A problem without its place.
#[derive(Debug)]
pub(super) struct Finding {
    pub key: String,
    pub what: String,
    pub remedy: String,
}

impl Findings {
    pub(super) fn new(purpose: Purpose, misfits: HashSet<String>) -> Self {
        Self { purpose, misfits, found: Vec::new() }
    }

    /// What the configuration is for.
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Notes a problem, unless it only follows from one that is known: a key that did not fit is not also missing.
    pub(crate) fn problem(&mut self, key: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) {
        let key = key.into();
        if !self.is_misfit(&key) {
            self.found.push(Finding { key, what: what.into(), remedy: remedy.into() });
        }
    }

    /// Whether a problem of `key` is noted.
    pub(super) fn has(&self, key: &str) -> bool {
        self.found.iter().any(|found| found.key == key)
    }

    /// Whether `key`, or what it belongs to, was written but did not fit.
    pub(crate) fn is_misfit(&self, key: &str) -> bool {
        std::iter::successors(Some(key), |key| outline::parent(key)).any(|key| self.misfits.contains(key))
    }

    /// Notes a problem unless `low <= value <= high`.
    pub(crate) fn range<T: PartialOrd>(&mut self, key: &str, value: T, (low, high): (T, T), shown: (&str, &str)) {
        if value < low || value > high {
            self.problem(key, "is out of range", format!("choose {} to {}", shown.0, shown.1));
        }
    }

    /// Whether somebody meant to set `key`: it is set, or what was written did not fit.
    pub(crate) fn given(&self, key: &str, is_set: bool) -> bool {
        is_set || self.is_misfit(key)
    }

    pub(super) fn into_found(self) -> Vec<Finding> {
        self.found
    }
}
