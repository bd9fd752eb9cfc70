//! Shapes of JSON that are recognised, each with its own meaning, and the rule for all others.

mod generic;
mod suricata;

use crate::{
    draft::{Draft, Meaning, Words},
    keys::marks,
    meaning::About,
};

/// What the fields of a product known here mean; nothing if no shape fits.
pub fn recognised(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Option<Meaning> {
    if event.has(marks::SURICATA) && suricata::fits(event) {
        return Some(suricata::meaning(event, about, words));
    }
    None
}

/// What the fields of any other object mean.
pub use generic::meaning as generic;
