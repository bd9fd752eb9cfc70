//! From the outbox to JetStream: nothing lost, nothing twice, each subject in order.
//!
//! A commit of the publish stage puts an entry into the outbox together with the event. From there on it is in one of
//! these states, and this is what happens to it when a process, a broker or a connection goes away there:
//!
//! | state | the entry | after it |
//! |---|---|---|
//! | waiting | no relay has taken it | the next relay takes it as a new one |
//! | taken, not sent | pending for this host | read again at the next start, or in the next round |
//! | sent, ack unknown | as above; nobody can tell the difference | sent again; JetStream drops it by `Nats-Msg-Id` |
//! | ack received, not cleared | as above, but this process knows | cleared first; after a crash, sent again as above |
//! | clear sent, answer unknown | gone, or as above | clearing twice does no harm |
//! | refused, dead letter sent | moved in one step, or not at all | refused again, or gone |
//!
//! **Sending again is safe only within the stream's duplicate window.** What was taken longer ago than half of that
//! window (the stream's own one, which may not be the configured one; on the clock of Redis, which made the entries)
//! is looked up in the stream first, and sent only if it is not there: see `doubt`. The two clocks may differ by two
//! minutes. Beyond our reach is what the brokers forget: a Redis that loses what it had acknowledged
//! (`appendfsync` other than `always`) may show an entry again that was sent, and a stream that has dropped a message
//! by a limit of its own cannot tell of it.
//!
//! **Order of a subject.** Entries are sent in their order over one connection, which JetStream keeps. A connection is
//! never mended: what was given to a lost one dies with it, and the next begins with the first entry that is not known
//! to be stored. Where the old one's last bytes are still being read, both carry the same messages in the same order,
//! so the first of each pair comes in order as well. What JetStream itself can still do: answer one message with an
//! error for the moment (a change of leader, a full stream) and store the next one, which was under way. That is
//! narrowed: after such an error one message at a time is sent, and the number doubles with each success. With several
//! hosts at one outbox each keeps its order, and the order between them is that of chance.
//!
//! **Refused messages** ([`Refusal`](jetstream::Refusal)) keep later ones of their subject waiting, and no other
//! subject, until they are taken or, after their retries, buried as a dead letter; at once where nothing could help, as
//! with an id that cannot be a header or an entry without a subject. What is refused without being sent, because its
//! subject or its size is none that the stream takes, keeps all later ones behind it. What is refused by an answer,
//! because the user may not publish there or the stream has changed since it was looked at, does not: those that were
//! under way with it are stored before it.
//!
//! A cause that has used up its retries once is not given them again for a minute: they are there for somebody to mend
//! the stream, and a flood of bad messages would hold its subject for ever. What waits for a retry, with what waits
//! behind it, is held in memory, and while that is as much as may be under way (`nats.max_in_flight`), or 64 MiB,
//! nothing new is taken out of the outbox, for any subject. So refusals delay the others by the retries of a cause at the most, and
//! longer only while new causes come up faster than old ones are spent.
//!
//! Everything else (no connection, no answer, no leader, no space) is tried without end, and the outbox holds what waits;
//! neither NATS nor the relay's memory has a part in how much that is.

mod round;
mod known;
mod aside;
mod doubt;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use self::{known::Known, round::Round};
use super::target::Target;
use crate::{
    admin::{Part, PartState, Readiness},
    broker::{
        backoff,
        jetstream::{self, Adopted, Connection, ConnectionError, Dial, HeldError, PublishError, StreamError, adopt},
        redis_streams::{Outbox, Pool},
    },
    telemetry::{Broker, Chain, Metrics, Stage},
};

/// Sends what waits in the outbox.
pub struct Relay {
    /// Connections to Redis.
    pub redis: Pool,
    /// How NATS is used.
    pub config: jetstream::Config,
    /// Longest wait for Redis.
    pub timeout: Duration,
    /// Where things are stored.
    pub target: Arc<Target>,
    /// Who hears of the stream being there.
    pub readiness: Readiness,
    /// The counters.
    pub metrics: Metrics,
    /// Ends the relay; what is not sent waits in the outbox.
    pub stop: CancellationToken,
}

/// Longest wait for new entries. Redis answers empty after it.
const BLOCK: Duration = Duration::from_secs(1);

/// How often the outbox is measured, whether NATS is there or not.
const MEASURE: Duration = Duration::from_secs(2);

/// How long what was sent may wait for its ack after `stop`: each one that comes saves a doubt at the next start.
const LAST_ACKS: Duration = Duration::from_secs(1);

/// Entries of a host that has not touched them for this long are taken over; longer where acks may take longer.
const STALE: Duration = Duration::from_secs(60);

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Connect(#[from] ConnectionError),
    #[error("lost the connection to NATS")]
    Lost,
    #[error("the outbox cannot be used")]
    Outbox(#[from] redis::RedisError),
    #[error("the JetStream stream cannot be used")]
    Stream(#[from] StreamError),
    #[error("what the JetStream stream holds already cannot be found out")]
    Held(#[from] HeldError),
    #[error("a message of the outbox cannot be sent")]
    Publish(#[from] PublishError),
}

impl Relay {
    /// Runs until `stop`. Errors of Redis and NATS are waited out.
    pub async fn run(self, dial: Dial) {
        let Some(outbox) = self.target.outbox else { return self.stop.cancelled().await };
        let outbox = self.target.layout.key(outbox);
        let rounds = self.rounds(dial, outbox);
        tokio::pin!(rounds);
        tokio::select! {
            () = &mut rounds => {}
            () = self.measure(outbox) => {}
            () = self.stop.cancelled() => {
                let _ = tokio::time::timeout(LAST_ACKS, rounds).await;
            }
        }
    }

    /// One round after the other, each with a connection of its own, until `stop`.
    async fn rounds(&self, mut dial: Dial, outbox: &str) {
        let broker = self.metrics.broker(Broker::Nats);
        let mut known = Known::new(self.config.max_in_flight);
        let mut waits = backoff(self.config.reconnect_max);
        let (mut failing, mut connections) = (false, 0_u64);
        loop {
            let sent = self.metrics.stage(Stage::Relay).sent.get();
            let ended = match dial.connect().await {
                Ok(connection) => {
                    broker.connected.set(1);
                    broker.reconnects.inc_by(u64::from(connections > 0));
                    connections += 1;
                    self.round(connection, outbox, &mut known).await
                }
                Err(error) => Err(error.into()),
            };
            broker.connected.set(0);
            let Err(error) = ended else { return };
            if self.metrics.stage(Stage::Relay).sent.get() > sent {
                waits = backoff(self.config.reconnect_max);
                failing = false;
            }
            let said = Chain(&error).to_string();
            if !std::mem::replace(&mut failing, true) {
                tracing::warn!(error = said, "cannot send to other sites now, what is shared waits in the outbox");
            }
            self.readiness.set(Part::Nats, PartState::NotReady(said));
            tokio::select! {
                () = tokio::time::sleep(waits.next().unwrap_or(self.config.reconnect_max)) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Sends until something fails, or until `stop`.
    async fn round(&self, connection: Connection, outbox: &str, known: &mut Known) -> Result<(), Error> {
        let stream = self.adopt(&connection, known).await?;
        let consumer = format!("relay-{}", self.config.host(&self.target.site));
        let stale = STALE.max(3 * self.config.ack_timeout);
        let mut outbox = Outbox::open(&self.redis, outbox, &consumer, self.timeout, BLOCK, stale).await?;
        known.begin(&mut outbox).await?;
        self.readiness.set(Part::Nats, PartState::Ready);
        tracing::info!(stream = self.config.stream, consumer, "sends to JetStream what is shared");
        Round::new(self, connection, outbox, stream, known).run().await
    }

    /// The stream as it is now, made if it is missing.
    async fn adopt(&self, connection: &Connection, known: &mut Known) -> Result<Adopted, Error> {
        let adopted = adopt(connection, &self.config).await?;
        if known.told != adopted.differences {
            for difference in &adopted.differences {
                tracing::warn!(
                    stream = self.config.stream,
                    difference,
                    "the JetStream stream differs, it is used as it is"
                );
            }
            known.told.clone_from(&adopted.differences);
        }
        Ok(adopted)
    }

    /// Keeps the gauges of the outbox current, most of all while nothing can be sent.
    async fn measure(&self, outbox: &str) {
        loop {
            // Whoever stores events says so when Redis is away. What waits there grows older meanwhile.
            if let Ok(backlog) = Outbox::backlog(&self.redis, outbox).await {
                self.metrics.stage(Stage::Relay).queue.set(backlog.entries);
                self.metrics.outbox_pending.set(backlog.taken);
                let since = |age: Duration| chrono::Utc::now().timestamp_millis() - age.as_millis() as i64;
                self.metrics.outbox_oldest.since(backlog.oldest.map(since));
            }
            tokio::time::sleep(MEASURE).await;
        }
    }
}
