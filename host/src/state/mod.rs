//! What guests remember from call to call. For their authors it is described in `wit/state/state.wit`; here stands why
//! it is built so.
//!
//! A [`Shelf`] keeps the tables of all places: in Redis for the daemon, in memory ([`Local`]) for `aurora pipe` and
//! `aurora guest test`, and [`ReadOnly`] for what must leave no trace. A [`Draft`] is what one call has read and would
//! write.
//!
//! # Why a step of its own, and not part of the commit
//!
//! The changes of a call could travel in the commit of its batch, and would be there exactly when its events are. But a lane
//! decides the next two batches before a commit is through, and while Redis is away commits wait in the spool for hours:
//! a guest would not see what it wrote a moment ago, unless each lane laid all that is under way over what it reads, and
//! a restart would lose that. So the changes of a call are written when its answer has been checked, before the lane goes on:
//! the lane's next call sees them, and so does every other lane and host.
//!
//! # What a repetition does
//!
//! | what happens | what becomes of the call's changes |
//! |---|---|
//! | a trap, a time-out, an answer that fails a check | nothing is written: the draft is dropped |
//! | the batch is halved to find a culprit | each part that succeeds writes its own, once; the parts make up the batch |
//! | another guest stands in for what this one failed on | the same: what failed has written nothing |
//! | the host dies between the step and the commit, or a source delivers again | the guest is asked again. A counter keeps a [`Mark`] of each of its last [`MARKS`] events with its value after it: what has its mark there counts no second time, and gets the value of the first time, so that the same is decided again. A put is put again, and may so take back a newer one of another lane |
//! | the step's answer is lost | as when the host dies: nobody sends it again unless all of it may come twice |
//! | an event is put off and asked about again | it has its mark |
//! | a dead letter is replayed | it reads and writes nothing ([`ReadOnly`]): what happened long ago must not count as now |
//!
//! A mark says which delivery it was, as the event's id does. The broker of MQTT uses packet ids again, so a packet that
//! it does not mark as a repetition is new, whatever marks there are ([`Mark::may_repeat`]); the commit does likewise.
//!
//! # Several lanes and hosts at once
//!
//! The step is one script, so additions are never lost: what is sent is what to add, and not the sum. What a call is told is the
//! value as it read it, with its own additions; what another lane adds at that instant it may see or not. Of two that put
//! the same key the later step stays.
//!
//! # While Redis is away
//!
//! After the first time-out nobody asks any more: everybody is told `unavailable` at once, until a thread that tries once a
//! second has had an answer. So an outage costs each lane one time-out at its start, and nothing after that. What a call had
//! been allowed to write and could not be written is lost and counted (`aurora_guest_state_lost_total`): its events go to the
//! spool, and keeping additions for hours to bring them in behind newer ones would make every window wrong.

mod value;
mod question;
mod draft;
mod local;
mod read_only;

use std::{fmt, time::Duration};

pub use draft::{Draft, Table};
pub use local::Local;
pub use question::{Increment, Refusal};
pub use read_only::ReadOnly;
pub use value::{Mark, Value};

use crate::{config::StateLimits, telemetry::SlotName};

/// Events that a counter knows again.
pub const MARKS: usize = 256;

/// Most bytes of a key.
pub const KEY: usize = 256;

/// Most bytes of a value.
pub const VALUE: usize = 64 << 10;

/// Most keys that one call may speak of.
pub const KEYS_A_CALL: usize = 4096;

/// Counters stay within this on either side of 0: what a script of Redis can count exactly.
pub const MOST: i64 = 1 << 53;

/// Where tables are kept, one for each place of a guest.
pub trait Shelf: fmt::Debug + Send + Sync {
    /// What the table of `slot` has under `keys`, in their order. Takes about `wait` at the most.
    ///
    /// # Errors
    /// It cannot be reached.
    fn read(&self, slot: &SlotName, keys: &[&str], wait: Duration) -> Result<Found, Away>;

    /// Makes `changes` in one step, in their order, as far as `limits` leave room. Takes about `wait` at the most.
    ///
    /// # Errors
    /// It cannot be reached, and they are most likely not made.
    fn write(
        &self,
        slot: &SlotName,
        limits: &StateLimits,
        changes: &[(&str, Change)],
        wait: Duration,
    ) -> Result<Written, Away>;

    /// Whether it is known that it cannot be reached now.
    fn is_away(&self) -> bool {
        false
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// One for each key.
    pub values: Vec<Option<Value>>,
    /// How full the table is, ended entries included that have not been cleared away.
    pub usage: Usage,
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Its keys.
    pub keys: u64,
    /// Bytes of keys and values, as they are kept.
    pub bytes: u64,
}

/// What became of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How full the table is now.
    pub usage: Usage,
    /// Changes that there was no room for, or that would have added to what is no number.
    pub refused: u64,
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its value from now on.
    Put {
        /// The value.
        value: Vec<u8>,
        /// Until when, from now.
        ttl: Duration,
    },
    /// It goes.
    Delete,
    /// Its counter goes on.
    Add {
        /// Until when, from now, if it is not there yet.
        ttl: Duration,
        /// How much, and on whose account.
        steps: Vec<(Option<Mark>, i64)>,
    },
}

/// A table cannot be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what guests remember cannot be reached")]
pub struct Away;
