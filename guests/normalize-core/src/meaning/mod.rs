//! What a format's fields mean: severity by each source's own scale, category by rules, a title for a person.

pub mod category;
pub mod severity;
pub mod title;

use aurora_guest::{Context, Severity};

use crate::time::Clock;

/// What is known of a raw event beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Where it came from.
    pub context: &'a Context,
    /// How to read its times.
    pub clock: Clock,
    /// The time in a syslog header around it.
    pub header_ms: Option<i64>,
    /// The severity in it.
    pub header_severity: Option<Severity>,
}

impl About<'_> {
    /// The first of `times` that can be read, else the syslog header's, else when the host received the event.
    pub fn time<'t>(&self, times: impl IntoIterator<Item = Option<&'t str>>) -> i64 {
        times
            .into_iter()
            .flatten()
            .find_map(|time| crate::time::read(time, self.clock))
            .or(self.header_ms)
            .unwrap_or(self.clock.received_ms)
    }
}
