//! A durable consumer: what is read, and what JetStream hears of it.

use std::time::Duration;

use async_nats::{
    datetime,
    header::NATS_MESSAGE_ID,
    jetstream::{
        self, AckKind,
        consumer::{self, AckPolicy, DeliverPolicy, PullConsumer, pull},
        context::GetStreamError,
        message::Acker,
        stream::ConsumerError,
    },
};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{Connection, publish::SITE};

/// The consumer that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The stream.
    pub stream: &'a str,
    /// Its name. Whoever reads by the same one shares the work.
    pub name: &'a str,
    /// What is wanted; patterns.
    pub subjects: &'a [String],
    /// Where it begins, if it is new: milliseconds since 1970-01-01 UTC; none: with what comes next.
    pub since_ms: Option<i64>,
    /// What was not heard of for so long is delivered again.
    pub ack_wait: Duration,
    /// Most that is delivered and not acknowledged.
    pub max_pending: usize,
}

/// Messages cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The stream is not there.
    #[error("cannot find the JetStream stream {stream}")]
    Stream {
        /// Which.
        stream: String,
        /// Why.
        #[source]
        source: GetStreamError,
    },
    /// No consumer can be made.
    #[error("cannot make the durable consumer of the JetStream stream")]
    Consumer(#[source] ConsumerError),
    /// Reading broke off.
    #[error("cannot read the JetStream stream")]
    Read(#[source] async_nats::Error),
    /// An answer could not be sent.
    #[error("cannot tell JetStream what became of a message")]
    Answer(#[source] async_nats::Error),
}

/// A message that was read.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its subject.
    pub subject: String,
    /// Its bytes.
    pub payload: Bytes,
    /// `Nats-Msg-Id`.
    pub id: Option<String>,
    /// `Aurora-Site`.
    pub site: Option<String>,
    /// Where answers go. They may go over another connection than it came by.
    pub reply: String,
    /// Its number in the stream.
    pub sequence: u64,
    /// How often it was delivered, with this time.
    pub delivered: u64,
    /// How many wait behind it.
    pub pending: u64,
    /// When the stream got it, milliseconds since 1970-01-01 UTC.
    pub published_ms: i64,
}

impl Incoming {
    /// When a relay of ours put it into its outbox, milliseconds since 1970-01-01 UTC by the clock of that site: the id of
    /// that entry stands at the end of its id, and stays the same in every copy.
    #[must_use]
    pub fn shared_ms(&self) -> Option<i64> {
        let (ms, sequence) = self.id.as_deref()?.rsplit(':').next()?.split_once('-')?;
        sequence.parse::<u64>().ok()?;
        ms.parse().ok()
    }
}

/// What JetStream hears of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is stored.
    Done,
    /// It will be: wait.
    Working,
    /// Deliver it again, after this.
    Again(Duration),
    /// Never deliver it again: it was no good.
    Never,
}

/// A durable consumer.
#[derive(Clone, Debug)]
pub struct Reader(PullConsumer);

/// Messages as they come, until there are as many as were asked for, or for a while.
pub struct Pull(pull::Batch);

/// How long a pull stays open. Only the server counts it.
const OPEN: Duration = Duration::from_secs(10);

impl Connection {
    /// The consumer as it is wanted, made or changed if need be. Where a changed one begins is not changed.
    ///
    /// # Errors
    /// If the stream is not there, or refuses.
    pub async fn consume(&self, wanted: &Wanted<'_>) -> Result<Reader, ConsumeError> {
        let stream = self.jetstream.get_stream(wanted.stream).await;
        let stream = stream.map_err(|source| ConsumeError::Stream { stream: wanted.stream.to_owned(), source })?;
        let found = stream.get_consumer::<pull::Config>(wanted.name).await.ok();
        let existing = found.as_ref().map(|consumer| consumer.cached_info().config.deliver_policy);
        let deliver_policy = match (existing, wanted.since_ms) {
            (Some(policy), _) => policy,
            (None, None) => DeliverPolicy::New,
            (None, Some(ms)) => {
                let start_time = datetime::from_nanos(i128::from(ms) * 1_000_000).map_err(ConsumeError::Read)?;
                DeliverPolicy::ByStartTime { start_time }
            }
        };
        let mut config = self.config_of(wanted, deliver_policy);
        let found = match found {
            Some(found) if is_as(&found.cached_info().config, &config) => return Ok(Reader(found)),
            found => found,
        };
        let mut made = stream.create_consumer(config.clone()).await;
        if made.is_err() && found.is_none() {
            // A server may refuse subjects that the stream does not have.
            tracing::debug!("JetStream does not make the consumer, all subjects are asked for");
            (config.filter_subject, config.filter_subjects) = (String::new(), Vec::new());
            made = stream.create_consumer(config).await;
        }
        match (made, found) {
            (Ok(made), _) => Ok(Reader(made)),
            // Changing it is forbidden or impossible (nats-server 2.9 changes none that begins at a time); using it is not.
            (Err(error), Some(found)) => {
                tracing::warn!(%error, consumer = wanted.name, "the durable consumer cannot be changed, it is used as it is");
                Ok(Reader(found))
            }
            (Err(error), None) => Err(ConsumeError::Consumer(error)),
        }
    }

    /// The configuration of the consumer, as it is wanted of this server.
    pub(super) fn config_of(&self, wanted: &Wanted<'_>, deliver_policy: DeliverPolicy) -> pull::Config {
        let (one, several) = match wanted.subjects {
            [one] => (one.clone(), Vec::new()),
            // Who reads looks at the subjects as well, for an older server knows no list of them.
            several if self.jetstream.client().is_server_compatible(2, 10, 0) => (String::new(), several.to_vec()),
            _ => (String::new(), Vec::new()),
        };
        pull::Config {
            durable_name: Some(wanted.name.to_owned()),
            description: Some("Aurora takes in what other sites share".to_owned()),
            deliver_policy,
            ack_policy: AckPolicy::Explicit,
            ack_wait: wanted.ack_wait,
            max_ack_pending: i64::try_from(wanted.max_pending).unwrap_or(i64::MAX),
            filter_subject: one,
            filter_subjects: several,
            ..pull::Config::default()
        }
    }

    /// Tells JetStream what became of the message whose `reply` this is.
    ///
    /// # Errors
    /// If the connection is lost. That the answer arrived is not waited for: the message would come again.
    pub async fn answer(&self, reply: &str, answer: Answer) -> Result<(), ConsumeError> {
        let kind = match answer {
            Answer::Done => AckKind::Ack,
            Answer::Working => AckKind::Progress,
            Answer::Again(delay) => AckKind::Nak(Some(delay)),
            Answer::Never => AckKind::Term,
        };
        let acker = Acker::new(self.jetstream.clone(), Some(reply.to_owned().into()));
        acker.ack_with(kind).await.map_err(ConsumeError::Answer)
    }

    /// Waits until what was sent is on its way to the server.
    pub async fn flush(&self) {
        // Over a lost connection nothing goes any more, and nobody waits for it.
        let _ = self.jetstream.client().flush().await;
    }
}

/// Whether a consumer is as `wanted` in all that can be changed.
pub(super) fn is_as(found: &consumer::Config, wanted: &pull::Config) -> bool {
    found.ack_wait == wanted.ack_wait
        && found.max_ack_pending == wanted.max_ack_pending
        && found.filter_subject == wanted.filter_subject
        && found.filter_subjects == wanted.filter_subjects
}

impl Reader {
    /// After which time JetStream delivers again what it has not heard of. What is wanted may not be what is.
    #[must_use]
    pub fn ack_wait(&self) -> Duration {
        self.0.cached_info().config.ack_wait
    }

    /// Asks for as many messages.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn pull(&self, most: usize) -> Result<Pull, ConsumeError> {
        let pull = self.0.batch().max_messages(most).expires(OPEN).messages().await;
        pull.map(Pull).map_err(|error| ConsumeError::Read(error.into()))
    }
}

impl Pull {
    /// The next one; none if another pull is needed. Nothing is lost if it is dropped while it waits.
    ///
    /// # Errors
    /// If the consumer is gone, or what came is not of one.
    pub async fn next(&mut self) -> Option<Result<Incoming, ConsumeError>> {
        Some(self.0.next().await?.and_then(|message| incoming(&message)).map_err(ConsumeError::Read))
    }
}

fn incoming(message: &jetstream::Message) -> Result<Incoming, async_nats::Error> {
    let info = message.info()?;
    let header = |name| {
        let value = message.headers.as_ref().and_then(|headers| headers.get(name));
        value.map(|value| value.as_str().to_owned())
    };
    Ok(Incoming {
        subject: message.subject.to_string(),
        payload: message.payload.clone(),
        id: header(NATS_MESSAGE_ID),
        site: header(SITE),
        reply: message.reply.as_ref().map(ToString::to_string).unwrap_or_default(),
        sequence: info.stream_sequence,
        delivered: u64::try_from(info.delivered).unwrap_or_default(),
        pending: info.pending,
        published_ms: i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_message_was_shared_is_read_out_of_its_id() {
        let with = |id: Option<&str>| Incoming {
            subject: String::new(),
            payload: Bytes::new(),
            id: id.map(str::to_owned),
            site: None,
            reply: String::new(),
            sequence: 0,
            delivered: 1,
            pending: 0,
            published_ms: 0,
        };
        for (id, ms) in [
            (Some("3d1f0c1e-6f0e-8d0a-9a5b-0c6a1b2c3d4e:1763780000000-3"), Some(1_763_780_000_000)),
            (Some("3d1f0c1e-6f0e-8d0a-9a5b-0c6a1b2c3d4e:ioc:1:AURORA:17-0"), Some(17)),
            (Some("3d1f0c1e-6f0e-8d0a-9a5b-0c6a1b2c3d4e"), None),
            (Some("x"), None),
            (None, None),
        ] {
            assert_eq!(with(id).shared_ms(), ms, "{id:?}");
        }
    }
}
