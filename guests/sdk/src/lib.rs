//! What a guest author in Rust works with: events to read and answers to write, over the packed columns of `wit/`.
//!
//! * [`RawEvents::iter`] walks the raw events of a batch, [`OriginEvents::iter`] the normalized ones.
//! * [`Normalizing`] writes a normalizer's answer, [`Routing`] a router's, [`Deciding`] a federation policy's.
//! * [`Messages::iter`] walks what other sites send, [`Judging`] says what of it comes in.
//! * [`Task`] is what an agent is asked to do, [`Outcome`] or [`TaskFailure`] what it says.
//! * [`log`] and [`settings`] are what a guest may ask of the host; [`mod@state`], too, if its site lets it remember, and
//!   [`mod@lookup`], if it lets it look observables up.
//! * [`time`] reads an event's own time, [`Scope::of_address`] says whether an address means anything elsewhere.
//!
//! All of it also compiles natively, so a guest's logic runs under plain `cargo test` and in the host's benches.
//! Natively [`settings::get`] answers what a test set with `testing::with_options`, and [`log::write`] writes to
//! standard error. `testing` holds what tests need; it is not there in a component.

mod address;
mod deciding;
mod judging;
mod normalizing;
mod raw;
mod routing;
mod tasking;
mod utf8;
mod view;
mod panics;
pub mod lookup;
pub mod state;
pub mod time;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use deciding::{Deciding, Decisions, Share};
pub use judging::{Judgement, Judging, MessageView, Messages, Verdicts};
pub use normalizing::{Disposition, EventWriter, Normalized, Normalizing, Summary, Text};
pub use panics::panics_to_log;
pub use raw::RawEvent;
pub use routing::{Routes, Routing};
pub use tasking::{Outcome, Task, TaskFailure};
pub use utf8::{Utf8, same};
pub use view::{EventView, Observable};

/// Bindings of `aurora:event`, as wit-bindgen makes them. Guests name this crate in their own `with:`.
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/event",
        world: "guest",
        generate_all,
        generate_unused_types: true,
    });
}

pub use bindings::aurora::event::types::{
    Category, Context, Events, Failure, Kind, ObservableType, OriginEvents, RawEvents, Scope, Severity, Tlp,
};

/// The host's log. See `aurora:event/log`.
pub mod log {
    pub use super::bindings::aurora::event::log::Level;

    /// Writes one line to the host's log under the guest's name.
    pub fn write(level: Level, message: &str) {
        #[cfg(target_family = "wasm")]
        super::bindings::aurora::event::log::write(level, message);
        #[cfg(not(target_family = "wasm"))]
        eprintln!("{level:?}: {message}");
    }
}

/// The guest's own settings. See `aurora:event/settings`.
pub mod settings {
    /// The value of `key` as JSON text, or nothing where it is not set.
    #[must_use]
    pub fn get(key: &str) -> Option<String> {
        #[cfg(target_family = "wasm")]
        return super::bindings::aurora::event::settings::get(key);
        #[cfg(not(target_family = "wasm"))]
        return super::testing::option(key);
    }

    /// The value of `key` as a string, or nothing where it is not set.
    ///
    /// # Errors
    /// [`Failure::InvalidSettings`](crate::Failure) if it is set to something else than a string.
    pub fn text(key: &str) -> Result<Option<String>, crate::Failure> {
        typed(key, "a string")
    }

    /// The value of `key` as `true` or `false`, or nothing where it is not set.
    ///
    /// # Errors
    /// [`Failure::InvalidSettings`](crate::Failure) if it is set to something else.
    pub fn flag(key: &str) -> Result<Option<bool>, crate::Failure> {
        typed(key, "true or false")
    }

    /// The value of `key` as a list of strings, empty where it is not set.
    ///
    /// # Errors
    /// [`Failure::InvalidSettings`](crate::Failure) if it is set to something else than a list of strings.
    pub fn texts(key: &str) -> Result<Vec<String>, crate::Failure> {
        Ok(typed(key, "a list of strings")?.unwrap_or_default())
    }

    fn typed<T: serde::de::DeserializeOwned>(key: &str, expected: &str) -> Result<Option<T>, crate::Failure> {
        let Some(json) = get(key) else { return Ok(None) };
        serde_json::from_str(&json)
            .map(Some)
            .map_err(|_| crate::Failure::InvalidSettings(format!("option `{key}` is {json}, expected {expected}")))
    }
}

/// Spellings of the enums as they stand in JSON, subjects and metrics.
mod spelling;

/// The piece at `index` of `text` as cut by `ends`.
fn piece<'a>(text: &'a [u8], ends: &[u32], index: usize) -> &'a [u8] {
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &text[start..ends[index] as usize]
}
