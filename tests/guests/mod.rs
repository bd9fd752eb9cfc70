//! Guests that sites ship: written, chosen by rule, swapped, signed, with a state of their own.

mod author;
mod grants;
mod languages;
mod rules;
mod swap;
mod rehearsal;
pub(crate) mod trust;
mod state;
