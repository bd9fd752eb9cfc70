//! Indicators that sites tell each other of, and what comes of them: an event at this site that has one is raised.
//!
//! | file | what lives there |
//! |---|---|
//! | `config` | `[intel]` |
//! | `indicator` | the one form that indicators are compared in |
//! | `seen`, `entry`, `table` | what sites tell; what is kept of it; where |

mod config;
mod indicator;
mod seen;
mod entry;
mod table;

pub use config::{Config, Life, MatchRule, Matches, Raise};
pub use entry::{Known, Source, Times};
pub use indicator::{Indicator, IndicatorError, LONGEST};
pub use seen::{Recorded, Seen, What};
pub use table::{Table, TableError};
