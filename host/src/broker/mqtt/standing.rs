//! What outlives a connection, and how a PUBLISH becomes a delivery.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Config, Error,
    packet::{Packet, Publish},
    publishing::{Outgoings, Publishing},
    subscribing::Subscribing,
    topics::Topics,
    window::{MEMORY, Taken, Window},
    wire::Wire,
};
use crate::{
    admin::{Part, PartState, Readiness},
    event::{Delivery, Duty, Identity, Intake, Settle},
    ledger::{Entry, Ledger},
    telemetry::{Broker, Stage},
    telemetry::{BrokerMetrics, Metrics, StageMetrics},
};

/// Deliveries of one read, by lane.
pub(super) type Chunks = Vec<(usize, Vec<Delivery>)>;

/// The session's state, from connection to connection.
pub(super) struct Standing<I> {
    pub config: Config,
    pub intake: Arc<I>,
    pub ledger: Arc<Ledger>,
    settle: Arc<dyn Settle>,
    pub window: Window,
    pub subscribing: Subscribing,
    pub publishing: Publishing,
    /// Whether retained messages are those that the session has had before.
    pub knows_retained: bool,
    topics: Topics,
    entries: Vec<Entry>,
    identities: Identities,
    pub source: StageMetrics,
    pub broker: BrokerMetrics,
    max_bytes: usize,
    max_payload: usize,
    /// No more events are wanted.
    readiness: Readiness,
    pub stop_reading: CancellationToken,
    quiet: Option<mpsc::Sender<oneshot::Sender<()>>>,
}

/// Longest wait until somebody has noted that all is acknowledged; meanwhile nothing new is taken.
const NOTED: Duration = Duration::from_secs(1);

impl<I: Intake> Standing<I> {
    /// Connected, and subscribed once the broker has answered: who sees it may publish, and nothing is missed.
    pub fn up(&self) {
        if self.subscribing.is_answered() {
            self.broker.connected.set(1);
            self.readiness.set(Part::Mqtt, PartState::Ready);
        }
    }

    /// Not connected, because of `error`.
    pub fn down(&self, error: &Error) {
        self.broker.connected.set(0);
        self.readiness.set(Part::Mqtt, PartState::NotReady(error.in_full()));
    }

    pub fn new(
        config: Config,
        intake: Arc<I>,
        metrics: &Metrics,
        readiness: Readiness,
        stop_reading: CancellationToken,
        quiet: Option<mpsc::Sender<oneshot::Sender<()>>>,
        outgoings: Option<Outgoings>,
    ) -> Self {
        let ledger = Arc::new(Ledger::default());
        Self {
            intake,
            settle: ledger.clone(),
            ledger,
            window: Window::new(MEMORY),
            subscribing: Subscribing::new(config.version, config.reconnect_max),
            publishing: Publishing::new(config.version, outgoings),
            knows_retained: false,
            topics: Topics::new(config.subscriptions.clone()),
            entries: Vec::new(),
            identities: Identities::new(&config.client_id),
            source: metrics.stage(Stage::Source).clone(),
            broker: metrics.broker(Broker::Mqtt).clone(),
            max_bytes: usize::try_from(config.max_in_flight_bytes.0).unwrap_or(usize::MAX).max(1),
            max_payload: usize::try_from(config.max_payload.0).unwrap_or(usize::MAX),
            config,
            readiness,
            stop_reading,
            quiet,
        }
    }

    /// Tells who wants to know that all is acknowledged, and waits until that is noted. Whether it was.
    pub async fn tell_quiet(&self) -> bool {
        let Some(quiet) = &self.quiet else { return true };
        let (noted, answer) = oneshot::channel();
        quiet.try_send(noted).is_ok() && matches!(timeout(NOTED, answer).await, Ok(Ok(())))
    }

    /// Enters what the ledger says. An error if something was given up that only a new connection brings again.
    pub fn enter(&mut self) -> Result<(), Error> {
        self.ledger.take(&mut self.entries);
        let mut abandoned = 0;
        for entry in self.entries.drain(..) {
            match entry {
                Entry::Settled(ticket) => self.window.settle(ticket),
                Entry::Abandoned(ticket) => {
                    self.source.retried.inc();
                    abandoned += u64::from(self.window.abandon(ticket));
                }
            }
        }
        if abandoned > 0 { Err(Error::Abandoned(abandoned)) } else { Ok(()) }
    }

    /// Whether more events may be taken.
    pub fn has_room(&self) -> bool {
        self.window.in_flight() < usize::from(self.config.max_in_flight.max(1)) && self.window.bytes() < self.max_bytes
    }

    /// Decodes what has come, as far as there is room. What is not a PUBLISH goes to `aside`.
    pub fn receive(
        &mut self,
        wire: &mut Wire,
        mut aside: impl FnMut(&mut Self, &mut Wire, Packet) -> Result<(), Error>,
    ) -> Result<Received, Error> {
        let mut lanes: Vec<Vec<Delivery>> = Vec::new();
        lanes.resize_with(self.intake.lanes().max(1), Vec::new);
        let stopping = self.stop_reading.is_cancelled();
        let now = chrono::Utc::now().timestamp_millis();
        let mut all = true;
        loop {
            if !stopping && !self.has_room() {
                all = false;
                break;
            }
            match wire.next()? {
                None => break,
                // Not acknowledged, so the broker keeps it for our next start.
                Some(Packet::Publish(publish)) if stopping && !self.window.knows(&publish) => {}
                Some(Packet::Publish(publish)) => {
                    if let Some((lane, delivery)) = self.deliver(publish, now) {
                        let lane = lane % lanes.len();
                        lanes[lane].push(delivery);
                    }
                }
                Some(packet) => aside(self, wire, packet)?,
            }
        }
        let chunks = lanes.into_iter().enumerate().filter(|(_, chunk)| !chunk.is_empty()).collect();
        Ok(Received { chunks, all })
    }

    /// The delivery of a PUBLISH and its lane, unless it is one that we have.
    fn deliver(&mut self, publish: Publish, received_ms: i64) -> Option<(usize, Delivery)> {
        let Taken::New(ticket) = self.window.take(&publish) else { return None };
        // One that comes again because nobody acknowledged it is wanted.
        if publish.retain && !publish.dup && self.knows_retained {
            self.window.settle(ticket);
            return None;
        }
        let intake = &self.intake;
        let topic = self.topics.get(&publish.topic, |context| intake.lane_of(context));
        let size = publish.payload.len() + publish.cut;
        let unfit = if publish.cut > 0 {
            Some(format!(
                "payload of {size} bytes is larger than mqtt.max_payload ({}); only its first {} bytes are kept",
                self.max_payload,
                publish.payload.len()
            ))
        } else if size > self.max_payload {
            Some(format!("payload of {size} bytes is larger than mqtt.max_payload ({})", self.max_payload))
        } else {
            topic.unfit.clone()
        };
        let identity = self.identities.of(&publish);
        let delivery = Delivery {
            context: Arc::clone(&topic.context),
            received_ms,
            payload: publish.payload,
            identity,
            attempts: 0,
            unfit,
            duty: Duty::new(Arc::clone(&self.settle), ticket),
        };
        Some((topic.lane, delivery))
    }
}

/// What [`Standing::receive`] made of the bytes that had come.
pub(super) struct Received {
    pub chunks: Chunks,
    /// Whether all whole packets were decoded; else there was no room.
    pub all: bool,
}

/// What tells deliveries apart that look the same: client and packet id with QoS 1 and 2, which are the same after a
/// crash, when the broker delivers the message again. QoS 0 has no packet id and is never redelivered: a counter that
/// starts anywhere.
struct Identities {
    client: u64,
    next: u64,
}

impl Identities {
    fn new(client_id: &str) -> Self {
        let digest = Sha256::digest(client_id.as_bytes());
        let client = digest.iter().take(8).fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        // `RandomState` is the standard library's only source of chance.
        Self { client, next: RandomState::new().build_hasher().finish() }
    }

    fn of(&mut self, publish: &Publish) -> Identity {
        if publish.qos > 0 {
            return Identity::Packet { client: self.client, id: publish.id, dup: publish.dup };
        }
        self.next = self.next.wrapping_add(1);
        Identity::Once(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_same_after_a_restart_and_differs_by_client_and_packet() {
        let publish =
            |qos, id| Publish { dup: false, retain: false, qos, id, topic: "t".into(), payload: "p".into(), cut: 0 };
        let of = |client: &str, id| Identities::new(client).of(&publish(1, id));
        assert_eq!(of("a", 7), of("a", 7));
        assert_ne!(of("a", 7), of("a", 8));
        assert_ne!(of("a", 7), of("b", 7));
        let mut identities = Identities::new("a");
        assert_ne!(identities.of(&publish(0, 0)), identities.of(&publish(0, 0)));
    }
}
