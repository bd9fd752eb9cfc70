//! What a guest remembers from call to call: keys with values, and counters. Its site has to grant it `state`. See
//! `aurora:state/state` for what is written when, and what happens when an event comes twice.
//!
//! ```
//! use std::time::Duration;
//! use aurora_guest::state::{self, Increment};
//!
//! # fn failed(event: usize, account: &str) -> bool {
//! // The fifth failed login within five minutes of the first.
//! match state::increment(Increment::of_event(event, format!("failed:{account}"), Duration::from_secs(300))) {
//!     Ok(count) => count >= 5,
//!     // Without a memory: decide on the event alone.
//!     Err(_) => false,
//! }
//! # }
//! # assert!((0..6).map(|event| failed(event, "root")).eq([false, false, false, false, true, true]));
//! ```
//!
//! Each function asks the host, and the host asks Redis: 30 µs or more for one question, and hardly more for one about a
//! whole batch. So walk the batch first and ask once, with [`get_many`] or [`increment_many`].

use std::time::Duration;

/// Bindings of `aurora:state`, as wit-bindgen makes them.
pub mod bindings {
    wit_bindgen::generate!({ path: "../../wit/state", world: "aurora:state/stateful" });
}

#[cfg(not(target_family = "wasm"))]
use super::testing::state as host;
#[cfg(target_family = "wasm")]
use bindings::aurora::state::state as host;

pub use bindings::aurora::state::state::Refusal;
pub(crate) use bindings::aurora::state::state::{Entry, Increment as Addition};

/// An addition to a counter.
#[derive(Clone, Debug)]
pub struct Increment {
    /// Which counter. At most 256 bytes.
    pub key: String,
    /// How much.
    pub by: i64,
    /// How long a counter lives that is not there yet. One that is there keeps its end.
    pub ttl: Duration,
    /// Position in the batch of the event on whose account it is. It counts once, also when it is delivered again.
    pub event: Option<usize>,
}

impl Increment {
    /// By one, on account of the event at this position of the batch.
    #[must_use]
    pub fn of_event(event: usize, key: impl Into<String>, ttl: Duration) -> Self {
        Self { key: key.into(), by: 1, ttl, event: Some(event) }
    }
}

/// The value of `key`, if it is there. A counter is its decimal digits.
///
/// # Errors
/// [`Refusal`] says why nothing is known.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Refusal> {
    Ok(get_many([key])?.pop().flatten())
}

/// The values of `keys`, in their order.
///
/// # Errors
/// [`Refusal`] says why nothing is known.
pub fn get_many<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<Vec<u8>>>, Refusal> {
    host::get_many(&keys.into_iter().map(Into::into).collect::<Vec<_>>())
}

/// Remembers `value` under `key` for `ttl`, or for as long as the site allows where that is shorter.
///
/// # Errors
/// [`Refusal`] says why it is not remembered.
pub fn put(key: &str, value: &[u8], ttl: Duration) -> Result<(), Refusal> {
    put_many([(key, value, ttl)])
}

/// Remembers all of these, or none: key, value and how long.
///
/// # Errors
/// [`Refusal`] says why nothing is remembered.
pub fn put_many<K: Into<String>, V: Into<Vec<u8>>>(
    entries: impl IntoIterator<Item = (K, V, Duration)>,
) -> Result<(), Refusal> {
    let entry = |(key, value, ttl): (K, V, Duration)| Entry { key: key.into(), value: value.into(), ttl: seconds(ttl) };
    host::put_many(&entries.into_iter().map(entry).collect::<Vec<_>>())
}

/// Forgets `key`.
///
/// # Errors
/// [`Refusal`] says why it is not forgotten.
pub fn delete(key: &str) -> Result<(), Refusal> {
    delete_many([key])
}

/// Forgets `keys`.
///
/// # Errors
/// [`Refusal`] says why nothing is forgotten.
pub fn delete_many<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Result<(), Refusal> {
    host::delete_many(&keys.into_iter().map(Into::into).collect::<Vec<_>>())
}

/// Adds to a counter, and gives its value after that. What is not there counts from 0.
///
/// # Errors
/// [`Refusal`] says why nothing is added.
pub fn increment(increment: Increment) -> Result<i64, Refusal> {
    Ok(increment_many([increment])?.pop().unwrap_or_default())
}

/// Makes all of `increments` or none, and gives the value of its counter after each.
///
/// # Errors
/// [`Refusal`] says why nothing is added.
pub fn increment_many(increments: impl IntoIterator<Item = Increment>) -> Result<Vec<i64>, Refusal> {
    let asked = |Increment { key, by, ttl, event }| Addition {
        key,
        by,
        ttl: seconds(ttl),
        event: event.map(|event| u32::try_from(event).unwrap_or(u32::MAX)),
    };
    host::increment_many(&increments.into_iter().map(asked).collect::<Vec<_>>())
}

/// At least one: 0 is as long as the site allows.
fn seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).max(1)
}
