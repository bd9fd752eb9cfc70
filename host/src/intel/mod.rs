//! Indicators that sites tell each other of, and what comes of them: an event at this site that has one is raised.
//!
//! | file | what lives there |
//! |---|---|
//! | `config` | `[intel]` |
//! | `indicator` | the one form that indicators are compared in |
//! | `seen`, `entry`, `table` | what sites tell; what is kept of it; where |
//! | `matcher`, `memory` | the look at a lane's batch; what is remembered of answers for a moment |
//! | `rules`, `telling`, `matched` | how far a match raises; what the event says of it; what others hear of it |
//! | `lookup` | what guests ask |
//! | `stix`, `misp` | for others, and from them |
//! | `keeping` | the tasks beside the lanes |

mod config;
mod indicator;
mod seen;
mod entry;
mod table;
mod memory;
mod rules;
mod telling;
mod matched;
mod matcher;
mod keeping;
mod stix;
mod misp;
mod lookup;

pub use config::{Config, Life, MatchRule, Matches, Raise};
pub use entry::{Known, Source, Times};
pub use indicator::{Indicator, IndicatorError, LONGEST};
pub use keeping::{WAITING, keep_count, keep_sightings};
pub use lookup::{LOOKUPS, Lookup, Nowhere, Remembered, Told};
pub(crate) use matched::Matched;
pub use matched::{Match, Tell};
pub use matcher::Matcher;
pub use misp::MispEvent;
pub use seen::{Edition, Recorded, Seen, What};
pub use stix::{
    Bundle, Item, LARGEST as LARGEST_BUNDLE, Part as BundlePart, Received as ReceivedBundle, Skipped, Withdrawal,
};
pub use table::{Latest, Table, TableError, Walk};
pub(crate) use telling::is_ours;
pub use telling::{MATCH, NOT_LOOKED_UP, RAISED, SOURCES, STATUS, TLP};
