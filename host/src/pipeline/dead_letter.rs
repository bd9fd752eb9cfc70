use std::sync::Arc;

use bytes::Bytes;

use crate::{event::Context, telemetry::Stage};

/// What could not be processed, kept with its reason: an entry of the stream `aurora:dead_letter`.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Where it failed.
    pub stage: Stage,
    /// Why, for a person.
    pub reason: String,
    /// Digest of the guest that had it, `sha256:…`; none where no guest had.
    pub guest: Option<Arc<str>>,
    /// What became of the event nonetheless.
    pub effect: Effect,
    /// Where it came from.
    pub context: Arc<Context>,
    /// When the host received it, milliseconds since 1970-01-01 UTC.
    pub received_ms: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// The bytes as they came.
    pub payload: Bytes,
}

/// What became of a dead letter's event nonetheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is in no other stream.
    NotPublished,
    /// Its router failed, so it went to the default streams.
    DefaultRoute,
    /// Its federation policy failed, so it was published here and not shared.
    NotShared,
}

impl Effect {
    /// As in the entry's field `effect`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotPublished => "not-published",
            Self::DefaultRoute => "default-route",
            Self::NotShared => "not-shared",
        }
    }
}
