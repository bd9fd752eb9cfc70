//! What a guest's own tests need: folders of cases, batches made by hand, and settings. Native only.
//!
//! A case is a folder with `input`, `case.toml` ([`Case`]) and `expected.json`. `aurora guest test` runs the same
//! folders on the component, so what a guest is meant to do is written down once.
//!
//! ```no_run
//! use aurora_guest::testing::Cases;
//! # fn route(_: &aurora_guest::OriginEvents) -> Result<aurora_guest::Routes, aurora_guest::Failure> { todo!() }
//! Cases::of(env!("CARGO_MANIFEST_DIR")).route(route);
//! ```

mod case;
mod cases;
mod during;
mod event;
mod message;
mod options;
mod outcome;
pub(crate) mod lookup;
pub(crate) mod state;

pub use case::{Case, Framing};
pub use cases::Cases;
pub use event::{Event, origin_events};
pub use lookup::{Told, with_told, without_told};
pub(crate) use options::option;
pub use options::with_options;
pub use outcome::{decisions_json, events_json, normalized_json, routes_json, tasks_json, verdicts_json};
pub use state::{another_batch, state_now, with_state, without_state};
