//! The stock normalizer: raw events of many products in, normalized events out.
//!
//! In the order in which an event goes: `normalize` takes a batch, `detect` says what a payload is, one of
//! `json cef leef syslog kv winxml zeek_tsv mqtt` writes its fields into a `draft`, `products` and `meaning` say what they mean, and
//! `observing` hands to `observables` what may hold an indicator. Nothing here keeps anything from batch to batch.

mod normalize;
mod options;
mod detect;
mod draft;
mod keys;
mod json;
mod cef;
mod leef;
mod syslog;
mod kv;
mod audit;
mod winxml;
mod zeek_tsv;
mod mqtt;
mod products;
mod meaning;
mod time;
mod observing;
mod techniques;
mod fault;
pub mod observables;

#[cfg(target_family = "wasm")]
mod component;

use aurora_guest::{Normalized, Normalizing, RawEvents};

pub use options::Options;

/// Normalizes a batch.
#[must_use]
pub fn normalize(input: &RawEvents, options: &Options) -> Normalized {
    let mut out = Normalizing::with_capacity(input.ends.len(), input.payload.len());
    let mut batch = normalize::Batch::new(options);
    for raw in input.iter() {
        batch.one(&raw, &mut out);
    }
    out.finish()
}
