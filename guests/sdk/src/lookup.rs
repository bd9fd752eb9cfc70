//! What this and other sites tell of observables. A guest's site has to grant it `lookup`. See `aurora:event/lookup`.
//!
//! The host looks the observables of normalized events up itself before `route`, and writes `intel.match` into an event that
//! has one. This is for a guest that wants more.
//!
//! ```
//! use aurora_guest::{ObservableType, lookup};
//!
//! # fn is_told(address: &str) -> bool {
//! // Without an answer: decide on the event alone.
//! lookup::look_up([(ObservableType::Ip, address)]).is_ok_and(|found| found[0].is_some())
//! # }
//! # assert!(!is_told("203.0.113.7"));
//! ```
//!
//! Each question asks the host, and the host asks Redis, unless it did so a moment ago. So walk the batch first and ask once.

/// Bindings of `aurora:event/lookup`, as wit-bindgen makes them.
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/event",
        world: "aurora:event/informed",
        with: { "aurora:event/types@0.1.0": crate::bindings::aurora::event::types },
    });
}

#[cfg(not(target_family = "wasm"))]
use super::testing::lookup as host;
#[cfg(target_family = "wasm")]
use bindings::aurora::event::lookup as host;

use crate::ObservableType;
pub use bindings::aurora::event::lookup::{Indicator, Known, Refusal};

/// What is known of each of `indicators`, in their order; nothing for what nobody tells. In whatever form: case, punycode and
/// the like are the host's business.
///
/// # Errors
/// [`Refusal`] says why nobody can say.
pub fn look_up<V: Into<String>>(
    indicators: impl IntoIterator<Item = (ObservableType, V)>,
) -> Result<Vec<Option<Known>>, Refusal> {
    let asked = |(kind, value): (ObservableType, V)| Indicator { kind, value: value.into() };
    host::look_up(&indicators.into_iter().map(asked).collect::<Vec<_>>())
}
