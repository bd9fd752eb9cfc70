use std::sync::Arc;

use bytes::Bytes;

use super::identity::Fingerprint;
use crate::{event::Context, telemetry::Stage};

/// What could not be processed, kept with its reason: an entry of the stream `aurora:dead_letter`.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Which delivery of the batch it was.
    pub delivery: usize,
    /// Where it failed.
    pub stage: Stage,
    /// Why, for a person.
    pub reason: String,
    /// Digest of the guest that had it, `sha256:…`; none where no guest had.
    pub guest: Option<Arc<str>>,
    /// What became of the event nonetheless.
    pub effect: Effect,
    /// Which of the delivery's events it concerns, by position; none: all of them.
    pub positions: Vec<u32>,
    /// The streams that it concerns: for [`Effect::DefaultRoute`] the one that each of those events went to, for
    /// [`Stage::Publish`] the one that refused it.
    pub streams: Vec<String>,
    /// What the ids of its events are made of, so that a replay gives them the same.
    pub fingerprint: Fingerprint,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

impl DeadLetter {
    /// Hands its fields to `store`.
    pub(super) fn with_fields<T>(&self, store: impl FnOnce(&[(&str, &[u8])]) -> T) -> T {
        let letter = self;
        let time = chrono::DateTime::from_timestamp_millis(letter.received_ms).unwrap_or_default().to_rfc3339();
        let context = &letter.context;
        let attempts = letter.attempts.to_string();
        let positions: Vec<_> = letter.positions.iter().map(u32::to_string).collect();
        // Neither numbers nor names of streams have spaces in them.
        let (positions, streams) = (positions.join(" "), letter.streams.join(" "));
        let (delivery, raw) = (letter.fingerprint.delivery(), letter.fingerprint.raw());
        let text = |text: &'static str, value: &Option<String>| (text, value.as_deref().unwrap_or_default().to_owned());
        let of_context = [
            text("topic", &context.topic),
            text("device_id", &context.device_id),
            text("channel", &context.channel),
            text("source_ip", &context.source_ip),
        ];
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("stage", letter.stage.as_str().as_bytes()),
            ("reason", letter.reason.as_bytes()),
            ("guest", letter.guest.as_deref().unwrap_or_default().as_bytes()),
            ("payload", &letter.payload),
            ("source", context.source.as_bytes()),
            ("format", context.format.as_bytes()),
            ("time", time.as_bytes()),
            ("attempts", attempts.as_bytes()),
            ("effect", letter.effect.as_str().as_bytes()),
            ("events", positions.as_bytes()),
            ("streams", streams.as_bytes()),
            ("delivery", delivery.as_bytes()),
            ("raw", raw.as_bytes()),
        ];
        fields.extend(of_context.iter().map(|(name, value)| (*name, value.as_bytes())));
        store(&fields)
    }
}
