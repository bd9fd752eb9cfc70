//! From the outbox to JetStream. Each message is published with `Nats-Msg-Id`, its ack is awaited, and only then does
//! its entry leave the outbox; whatever happens in between, it is sent again and JetStream recognises it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::publish::Target;
use crate::{
    admin::{Part, PartState, Readiness},
    broker::{
        backoff,
        jetstream::{self, Connection, Message, PublishError, adopt},
        redis_streams::{Commit, Outbox, Pool, Waiting, group_is_gone},
    },
    telemetry::{Broker, Chain, Metrics, Stage},
};

/// Sends what waits in the outbox.
pub struct Relay {
    /// Connections to Redis.
    pub redis: Pool,
    /// The connection to NATS.
    pub nats: Connection,
    /// How NATS is used.
    pub config: jetstream::Config,
    /// Longest wait for Redis.
    pub timeout: Duration,
    /// Where things are stored.
    pub target: Target,
    /// Who hears of the stream being there.
    pub readiness: Readiness,
    /// The counters.
    pub metrics: Metrics,
    /// Ends the relay; what is not sent waits in the outbox.
    pub stop: CancellationToken,
}

/// How often a look is taken for entries of relays that have gone away, and at the outbox's length.
const LOOK: Duration = Duration::from_secs(15);

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the outbox cannot be read")]
    Outbox(#[from] redis::RedisError),
    #[error("the JetStream stream cannot be used")]
    Stream(#[from] jetstream::StreamError),
    #[error("a message of the outbox cannot be sent")]
    Publish(#[from] PublishError),
    #[error("a message that is too large cannot be made a dead letter")]
    DeadLetter(#[from] crate::broker::redis_streams::CommitError),
}

impl Relay {
    /// Runs until `stop`. Errors of Redis and NATS are waited out.
    pub async fn run(self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.rounds() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn rounds(&self) {
        let mut waits = backoff(self.config.reconnect_max);
        let mut failing = false;
        loop {
            let sent = self.metrics.stage(Stage::Relay).sent.get();
            let Err(error) = self.round().await;
            if self.metrics.stage(Stage::Relay).sent.get() > sent {
                waits = backoff(self.config.reconnect_max);
                failing = false;
            }
            if !failing {
                tracing::warn!(error = %Chain(&error), "cannot send to other sites now, what is shared waits in the outbox");
            }
            failing = true;
            self.readiness.set(Part::Nats, PartState::NotReady(Chain(&error).to_string()));
            tokio::time::sleep(waits.next().unwrap_or(self.config.reconnect_max)).await;
        }
    }

    /// Sends until something fails.
    async fn round(&self) -> Result<std::convert::Infallible, Error> {
        let Some(stream) = self.target.outbox.as_deref() else { return std::future::pending().await };
        for difference in adopt(&self.nats, &self.config).await? {
            tracing::warn!(
                stream = self.config.stream,
                difference,
                "the JetStream stream differs, it is used as it is"
            );
        }
        let consumer = format!("relay-{}", self.target.site);
        let mut outbox = Outbox::open(&self.redis, stream, &consumer, self.timeout).await?;
        self.readiness.set(Part::Nats, PartState::Ready);
        let (mut looked, mut left_over) = (None::<Instant>, true);
        loop {
            if looked.is_none_or(|looked| looked.elapsed() > LOOK) {
                outbox.take_over().await?;
                self.metrics.stage(Stage::Relay).queue.set(outbox.len().await? as i64);
                (looked, left_over) = (Some(Instant::now()), true);
            }
            let most = self.config.max_in_flight;
            let waiting = if left_over { outbox.left_over(most).await? } else { outbox.next(most).await? };
            if waiting.is_empty() {
                left_over = false;
                continue;
            }
            self.send(&mut outbox, &waiting).await?;
        }
    }

    /// Publishes all of `waiting` and clears what JetStream has taken. The order of a subject is kept: all are sent in
    /// order, and after an error the round begins again with the first that was not cleared.
    async fn send(&self, outbox: &mut Outbox, waiting: &[Waiting]) -> Result<(), Error> {
        let (stage, broker) = (self.metrics.stage(Stage::Relay), self.metrics.broker(Broker::Nats));
        let begun = Instant::now();
        stage.received.inc_by(waiting.len() as u64);
        stage.batch.observe(waiting.len() as f64);
        broker.in_flight.set(waiting.len() as i64);
        let (mut acks, mut done, mut failure) = (Vec::with_capacity(waiting.len()), Vec::new(), None);
        for message in waiting {
            match self.nats.publish(self.message(message)).await {
                Ok(ack) => acks.push((message, ack.into_future())),
                Err(PublishError::TooLarge) => {
                    self.bury(message).await?;
                    done.push(message.entry.as_str());
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let (messages, acks): (Vec<_>, Vec<_>) = acks.into_iter().unzip();
        for (message, ack) in messages.into_iter().zip(join_all(acks).await) {
            match ack {
                Ok(_) => {
                    done.push(message.entry.as_str());
                    stage.sent.inc();
                    if message.kind == "alert" {
                        self.metrics.events_federated.inc();
                    }
                }
                Err(error) => failure = failure.or(Some(PublishError::Again(error))),
            }
        }
        broker.in_flight.set(0);
        stage.seconds.observe(begun.elapsed().as_secs_f64());
        outbox.clear(&done).await.inspect_err(|error| {
            if group_is_gone(error) {
                tracing::warn!("the outbox was emptied by somebody else");
            }
        })?;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    fn message(&self, waiting: &Waiting) -> Message {
        Message {
            subject: waiting.subject.clone(),
            id: waiting.id.clone(),
            site: self.target.site.clone(),
            data: waiting.data.clone(),
        }
    }

    async fn bury(&self, message: &Waiting) -> Result<(), Error> {
        let mut commit = Commit::new();
        let time = chrono::Utc::now().to_rfc3339();
        let fields: [(&str, &[u8]); 6] = [
            ("stage", Stage::Relay.as_str().as_bytes()),
            ("reason", b"larger than the NATS server's max_payload"),
            ("guest", b""),
            ("payload", &message.data),
            ("topic", message.subject.as_bytes()),
            ("time", time.as_bytes()),
        ];
        commit.add(&self.target.dead_letter.0, self.target.dead_letter.1, &fields);
        commit.store(&self.redis).await?;
        self.metrics.stage(Stage::Relay).dead_lettered.inc();
        tracing::warn!(
            subject = message.subject,
            bytes = message.data.len(),
            "too large for NATS, kept as a dead letter"
        );
        Ok(())
    }
}
