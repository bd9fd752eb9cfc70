use std::{future::pending, pin::pin, sync::Arc};

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until};

use super::{
    Config, Rules,
    arrival::{Arrival, Gate, Taken},
    in_hand::{Flight, InHand},
};
use crate::{
    admin::Readiness,
    broker::{
        backoff,
        jetstream::{self, Connection, ConnectionError, ConsumeError, Dial, Incoming, Pull, StreamError, adopt},
        redis_streams::Begun,
    },
    event::{Closed, Delivery, Duty, Intake, Settle, Stop},
    intel::Table,
    raw::Origins,
    telemetry::{Chain, InboundMetrics, Metrics, Stage},
};

/// Takes in what is in one stream of JetStream. [`Source::run`] is the task; it owns the connection, and the messages in
/// hand.
pub struct Source<I> {
    config: Config,
    nats: jetstream::Config,
    /// The stream of JetStream.
    stream: String,
    /// The durable consumer.
    consumer: String,
    gate: Gate,
    intake: Arc<I>,
    metrics: Metrics,
    counts: InboundMetrics,
    /// Of messages that were delivered suspiciously often.
    tries: Begun,
    readiness: Readiness,
    stop: Stop,
    hand: InHand,
    origins: Origins,
}

/// Most messages that are handed on at once.
const MOST: usize = 256;

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectionError),
    /// It was lost.
    #[error("lost the connection to NATS")]
    Lost,
    /// The stream cannot be made.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The stream cannot be read.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// The lanes have ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl<I: Intake> Source<I> {
    /// A source that reads `stream` for the site `site`, and hands deliveries to `intake`.
    #[expect(clippy::too_many_arguments, reason = "a list of what a source is made of, used once")]
    #[must_use]
    pub fn new(
        config: &Config,
        nats: &jetstream::Config,
        stream: &str,
        site: &str,
        rules: Rules,
        table: Option<Table>,
        tries: Begun,
        intake: Arc<I>,
        metrics: Metrics,
        readiness: Readiness,
        stop: Stop,
    ) -> Self {
        let counts = metrics.inbound(stream);
        Self {
            gate: Gate::new(config.clone(), site.to_owned(), rules),
            config: config.clone(),
            nats: nats.clone(),
            stream: stream.to_owned(),
            consumer: super::consumer(site),
            intake,
            hand: InHand::new(counts.clone(), table, config.ack_wait),
            counts,
            tries,
            metrics,
            readiness,
            stop,
            origins: Origins::default(),
        }
    }

    /// Runs until [`Stop::reading`] is cancelled and everything is settled, or [`Stop::connection`] is, or the intake is
    /// closed. Errors of NATS are waited out. Returns the number of messages left, which are delivered again.
    pub async fn run(mut self, mut dial: Dial) -> usize {
        let mut waits = backoff(self.nats.reconnect_max);
        let (mut told, reading) = (String::new(), self.stop.reading.clone());
        while !reading.is_cancelled() {
            let started = Instant::now();
            let error = match self.round(&mut dial).await {
                Ok(()) => break,
                Err(SourceError::Closed(error)) => {
                    tracing::warn!(error = %error, stream = self.stream, "taking in messages ends");
                    break;
                }
                Err(error) => Chain(&error).to_string(),
            };
            if started.elapsed() > self.nats.reconnect_max {
                waits = backoff(self.nats.reconnect_max);
                told.clear();
            }
            if error != told {
                tracing::warn!(error, stream = self.stream, "what other sites share waits, will try again");
                told.clone_from(&error);
            }
            self.tell(Some(error));
            tokio::select! {
                () = tokio::time::sleep(waits.next().unwrap_or(self.nats.reconnect_max)) => {}
                () = reading.cancelled() => {}
            }
        }
        self.hand.len()
    }

    /// Says whether it can be read. A host that takes nothing in can still take events.
    fn tell(&self, why: Option<String>) {
        self.readiness.degrade(&format!("federation.in.{}", self.stream), why);
    }

    /// Reads over one connection, until something fails, or until we are to end.
    async fn round(&mut self, dial: &mut Dial) -> Result<(), SourceError> {
        let reading = self.stop.reading.clone();
        let connection = dial.connect().await?;
        // Whoever comes first makes the stream that all sites share; what else is read is somebody else's to make.
        if self.stream == self.nats.stream {
            adopt(&connection, &self.nats).await?;
        }
        let reader = connection.consume(&self.config.wanted(&self.stream, &self.consumer)).await?;
        self.hand.waits(reader.ack_wait());
        tracing::info!(stream = self.stream, consumer = self.consumer, "what other sites share is taken in");
        self.tell(None);
        let (mut pull, book) = (None::<Pull>, Arc::clone(&self.hand.book));
        loop {
            self.hand.enter();
            self.answer(&connection).await?;
            let room = self.config.max_in_flight.saturating_sub(self.hand.len());
            if pull.is_none() && room > 0 {
                pull = Some(reader.pull(room).await?);
            }
            let next = async {
                match &mut pull {
                    Some(pull) => pull.next().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                incoming = next => match incoming {
                    None => pull = None,
                    Some(first) => {
                        let (mut all, mut failed) = (vec![first?], None);
                        while all.len() < MOST
                            && failed.is_none()
                            && let Some(Some(more)) = pull.as_mut().and_then(|pull| pull.next().now_or_never())
                        {
                            match more {
                                Ok(more) => all.push(more),
                                Err(error) => failed = Some(error),
                            }
                        }
                        self.take(&connection, all).await?;
                        if let Some(error) = failed {
                            return Err(error.into());
                        }
                    }
                },
                () = book.written() => {}
                () = sleep_until(self.hand.due()) => self.hand.say_working(),
                () = connection.lost() => return Err(SourceError::Lost),
                () = reading.cancelled() => break,
            }
        }
        self.end(&connection, pull).await
    }

    /// Waits until all that is in flight is settled, or until there is no more time.
    async fn end(&mut self, connection: &Connection, pull: Option<Pull>) -> Result<(), SourceError> {
        let (book, over) = (Arc::clone(&self.hand.book), self.stop.connection.clone());
        // What came and was not looked at yet is somebody else's, at once.
        if let Some(mut pull) = pull {
            while let Some(Some(Ok(incoming))) = pull.next().now_or_never() {
                self.hand.leave(incoming.reply);
            }
        }
        loop {
            self.hand.enter();
            self.answer(connection).await?;
            if self.hand.is_empty() {
                break;
            }
            tokio::select! {
                () = book.written() => {}
                () = sleep_until(self.hand.due()) => self.hand.say_working(),
                () = connection.lost() => return Err(SourceError::Lost),
                () = over.cancelled() => break,
            }
        }
        self.hand.leave_all();
        self.answer(connection).await?;
        connection.flush().await;
        Ok(())
    }

    /// Looks at messages and hands them to their lanes; waits while lanes are full.
    async fn take(&mut self, connection: &Connection, all: Vec<Incoming>) -> Result<(), SourceError> {
        let settle: Arc<dyn Settle> = self.hand.book.clone();
        let now = chrono::Utc::now().timestamp_millis();
        let source = self.metrics.stage(Stage::Source).clone();
        let mut lanes: Vec<Vec<Delivery>> = Vec::new();
        lanes.resize_with(self.intake.lanes().max(1), Vec::new);
        for incoming in all {
            self.counts.pending.set(i64::try_from(incoming.pending).unwrap_or(i64::MAX));
            if incoming.delivered > 1 {
                self.counts.redelivered.inc();
            }
            let begun = self.begun(&incoming).await;
            let Taken { context, identity, unfit, seen } = match self.gate.look(&incoming, begun, now) {
                Arrival::Taken(taken) => *taken,
                Arrival::Passed(passed) => {
                    self.counts.count(passed.into());
                    self.hand.pass(incoming.reply);
                    continue;
                }
            };
            if self.hand.has(&incoming, &identity) {
                continue;
            }
            let shared_ms = incoming.shared_ms();
            let mut payload = incoming.payload;
            payload.truncate(self.gate.most());
            let (sequence, reply) = (incoming.sequence, incoming.reply);
            let intake = &self.intake;
            let (context, lane) = self.origins.get(context, |context| intake.lane_of(context));
            let flight = Flight { sequence, identity, reply, context: Arc::clone(&context), shared_ms, seen };
            let ticket = self.hand.add(flight);
            let lane = lane % lanes.len();
            lanes[lane].push(Delivery {
                context,
                received_ms: now,
                payload,
                identity,
                attempts: if unfit.is_some() { u32::try_from(incoming.delivered).unwrap_or(u32::MAX) } else { 0 },
                unfit,
                duty: Duty::new(Arc::clone(&settle), ticket),
            });
        }
        self.hand.gauge();
        let (book, reading) = (Arc::clone(&self.hand.book), self.stop.reading.clone());
        for (lane, chunk) in lanes.into_iter().enumerate().filter(|(_, chunk)| !chunk.is_empty()) {
            let events = chunk.len() as u64;
            source.received.inc_by(events);
            let intake = Arc::clone(&self.intake);
            let mut sent = pin!(intake.send(lane, chunk));
            loop {
                tokio::select! {
                    sent = &mut sent => break sent?,
                    () = book.written() => self.hand.enter(),
                    () = sleep_until(self.hand.due()) => self.hand.say_working(),
                    () = connection.lost() => return Err(SourceError::Lost),
                    // What is not sent is given up by that, and delivered again.
                    () = reading.cancelled() => return Ok(()),
                }
                self.answer(connection).await?;
            }
            source.sent.inc_by(events);
        }
        Ok(())
    }

    /// How often `incoming` was begun here, this time included; none where it is not suspected of being what ends the host.
    /// JetStream's own count does no more than raise the suspicion: over a leaf node, what it delivers to the inbox of a
    /// host that has gone counts as well, and nobody ever saw it.
    async fn begun(&self, incoming: &Incoming) -> Option<u64> {
        if incoming.delivered <= self.config.max_deliveries {
            return None;
        }
        // The number alone is another message's in a stream that was made anew.
        let name = format!("{}:{}:{}", self.stream, incoming.sequence, incoming.published_ms);
        // Where Redis is away nothing is stored either, so the host has something better to wait for.
        self.tries.again(&name).await.ok()
    }

    /// Records, and sends what JetStream has to hear. What is lost with the connection would change nothing but the work:
    /// the message comes again, and is known.
    async fn answer(&mut self, connection: &Connection) -> Result<(), SourceError> {
        self.hand.record().await;
        for (reply, answer) in self.hand.answers() {
            connection.answer(&reply, answer).await?;
        }
        Ok(())
    }
}
