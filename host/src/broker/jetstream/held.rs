//! What a stream holds already. JetStream remembers message ids for its duplicate window only; beyond that the stream
//! itself is the only witness, and is read.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use async_nats::{
    datetime,
    header::NATS_MESSAGE_ID,
    jetstream::{
        ErrorCode,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
        context::GetStreamError,
        stream::{ConsumerError, ConsumerErrorKind},
    },
};
use futures_util::StreamExt;

use super::Connection;

/// Where a stream has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number in the stream.
    pub sequence: u64,
    /// When it was stored, which is when it was acknowledged: milliseconds since 1970-01-01 UTC, by the server's clock.
    pub stored_ms: i64,
}

/// The stream could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// The stream cannot be found.
    #[error("cannot ask JetStream for the stream")]
    Stream(#[source] GetStreamError),
    /// It refuses to be read, today and tomorrow: by its retention, or because the user may not.
    #[error("the JetStream stream may not be read, so what it holds already is not known: {0}")]
    Refused(String),
    /// No consumer could be made now.
    #[error("cannot make a consumer of the JetStream stream")]
    Consumer(#[source] ConsumerError),
    /// Reading broke off.
    #[error("cannot read the JetStream stream")]
    Read(#[source] async_nats::Error),
    /// A message went missing on its way here, so the answer would be wrong.
    #[error("not all of the JetStream stream could be read")]
    Gap,
}

/// Messages that are asked for at once. Only their headers come.
const PAGE: usize = 2000;

/// An abandoned consumer goes after this.
const INACTIVE: Duration = Duration::from_secs(30);

/// Longest that nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);

impl Connection {
    /// Which of `ids` are ids of messages that a stream has on `subject` and stored at `since_ms` or later,
    /// milliseconds since 1970-01-01 UTC. Reads up to what is there when it begins. `place` is the stream, and the name of
    /// the consumer that is made for it, which nobody else uses at the same time.
    ///
    /// # Errors
    /// If it cannot be read to that end.
    pub async fn held(
        &self,
        place: (&str, &str),
        subject: &str,
        since_ms: i64,
        ids: &HashSet<&str>,
    ) -> Result<HashSet<String>, HeldError> {
        let found = self.look(place, subject, since_ms, (whole, ids)).await?;
        Ok(found.into_keys().collect())
    }

    /// Where the stream of `place` has the messages on `subject` that the outbox had under these ids, stored at `since_ms` or
    /// later; by id, without those that it has not.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    pub async fn places(
        &self,
        place: (&str, &str),
        subject: &str,
        since_ms: i64,
        ids: &HashSet<&str>,
    ) -> Result<HashMap<String, Place>, HeldError> {
        self.look(place, subject, since_ms, (without_entry, ids)).await
    }

    async fn look(
        &self,
        (stream, name): (&str, &str),
        subject: &str,
        since_ms: i64,
        wanted: (fn(&str) -> &str, &HashSet<&str>),
    ) -> Result<HashMap<String, Place>, HeldError> {
        let stream = self.jetstream.get_stream(stream).await.map_err(HeldError::Stream)?;
        let last = stream.cached_info().state.last_sequence;
        let start_time = datetime::from_nanos(i128::from(since_ms) * 1_000_000).map_err(HeldError::Read)?;
        let config = pull::Config {
            name: Some(name.to_owned()),
            description: Some("Aurora looks what is here already".to_owned()),
            deliver_policy: DeliverPolicy::ByStartTime { start_time },
            // One: nats-server before 2.10 has no list of them.
            filter_subject: subject.to_owned(),
            ack_policy: AckPolicy::None,
            headers_only: true,
            memory_storage: true,
            inactive_threshold: INACTIVE,
            ..pull::Config::default()
        };
        // What a host that was killed has left there would begin elsewhere.
        let _ = stream.delete_consumer(name).await;
        let mut consumer = stream.create_consumer(config).await.map_err(|error| self.why(error))?;
        let found = read(&mut consumer, last, wanted).await;
        // It goes by itself if this fails.
        let _ = stream.delete_consumer(name).await;
        match found {
            Err(HeldError::Gap) if self.forbids_consumers() => Err(HeldError::Refused("it is forbidden".to_owned())),
            found => found,
        }
    }

    fn why(&self, error: ConsumerError) -> HeldError {
        let about_us = match error.kind() {
            ConsumerErrorKind::JetStream(cause) => {
                (400..500).contains(&cause.code())
                    && cause.error_code() != ErrorCode::STREAM_NOT_FOUND
                    && cause.error_code() != ErrorCode::MAXIMUM_CONSUMERS_LIMIT
            }
            ConsumerErrorKind::TimedOut => self.forbids_consumers(),
            _ => false,
        };
        if about_us { HeldError::Refused(error.to_string()) } else { HeldError::Consumer(error) }
    }
}

/// What a message was in the outbox: its `Nats-Msg-Id` without the entry behind it.
fn without_entry(message: &str) -> &str {
    message.rsplit_once(':').map_or(message, |(id, _)| id)
}

/// All of its `Nats-Msg-Id`.
fn whole(message: &str) -> &str {
    message
}

async fn read(
    consumer: &mut PullConsumer,
    last: u64,
    (id_of, ids): (fn(&str) -> &str, &HashSet<&str>),
) -> Result<HashMap<String, Place>, HeldError> {
    let mut found = HashMap::new();
    let (mut pending, mut before, mut heard) = (consumer.cached_info().num_pending, 0, Instant::now());
    while pending > 0 && found.len() < ids.len() {
        let page = consumer.fetch().max_messages(PAGE).expires(PATIENCE / 3).messages().await;
        let mut page = page.map_err(|error| HeldError::Read(error.into()))?;
        let page_began = before;
        while let Some(message) = page.next().await {
            let message = message.map_err(HeldError::Read)?;
            let info = message.info().map_err(HeldError::Read)?;
            // Numbered without a gap, so what a full buffer of the client dropped is missed.
            if info.consumer_sequence != before + 1 {
                return Err(HeldError::Gap);
            }
            (before, pending, heard) = (info.consumer_sequence, info.pending, Instant::now());
            if info.stream_sequence > last {
                return Ok(found);
            }
            let id = message.headers.as_ref().and_then(|headers| headers.get(NATS_MESSAGE_ID));
            if let Some(id) = id.map(|id| id_of(id.as_str())).filter(|id| ids.contains(id)) {
                let stored_ms = i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
                found.insert(id.to_owned(), Place { sequence: info.stream_sequence, stored_ms });
            }
        }
        if before == page_began {
            if heard.elapsed() > PATIENCE {
                return Err(HeldError::Gap);
            }
            // Messages that the stream has dropped meanwhile were counted and will never come.
            pending = consumer.info().await.map_err(|error| HeldError::Read(error.into()))?.num_pending;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_by_what_it_was_in_the_outbox() {
        for (message, id) in [("e:1-0", "e"), ("e:ioc:1:AURORA:17-4", "e:ioc:1:AURORA"), ("other", "other")] {
            assert_eq!(without_entry(message), id);
        }
    }
}
