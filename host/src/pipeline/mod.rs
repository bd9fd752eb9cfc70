//! The way of an event: source → lane → normalize → route → federate → dedup → publish → settle, and the relay behind it.
//!
//! [`Lanes`] spreads deliveries by device. Each lane is a thread that owns its guests: it gathers a batch, has
//! [`Decider`] run the three stages on it, and hands the [`Decided`] batch to its publisher task. The publisher stores
//! a batch in one round trip, in which Redis also finds the events that were there already, and only then settles its
//! deliveries. While it waits for Redis the lane decides the next batch, so batches grow by themselves when Redis is slow;
//! two decided batches wait at the most, then the lane waits, then sources stop reading.
//!
//! The guest of a stage lies in a [`Slot`]; a lane takes it from there batch by batch, so it can be replaced between two.
//! A poison event is searched for and costs itself. A guest that is itself at fault is no longer called: its breaker
//! opens, and the last good guest decides, or the stage's fallback does. One that wastes its lane's time is hurried.

mod lanes;
mod batch;
mod apart;
mod tap;
mod stages;
mod slot;
mod choice;
mod slots;
mod breaker;
mod budget;
mod proof;
mod pace;
mod probation;
mod seat;
mod seats;
mod bisect;
mod decide;
mod recognise;
mod decided;
mod identity;
pub mod dedup;
mod record;
mod provenance;
mod dead_letter;
mod target;
mod leaving;
mod encode;
mod publish;
mod unspool;
mod relay;
mod audit;
mod aside;
mod letter;
mod missing;
mod replay;
mod recover;

pub use apart::Staged;
pub use aside::{Aside, AsideError};
pub use audit::{Audit, Trail};
pub use choice::Conditions;
pub(crate) use choice::glob;
pub use dead_letter::{DeadLetter, Effect};
pub use decide::Decider;
pub use decided::{Decided, DecidedEvent, Maker, Outcome};
pub use encode::{Ready, encode};
pub use identity::Fingerprint;
pub use lanes::{Beside, Lanes, Started};
pub use leaving::Leaving;
pub use letter::Letter;
pub use pace::Pace;
pub use probation::{Fate as ProbationFate, Terms};
pub(crate) use provenance::short;
pub use publish::{Publisher, Superseded};
pub use record::{alert_json, attestation_json, event_json, ioc_json};
pub use recover::{RecoverError, Recovered, recover};
pub use relay::Relay;
pub use replay::{Fate, Replay, Trial};
pub use slot::{Filling, Made, Slot, Witness};
pub use slots::Slots;
pub use stages::{AnySlot, Stages};
pub use tap::{Copied, Tap, copied};
pub use target::{Raw, Target};
pub use unspool::Unspool;
