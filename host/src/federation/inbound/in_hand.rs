use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    book::{Book, Told},
    origin::site_of,
};
use crate::{
    broker::jetstream::{Answer, Incoming},
    event::{Context, Identity},
    intel::{Seen, Table},
    telemetry::{Chain, InboundMetrics},
};

/// The messages that were taken and that JetStream waits to hear of, over all connections.
pub(super) struct InHand {
    /// What became of deliveries.
    pub book: Arc<Book>,
    counts: InboundMetrics,
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
    /// After which time JetStream delivers again what it has not heard of.
    ack_wait: Duration,
    /// When it hears next that messages are worked on.
    work_at: Instant,
}

/// A message that the lanes have.
#[derive(Debug)]
pub(super) struct Flight {
    pub sequence: u64,
    pub identity: Identity,
    pub reply: String,
    /// Where it came from.
    pub context: Arc<Context>,
    /// When its site shared it, if that is known.
    pub shared_ms: Option<i64>,
    /// What it tells of indicators, to be recorded once it is stored.
    pub seen: Vec<Seen>,
}

/// How soon what was given up is delivered again.
const AGAIN: Duration = Duration::from_secs(5);

/// How soon what we leave is delivered to somebody else. Not at once: the server may not know yet that we read no more,
/// and would deliver it to us.
const LEFT: Duration = Duration::from_millis(500);

/// Indicators that could not be recorded are tried again after this.
const RETRY: Duration = Duration::from_secs(1);

impl InHand {
    /// None yet. What they tell of indicators goes to `table`.
    pub fn new(counts: InboundMetrics, table: Option<Table>, ack_wait: Duration) -> Self {
        Self {
            book: Arc::default(),
            counts,
            flights: HashMap::new(),
            tickets: HashMap::new(),
            ticket: 0,
            table,
            unrecorded: Vec::new(),
            record_at: Instant::now(),
            answers: Vec::new(),
            ack_wait,
            work_at: Instant::now(),
        }
    }

    /// How many are in flight.
    pub fn len(&self) -> usize {
        self.flights.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// JetStream waits so long from now on, as the consumer says.
    pub fn waits(&mut self, ack_wait: Duration) {
        self.ack_wait = ack_wait;
    }

    /// Whether the message is under way, though it was not heard of for too long. The number alone does not say so: in a
    /// stream that was made anew it is another message's. It is answered where it came last.
    pub fn has(&mut self, incoming: &Incoming, identity: &Identity) -> bool {
        let flight = self.tickets.get(&incoming.sequence).and_then(|ticket| self.flights.get_mut(ticket));
        let Some(flight) = flight.filter(|flight| flight.identity == *identity) else { return false };
        flight.reply.clone_from(&incoming.reply);
        true
    }

    /// Takes one in hand, and gives its ticket.
    pub fn add(&mut self, mut flight: Flight) -> u64 {
        if self.table.is_none() {
            flight.seen.clear();
        }
        self.ticket += 1;
        self.tickets.insert(flight.sequence, self.ticket);
        self.flights.insert(self.ticket, flight);
        self.ticket
    }

    /// Shows how many are in flight.
    pub fn gauge(&self) {
        self.counts.in_flight.set(self.flights.len() as i64);
    }

    /// Nothing is done about the message that is answered at `reply`.
    pub fn pass(&mut self, reply: String) {
        self.answers.push((reply, Answer::Done));
    }

    /// The same, for somebody else is to have it.
    pub fn leave(&mut self, reply: String) {
        self.answers.push((reply, Answer::Again(LEFT)));
    }

    /// The same of all that is in flight.
    pub fn leave_all(&mut self) {
        self.answers.extend(self.flights.values().map(|flight| (flight.reply.clone(), Answer::Again(LEFT))));
    }

    /// What JetStream has to hear since the last time, and where.
    pub fn answers(&mut self) -> Vec<(String, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// Enters what became of deliveries.
    pub fn enter(&mut self) {
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
        self.gauge();
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
    pub async fn record(&mut self) {
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
                self.gauge();
                return;
            }
            Ok(Err(error)) => Chain(&error).to_string(),
            Err(_) => "Redis does not answer".to_owned(),
        };
        tracing::warn!(error, indicators = seen.len(), "indicators of other sites cannot be recorded, will try again");
        self.record_at = Instant::now() + RETRY;
    }

    /// When something has to be done although nothing happens.
    pub fn due(&self) -> Instant {
        if self.unrecorded.is_empty() { self.work_at } else { self.work_at.min(self.record_at) }
    }

    /// All that is in flight is worked on: JetStream is not to deliver it to somebody else meanwhile.
    pub fn say_working(&mut self) {
        if Instant::now() < self.work_at {
            return;
        }
        self.work_at = Instant::now() + self.ack_wait / 3;
        self.answers.extend(self.flights.values().map(|flight| (flight.reply.clone(), Answer::Working)));
    }
}
