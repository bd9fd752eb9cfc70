//! Guests and their limits. Nothing outside this folder knows wasmtime.
//!
//! [`Sandbox`] is the engine and what guests may import. [`Guest`] is a component that was loaded for a stage, checked
//! against its world and linked once. A lane holds a [`Caller`] for each stage and calls it once a batch, by default
//! in a fresh instance: nothing leaks from batch to batch, a trap needs no clean-up, and a swap is just the next batch.
//! Whatever comes back is checked in [`events`], [`answer`] and [`judged`] before anybody believes it.

mod bindings;
mod engine;
mod compile;
mod cache;
mod good;
mod vault;
mod grant;
mod import;
mod wasi;
mod state;
mod lookup;
mod world;
mod digest;
mod deadline;
mod guest;
mod inspect;
mod fault;
mod trial;
mod spelling;
pub mod events;
pub mod answer;
pub mod judged;

pub use bindings::aurora::event::types::{
    Category, Context, Kind, ObservableType, OriginEvents, RawEvents, Scope, Severity, Tlp,
};
pub use bindings::exports::aurora::inbound::judge::Messages;
pub use bindings::exports::aurora::task::run::{Again, Failure as TaskFailure, Outcome as TaskOutcome, Task};
pub(crate) use cache::write_private;
pub use compile::{CompileError, CompileJob, compile_in_child};
pub use digest::Digest;
pub use engine::{Sandbox, SetupError};
pub use fault::Fault;
pub use good::Kept;
pub use grant::{Denied, Need, needs};
pub use guest::{Caller, Guest, LoadError, settings_of};
pub(crate) use import::printable;
pub use import::{Settings, Voice};
pub use inspect::{Inspection, NotAComponent};
pub use trial::Call;
pub use vault::Vault;
pub use world::{Agent, Attempted, Federation, Inbound, Normalizer, Router, World};
