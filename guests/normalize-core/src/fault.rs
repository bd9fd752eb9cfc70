//! Why a raw event is not understood.

use std::fmt::{self, Display};

/// What was expected, and at which byte of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset.
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

impl Fault {
    /// `expected` did not stand at byte `at`.
    #[must_use]
    pub fn new(at: usize, expected: &'static str) -> Self {
        Self { at, expected }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}
