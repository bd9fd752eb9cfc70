use std::sync::Arc;

use bytes::Bytes;

use super::{dead_letter::Effect, identity::Fingerprint};
use crate::{
    broker::redis_streams::{Fields, Listed},
    event::{Context, EntryId},
    telemetry::Stage,
};

/// A dead letter as it is read again. What an older or later version wrote differently is empty here, never an error:
/// nobody should have to fear the one command that shows what went wrong.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its entry.
    pub id: EntryId,
    /// Where it failed.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// Digest of the guest that had it.
    pub guest: String,
    /// What became of the event nonetheless.
    pub effect: String,
    /// How often it was tried.
    pub attempts: String,
    /// Where it came from; of stage `relay`, the subject is the topic.
    pub context: Arc<Context>,
    /// When the host received it, as it is written.
    pub time: String,
    /// Which of its events it concerns, by position; none: all of them.
    pub positions: Vec<u32>,
    /// The streams that it concerns.
    pub streams: Vec<String>,
    /// Digest of its delivery.
    pub delivery: String,
    /// SHA-256 of its payload, in hexadecimal; empty of a message for other sites.
    pub raw: String,
    /// Of a message for other sites: its id in the outbox.
    pub message_id: String,
    /// Of a message for other sites: `alert`, `ioc`, `attestation` and so on, as in the outbox.
    pub message_kind: String,
    /// Of a message for other sites: what made it, as it is sent with it.
    pub provenance: String,
    /// Bytes of its payload.
    pub size: usize,
    /// The bytes as they came; empty where only a list was asked for.
    pub payload: Bytes,
}

/// What of a letter's delivery has not been stored, and is by a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// All of it.
    Everything,
    /// All of it, but its source refused it before any guest saw it.
    Unfit,
    /// What the router says of these events, beside the stream that they went to instead: it is not stored there again.
    Routes,
    /// What leaves the site.
    Shares,
    /// What one stream refused.
    Refused,
    /// A message for other sites, which no guest has to see again.
    Message,
}

impl Letter {
    /// Out of an entry with its payload.
    #[must_use]
    pub fn new(id: EntryId, mut fields: Fields) -> Self {
        let payload: Bytes = fields.remove("payload").unwrap_or_default().into();
        Self { payload: payload.clone(), ..Self::of(Listed { id, size: payload.len(), fields }) }
    }

    /// Out of an entry without its payload.
    #[must_use]
    pub fn of(listed: Listed) -> Self {
        let Listed { id, size, mut fields } = listed;
        let mut text = |name: &str| match String::from_utf8(fields.remove(name).unwrap_or_default()) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let context = Context {
            source: text("source"),
            format: text("format"),
            topic: some(text("topic")),
            device_id: some(text("device_id")),
            channel: some(text("channel")),
            source_ip: some(text("source_ip")),
        };
        Self {
            id,
            stage: text("stage"),
            reason: text("reason"),
            guest: text("guest"),
            effect: text("effect"),
            attempts: text("attempts"),
            context: Arc::new(context),
            time: text("time"),
            positions: text("events").split(' ').filter_map(|position| position.parse().ok()).collect(),
            streams: text("streams").split(' ').filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect(),
            delivery: text("delivery"),
            raw: text("raw"),
            message_id: text("id"),
            message_kind: text("kind"),
            provenance: text("provenance"),
            size,
            payload: Bytes::new(),
        }
    }

    /// What its events' ids are made of; none where only the letter itself can say.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        Fingerprint::recall(&self.delivery, &self.payload)
    }

    /// When the host received it, milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn received_ms(&self) -> i64 {
        let time = chrono::DateTime::parse_from_rfc3339(&self.time);
        time.map_or_else(|_| i64::try_from(self.id.ms).unwrap_or_default(), |time| time.timestamp_millis())
    }

    /// What a replay has to store.
    pub(super) fn missing(&self) -> Result<Missing, String> {
        let is = |stage: Stage| self.stage == stage.as_str();
        if is(Stage::Relay) {
            return match (self.message_id.as_str(), &self.context.topic) {
                ("", _) | (_, None) => Err("it does not say under which id and subject it was to be sent".to_owned()),
                _ => Ok(Missing::Message),
            };
        }
        if is(Stage::Publish) && !self.streams.is_empty() {
            let is_message = self.effect == Effect::NotShared.as_str();
            return Ok(if is_message { Missing::Shares } else { Missing::Refused });
        }
        match self.effect.as_str() {
            effect if effect == Effect::NotShared.as_str() => Ok(Missing::Shares),
            effect if effect == Effect::DefaultRoute.as_str() && !self.streams.is_empty() => Ok(Missing::Routes),
            effect if effect == Effect::NotPublished.as_str() && is(Stage::Source) => Ok(Missing::Unfit),
            effect if effect == Effect::NotPublished.as_str() => Ok(Missing::Everything),
            effect => Err(format!("it does not say what became of its event (effect {effect:?})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: EntryId = EntryId { ms: 7, sequence: 0 };

    fn letter(fields: &[(&str, &str)]) -> Letter {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Letter::new(ID, fields.collect())
    }

    #[test]
    fn says_what_is_missing() {
        let message = [("stage", "relay"), ("id", "i"), ("topic", "aurora.alerts.x"), ("effect", "not-shared")];
        let cases: [(&[(&str, &str)], Missing); 6] = [
            (&[("stage", "source"), ("effect", "not-published")], Missing::Unfit),
            (&[("stage", "normalize"), ("effect", "not-published")], Missing::Everything),
            (&[("stage", "route"), ("effect", "default-route"), ("streams", "aurora:alerts")], Missing::Routes),
            (&[("stage", "federate"), ("effect", "not-shared"), ("events", "0")], Missing::Shares),
            (&[("stage", "publish"), ("effect", "not-published"), ("streams", "s")], Missing::Refused),
            (&message, Missing::Message),
        ];
        for (fields, missing) in cases {
            assert_eq!(letter(fields).missing(), Ok(missing), "{fields:?}");
        }
    }

    #[test]
    fn a_letter_that_does_not_say_enough_is_not_guessed_at() {
        for fields in [&[][..], &[("stage", "relay")], &[("stage", "route"), ("effect", "default-route")]] {
            assert!(letter(fields).missing().is_err(), "{fields:?}");
        }
        let torn = letter(&[("events", "0 x 2"), ("time", "yesterday"), ("topic", "")]);
        assert_eq!((torn.positions, torn.context.topic.as_deref()), (vec![0, 2], None));
        assert_eq!(letter(&[("time", "yesterday")]).received_ms(), 7);
    }
}
