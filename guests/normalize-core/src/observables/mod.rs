//! Finds observables in text. Stand-in with the final signatures until the real extraction is merged.

use aurora_guest::{ObservableType, Scope};

/// The site's own names and addresses.
#[derive(Clone, Debug, Default)]
pub struct AllowList {}

/// Where the value of a found observable stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// In the text scanned.
    Span { start: usize, end: usize },
    /// In the extractor's own scratch, refanged.
    Refanged { start: usize, end: usize },
}

/// One observable found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: ObservableType,
    /// Whether it means anything elsewhere.
    pub scope: Scope,
    /// Its value.
    pub value: Value,
}

/// Finds observables. Built once a batch.
#[derive(Debug)]
pub struct Extractor<'o> {
    _allow: &'o AllowList,
}

impl<'o> Extractor<'o> {
    /// An extractor that marks what `allow` lists.
    #[must_use]
    pub fn new(allow: &'o AllowList) -> Self {
        Self { _allow: allow }
    }

    /// Finds observables in free text.
    pub fn free_text(&mut self, _text: &str, _found: &mut Vec<Found>) {}

    /// Takes the value of a field that is known to hold `kind`.
    pub fn typed(&mut self, _kind: ObservableType, _text: &str, _found: &mut Vec<Found>) {}

    /// The value of `found`, which was found in `text`.
    #[must_use]
    pub fn value<'a>(&'a self, text: &'a str, found: &Found) -> &'a str {
        match found.value {
            Value::Span { start, end } => &text[start..end],
            Value::Refanged { .. } => "",
        }
    }
}
