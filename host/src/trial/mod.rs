//! One guest on its own: no broker, no daemon, no other guest. What `aurora guest test` does, for its author and for a
//! swap that runs a new guest's own cases first.
//!
//! A [`Case`] is a folder; [`Recording`] is a file of events as a daemon or `aurora pipe` saw them; [`hostile`] makes
//! input that nobody wrote. All three are a [`Batch`], which a [`Subject`] is run on: it gives [`Run`], the outcomes as
//! JSON and what they cost. Outcomes are each stage's own part of what `aurora pipe` prints:
//!
//! | stage | one for each | |
//! |---|---|---|
//! | normalize | raw event | `{"outcome":"accepted","events":[{"event":{…}}]}`, or `dropped`, `rejected`, `retry-after` with `reason` |
//! | route | normalized event | `{"streams":[…],"route_reason":"…"}` |
//! | task | task | `{"outcome":"done","output":…}`, or `retry`, `permanent`, `invalid-settings` with `reason` |
//! | federate | normalized event | `{"share":{"subject":…,"tlp":…,"observables":[…],"reason":"…"}}` or `{"share":null,"keep_reason":"…"}` |
//! | inbound | message of another site | `{"outcome":"accepted","severity":"…","reason":"…"}`, or `refused`, `dropped` with `reason` |
//!
//! where an event's `kind`, `dedup_key` and scopes stand beside what consumers see, and what is empty is left out.

mod about;
mod batch;
mod budget;
mod case;
mod culprits;
mod event;
mod foreign;
pub mod hostile;
mod outcome;
mod recording;
mod subject;

pub use about::{About, Framing, KnownHere};
pub use batch::{Batch, Origin, Raw, Task};
pub use budget::{Budget, Cost};
pub use case::{Case, CaseError, cases_below, read_options};
pub use culprits::Culprit;
pub use event::event_value;
pub use foreign::Foreign;
pub use recording::{Recording, RecordingError, line as recorded_line};
pub use subject::{Run, Subject, SubjectError, Surroundings};
