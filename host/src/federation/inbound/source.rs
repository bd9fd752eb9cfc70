use std::{collections::HashMap, future::pending, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    Config, Rules,
    arrival::{Arrival, Gate, Taken},
    book::{Book, Told},
    origin::site_of,
};
use crate::{
    admin::Readiness,
    broker::{
        backoff,
        jetstream::{
            self, Answer, Connection, ConnectionError, ConsumeError, Dial, Incoming, Pull, StreamError, adopt,
        },
    },
    event::{Closed, Context, Delivery, Duty, Identity, Intake, Settle, Stop},
    intel::{Seen, Table},
    raw::Origins,
    telemetry::{Chain, InboundMetrics, Metrics, Passage, Stage},
};

/// Takes in what is in one stream of JetStream. [`Source::run`] is the task; it owns the connection and knows which
/// messages are in hand.
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
    readiness: Readiness,
    stop: Stop,
    book: Arc<Book>,
    flights: HashMap<u64, Flight>,
    /// Tickets of the messages in flight, by their numbers in the stream.
    tickets: HashMap<u64, u64>,
    ticket: u64,
    /// The indicators of the site; none: nobody looks out for any.
    table: Option<Table>,
    /// Tickets of the messages that are stored, and whose indicators are not recorded yet.
    unrecorded: Vec<u64>,
    /// When they are tried to be, at the earliest.
    record_at: Instant,
    /// What JetStream has to hear, and where.
    answers: Vec<(String, Answer)>,
    origins: Origins,
    /// After which time JetStream delivers again what it has not heard of.
    ack_wait: Duration,
    /// When it hears next that messages are worked on.
    work_at: Instant,
}

/// A message that the lanes have.
#[derive(Debug)]
struct Flight {
    sequence: u64,
    identity: Identity,
    reply: String,
    /// Where it came from.
    context: Arc<Context>,
    /// When its site shared it, if that is known.
    shared_ms: Option<i64>,
    /// What it tells of indicators, to be recorded once it is stored.
    seen: Vec<Seen>,
}

/// Most messages that are handed on at once.
const MOST: usize = 256;

/// How soon what was given up is delivered again.
const AGAIN: Duration = Duration::from_secs(5);

/// How soon what we leave is delivered to somebody else. Not at once: the server may not know yet that we read no more,
/// and would deliver it to us.
const LEFT: Duration = Duration::from_millis(500);

/// Indicators that could not be recorded are tried again after this.
const RETRY: Duration = Duration::from_secs(1);

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
        intake: Arc<I>,
        metrics: Metrics,
        readiness: Readiness,
        stop: Stop,
    ) -> Self {
        Self {
            gate: Gate::new(config.clone(), site.to_owned(), rules),
            config: config.clone(),
            nats: nats.clone(),
            stream: stream.to_owned(),
            consumer: super::consumer(site),
            intake,
            counts: metrics.inbound(stream),
            metrics,
            readiness,
            stop,
            book: Arc::default(),
            flights: HashMap::new(),
            tickets: HashMap::new(),
            ticket: 0,
            table,
            unrecorded: Vec::new(),
            record_at: Instant::now(),
            answers: Vec::new(),
            origins: Origins::default(),
            ack_wait: config.ack_wait,
            work_at: Instant::now(),
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
        self.flights.len()
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
        self.ack_wait = reader.ack_wait();
        tracing::info!(stream = self.stream, consumer = self.consumer, "what other sites share is taken in");
        self.tell(None);
        let (mut pull, book) = (None::<Pull>, Arc::clone(&self.book));
        loop {
            self.enter();
            self.answer(&connection).await?;
            let room = self.config.max_in_flight.saturating_sub(self.flights.len());
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
                () = sleep_until(self.due()) => self.say_working(),
                () = connection.lost() => return Err(SourceError::Lost),
                () = reading.cancelled() => break,
            }
        }
        self.end(&connection, pull).await
    }

    /// Waits until all that is in flight is settled, or until there is no more time.
    async fn end(&mut self, connection: &Connection, pull: Option<Pull>) -> Result<(), SourceError> {
        let (book, over) = (Arc::clone(&self.book), self.stop.connection.clone());
        // What came and was not looked at yet is somebody else's, at once.
        if let Some(mut pull) = pull {
            while let Some(Some(Ok(incoming))) = pull.next().now_or_never() {
                self.answers.push((incoming.reply, Answer::Again(LEFT)));
            }
        }
        loop {
            self.enter();
            self.answer(connection).await?;
            if self.flights.is_empty() {
                break;
            }
            tokio::select! {
                () = book.written() => {}
                () = sleep_until(self.due()) => self.say_working(),
                () = connection.lost() => return Err(SourceError::Lost),
                () = over.cancelled() => break,
            }
        }
        let left = self.flights.values().map(|flight| (flight.reply.clone(), Answer::Again(LEFT)));
        self.answers.extend(left);
        self.answer(connection).await?;
        connection.flush().await;
        Ok(())
    }

    /// Looks at messages and hands them to their lanes; waits while lanes are full.
    async fn take(&mut self, connection: &Connection, all: Vec<Incoming>) -> Result<(), SourceError> {
        let settle: Arc<dyn Settle> = self.book.clone();
        let now = chrono::Utc::now().timestamp_millis();
        let source = self.metrics.stage(Stage::Source).clone();
        let mut lanes: Vec<Vec<Delivery>> = Vec::new();
        lanes.resize_with(self.intake.lanes().max(1), Vec::new);
        for incoming in all {
            self.counts.pending.set(i64::try_from(incoming.pending).unwrap_or(i64::MAX));
            if incoming.delivered > 1 {
                self.counts.redelivered.inc();
            }
            let Taken { context, identity, unfit, seen } = match self.gate.look(&incoming, now) {
                Arrival::Taken(taken) => *taken,
                Arrival::Passed(passed) => {
                    self.counts.count(passed.into());
                    self.answers.push((incoming.reply, Answer::Done));
                    continue;
                }
            };
            // It was not heard of for too long, and is under way nonetheless. The number alone does not say so: in a stream
            // that was made anew it is another message's.
            if let Some(flight) = self.tickets.get(&incoming.sequence).and_then(|ticket| self.flights.get_mut(ticket))
                && flight.identity == identity
            {
                flight.reply = incoming.reply;
                continue;
            }
            self.ticket += 1;
            let shared_ms = incoming.shared_ms();
            let mut payload = incoming.payload;
            payload.truncate(self.gate.most());
            let (sequence, reply) = (incoming.sequence, incoming.reply);
            let seen = if self.table.is_some() { seen } else { Vec::new() };
            let intake = &self.intake;
            let (context, lane) = self.origins.get(context, |context| intake.lane_of(context));
            let flight = Flight { sequence, identity, reply, context: Arc::clone(&context), shared_ms, seen };
            self.flights.insert(self.ticket, flight);
            self.tickets.insert(sequence, self.ticket);
            let lane = lane % lanes.len();
            lanes[lane].push(Delivery {
                context,
                received_ms: now,
                payload,
                identity,
                attempts: if unfit.is_some() { u32::try_from(incoming.delivered).unwrap_or(u32::MAX) } else { 0 },
                unfit,
                duty: Duty::new(Arc::clone(&settle), self.ticket),
            });
        }
        self.counts.in_flight.set(self.flights.len() as i64);
        let (book, reading) = (Arc::clone(&self.book), self.stop.reading.clone());
        for (lane, chunk) in lanes.into_iter().enumerate().filter(|(_, chunk)| !chunk.is_empty()) {
            let events = chunk.len() as u64;
            source.received.inc_by(events);
            let intake = Arc::clone(&self.intake);
            let mut sent = pin!(intake.send(lane, chunk));
            loop {
                tokio::select! {
                    sent = &mut sent => break sent?,
                    () = book.written() => self.enter(),
                    () = sleep_until(self.due()) => self.say_working(),
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

    /// Enters what became of deliveries.
    fn enter(&mut self) {
        let now = chrono::Utc::now().timestamp_millis();
        for (ticket, told) in self.book.take() {
            let Some(flight) = self.flights.get(&ticket) else { continue };
            self.counts.count(told.into());
            if let (Told::Stored, Some(site)) = (told, site_of(&flight.context)) {
                self.counts.stored_from(site, now);
            }
            if let (Told::Stored, Some(shared_ms)) = (told, flight.shared_ms) {
                self.counts.seconds.observe((now - shared_ms).max(0) as f64 / 1000.0);
            }
            match told {
                // Also of what was stored before: whoever did that may have died before it came to this.
                Told::Stored | Told::Repeated if !flight.seen.is_empty() => self.unrecorded.push(ticket),
                Told::Stored | Told::Repeated | Told::Dropped => self.land(ticket, Answer::Done),
                Told::Buried => self.land(ticket, Answer::Never),
                Told::GivenUp => self.land(ticket, Answer::Again(AGAIN)),
            }
        }
        self.counts.in_flight.set(self.flights.len() as i64);
    }

    /// Nothing more is done about a message.
    fn land(&mut self, ticket: u64, answer: Answer) {
        if let Some(Flight { sequence, reply, .. }) = self.flights.remove(&ticket) {
            // In a stream that was made anew the number may be another one's by now.
            if self.tickets.get(&sequence) == Some(&ticket) {
                self.tickets.remove(&sequence);
            }
            self.answers.push((reply, answer));
        }
    }

    /// Records what stored messages tell of indicators. Where Redis cannot, they stay in hand.
    async fn record(&mut self) {
        let Some(table) = self.table.clone().filter(|_| !self.unrecorded.is_empty()) else { return };
        if Instant::now() < self.record_at {
            return;
        }
        let seen = self.unrecorded.iter().filter_map(|ticket| self.flights.get(ticket));
        let seen: Vec<Seen> = seen.flat_map(|flight| flight.seen.iter().cloned()).collect();
        // No longer than until JetStream has to hear of what is in hand; what is recorded twice counts once.
        let error = match timeout(self.ack_wait / 3, table.record(&seen)).await {
            Ok(Ok(_)) => {
                for ticket in std::mem::take(&mut self.unrecorded) {
                    self.land(ticket, Answer::Done);
                }
                self.counts.in_flight.set(self.flights.len() as i64);
                return;
            }
            Ok(Err(error)) => Chain(&error).to_string(),
            Err(_) => "Redis does not answer".to_owned(),
        };
        tracing::warn!(error, indicators = seen.len(), "indicators of other sites cannot be recorded, will try again");
        self.record_at = Instant::now() + RETRY;
    }

    /// When something has to be done although nothing happens.
    fn due(&self) -> Instant {
        if self.unrecorded.is_empty() { self.work_at } else { self.work_at.min(self.record_at) }
    }

    /// All that is in flight is worked on: JetStream is not to deliver it to somebody else meanwhile.
    fn say_working(&mut self) {
        if Instant::now() < self.work_at {
            return;
        }
        self.work_at = Instant::now() + self.ack_wait / 3;
        self.answers.extend(self.flights.values().map(|flight| (flight.reply.clone(), Answer::Working)));
    }

    /// Records, and sends what JetStream has to hear. What is lost with the connection would change nothing but the work: the message
    /// comes again, and is known.
    async fn answer(&mut self, connection: &Connection) -> Result<(), SourceError> {
        self.record().await;
        for (reply, answer) in std::mem::take(&mut self.answers) {
            connection.answer(&reply, answer).await?;
        }
        Ok(())
    }
}

impl From<Told> for Passage {
    fn from(told: Told) -> Self {
        match told {
            Told::Stored => Self::Stored,
            Told::Repeated => Self::Repeated,
            Told::Dropped => Self::Dropped,
            Told::Buried => Self::Buried,
            Told::GivenUp => Self::GivenUp,
        }
    }
}

impl From<super::arrival::Passed> for Passage {
    fn from(passed: super::arrival::Passed) -> Self {
        use super::arrival::Passed;
        match passed {
            Passed::Own => Self::Own,
            Passed::Old => Self::Old,
            Passed::Unwanted => Self::Unwanted,
        }
    }
}
