//! From the outbox to JetStream. Each message is published with `Nats-Msg-Id`, its ack is awaited, and only then does
//! its entry leave the outbox; whatever happens in between, it is sent again and JetStream recognises it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{dead_letter::Effect, target::Target};
use crate::{
    admin::{Part, PartState, Readiness},
    broker::{
        backoff,
        jetstream::{self, Connection, Message, PublishError, Subjects, adopt},
        redis_streams::{GROUP, Guard, Outbox, Pool, Session, Waiting, group_is_gone},
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
    pub target: Arc<Target>,
    /// As which process dead letters are stored.
    pub session: Arc<Session>,
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
        let (mut failing, mut told) = (false, Vec::new());
        loop {
            let sent = self.metrics.stage(Stage::Relay).sent.get();
            let Err(error) = self.round(&mut told).await;
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

    /// Sends until something fails. `told` is what was said of the stream in the rounds before.
    async fn round(&self, told: &mut Vec<String>) -> Result<std::convert::Infallible, Error> {
        let Some(stream) = self.target.outbox.map(|outbox| self.target.layout.key(outbox)) else {
            return std::future::pending().await;
        };
        let adopted = adopt(&self.nats, &self.config).await?;
        if *told != adopted.differences {
            for difference in &adopted.differences {
                tracing::warn!(
                    stream = self.config.stream,
                    difference,
                    "the JetStream stream differs, it is used as it is"
                );
            }
            told.clone_from(&adopted.differences);
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
            self.send(&mut outbox, &waiting, &adopted.subjects).await?;
        }
    }

    /// Publishes all of `waiting` and clears what JetStream has taken. The order of a subject is kept: all are sent in
    /// order, and after an error the round begins again with the first that was not cleared.
    async fn send(&self, outbox: &mut Outbox, waiting: &[Waiting], taken: &Subjects) -> Result<(), Error> {
        let (stage, broker) = (self.metrics.stage(Stage::Relay), self.metrics.broker(Broker::Nats));
        let begun = Instant::now();
        stage.received.inc_by(waiting.len() as u64);
        stage.batch.observe(waiting.len() as f64);
        broker.in_flight.set(waiting.len() as i64);
        let (mut acks, mut done, mut failure) = (Vec::with_capacity(waiting.len()), Vec::new(), None);
        for message in waiting {
            // Without a subject it is an entry that somebody deleted while it was pending.
            if message.subject.is_empty() {
                done.push(message.entry.as_str());
                continue;
            }
            // It would never be taken, and what waits behind it must not wait for ever.
            if !taken.allow(&message.subject) {
                self.bury(message, &format!("stream {} does not take this subject", self.config.stream)).await?;
                done.push(message.entry.as_str());
                continue;
            }
            match self.nats.publish(self.message(message)).await {
                Ok(ack) => acks.push((message, ack.into_future())),
                Err(PublishError::TooLarge) => {
                    self.bury(message, "larger than the NATS server's max_payload").await?;
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
                Err(error) if jetstream::is_too_large(&error) => {
                    self.bury(message, "larger than the JetStream stream's max_msg_size").await?;
                    done.push(message.entry.as_str());
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

    /// Keeps a message that JetStream will never take as a dead letter, in the step that takes it out of the outbox. Its
    /// event is in the streams of this site.
    async fn bury(&self, message: &Waiting, reason: &str) -> Result<(), Error> {
        let Some(outbox) = self.target.outbox else { return Ok(()) };
        let mut producer = self.session.producer(&format!("relay-{}", message.entry));
        let mut commit = producer.begin(message.data.len() + 1024);
        commit.delivery(Guard::Entry { stream: outbox, group: GROUP, id: &message.entry, remove: true });
        let time = chrono::Utc::now().to_rfc3339();
        let fields: [(&str, &[u8]); 11] = [
            ("stage", Stage::Relay.as_str().as_bytes()),
            ("reason", reason.as_bytes()),
            ("guest", b""),
            ("payload", &message.data),
            ("source", b"outbox"),
            ("topic", message.subject.as_bytes()),
            ("time", time.as_bytes()),
            ("attempts", b"1"),
            ("effect", Effect::NotShared.as_str().as_bytes()),
            // With these it can be sent again.
            ("id", message.id.as_bytes()),
            ("kind", message.kind.as_bytes()),
        ];
        commit.entry(self.target.dead_letter, &fields);
        if let Some(mut commit) = producer.seal(commit) {
            commit.store(&self.redis, &self.session).await?;
        }
        self.metrics.stage(Stage::Relay).dead_lettered.inc();
        tracing::warn!(
            subject = message.subject,
            bytes = message.data.len(),
            reason,
            "JetStream will never take a message, it is kept as a dead letter"
        );
        Ok(())
    }
}
