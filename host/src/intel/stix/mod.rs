//! Indicators as STIX 2.1 has them (OASIS Standard, 10 June 2021): out as a bundle of `indicator`, `vulnerability`,
//! `sighting`, `identity` and `marking-definition` objects, and in from bundles of anybody.
//!
//! Ids are made of what an object is about, so what is exported again is the same object, and whoever has it already sees
//! that.

mod ids;
mod marking;
mod pattern;
mod bundle;
mod objects;
mod part;
mod reading;

pub use bundle::Bundle;
pub use part::{Item, Part, Skipped, Withdrawal};
pub use reading::{LARGEST, Received};
