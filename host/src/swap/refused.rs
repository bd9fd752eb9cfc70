use crate::{sandbox::LoadError, supply::FetchError, telemetry::Chain};

/// Why a guest was not put into its place. The one before goes on.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is larger than any guest.
    #[error("it has more than {most} bytes")]
    TooLarge {
        /// Most bytes of a guest.
        most: u64,
    },
    /// It is no guest of this stage, or imports what it was not granted.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It fails its own cases.
    #[error("it fails its own cases: {0}")]
    Cases(String),
    /// Somebody wanted another one meanwhile.
    #[error("{0}")]
    Superseded(&'static str),
    /// There is none to go back to.
    #[error("there is no guest before the present one")]
    NoneBefore,
    /// What ran before is no longer kept.
    #[error("the guest {0} is no longer kept")]
    NotKept(String),
    /// Nothing was rehearsed.
    #[error("there is no rehearsal")]
    NoRehearsal,
    /// No events pass the slot.
    #[error("an agent cannot be rehearsed: a task is done once, and by one; swap it without")]
    Unrehearsable,
    /// Only one rehearsal runs at a time.
    #[error("a rehearsal is under way in another slot; end it first")]
    Rehearsing,
    /// The rehearsal's thread cannot be started.
    #[error("the system starts no more threads")]
    NoThread(#[source] std::io::Error),
    /// No such slot.
    #[error("there is no slot {slot}; there are {known}")]
    NoSlot {
        /// What was asked for.
        slot: String,
        /// What could have been.
        known: String,
    },
    /// The daemon ends.
    #[error("the daemon is shutting down")]
    Ending,
    /// We are at fault.
    #[error("the host failed over it: {0}")]
    Broken(String),
}

impl Refused {
    /// With all causes, for a person.
    #[must_use]
    pub fn text(&self) -> String {
        Chain(self).to_string()
    }
}
