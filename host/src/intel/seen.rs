use super::Indicator;
use crate::sandbox::Tlp;

/// That a site tells of an indicator, or that one was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of which.
    pub indicator: Indicator,
    /// Who tells it: the site that the message came from.
    pub site: String,
    /// When it was seen first, milliseconds since 1970.
    pub first_ms: u64,
    /// When it was seen last. Of a time that is to come it is now.
    pub last_ms: u64,
    /// How far it may go.
    pub tlp: Tlp,
    /// Until when it is to be looked out for; none: as long as the site's configuration says, which is the longest
    /// anyway.
    pub expires_ms: Option<u64>,
    /// What the message is known by, the same whenever it is delivered again. Each counts once.
    pub message: String,
    /// What is told.
    pub what: What,
    /// What says so, where it is an object that may withdraw it again. A withdrawal is of one.
    pub edition: Option<Edition>,
}

/// An object that tells of an indicator, as STIX has them, and which version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// Its id.
    pub object: String,
    /// When it was changed last, milliseconds since 1970.
    pub modified_ms: u64,
}

pub use crate::broker::redis_streams::Told as What;

/// What became of a [`Seen`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Nobody had told of it.
    New,
    /// So many messages have told of it now.
    Counted(u64),
    /// The message was there before, and counts no second time. If it is told later than before, it goes on from then.
    Again,
    /// It is over already, or nobody tells of it any more. Of a withdrawal: the site does not tell it, tells it by another
    /// object, or by a later version of the same.
    Ended,
    /// The site tells it no more. If no other does, it is not there any more.
    Withdrawn,
    /// There is no room for one more (`intel.max`).
    Full,
    /// What this site would never share it does not look out for, however others call it: private addresses, its own
    /// names, what a warning list has. Why.
    Refused(String),
}

impl Recorded {
    /// As in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Counted(_) => "counted",
            Self::Again => "again",
            Self::Ended => "ended",
            Self::Withdrawn => "withdrawn",
            Self::Full => "full",
            Self::Refused(_) => "refused",
        }
    }
}
