//! What we publish ourselves, with QoS 1: it is sent until the broker has acknowledged it, over reconnects, or until it is
//! of no use any more.
//!
//! Little of it: a question to a device now and then. So it goes the way of the acknowledgements, through the one
//! connection, and few are under way at once, which stays below any broker's Receive Maximum.

use std::{collections::BTreeMap, time::Duration};

use bytes::BytesMut;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Error, Version, packet};

/// Messages that wait for the connection. Whoever has more waits, too.
const WAITING: usize = 256;

/// Messages that the broker has and has not acknowledged.
const UNDER_WAY: usize = 8;

/// First of our packet ids. SUBSCRIBE has those below.
const FIRST: u16 = 0x8000;

/// Publishes over a [`Session`](super::Session)'s connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outlet(mpsc::Sender<Outgoing>);

/// Where a session takes what an [`Outlet`] publishes.
#[derive(Debug)]
pub struct Outgoings(mpsc::Receiver<Outgoing>);

/// A message on its way.
#[derive(Debug)]
struct Outgoing {
    topic: String,
    payload: String,
    /// Until when it is of use.
    until: Instant,
    done: oneshot::Sender<Result<(), Unsent>>,
}

/// A message has not reached the broker, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// The broker was not there.
    #[error("the MQTT broker did not acknowledge it in time")]
    Late,
    /// It said no.
    #[error("the MQTT broker refused it: {0}; check what it allows mqtt.username and mqtt.client_id to publish")]
    Refused(String),
    /// We are about to end.
    #[error("the MQTT session has ended")]
    Ended,
}

/// An outlet, and what the session of its connection needs.
#[must_use]
pub fn outlet() -> (Outlet, Outgoings) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Outlet(sender), Outgoings(receiver))
}

impl Outlet {
    /// Publishes `payload`, and returns once the broker has acknowledged it. It is tried for as long as it is `of_use`.
    ///
    /// # Errors
    /// [`Unsent`].
    pub async fn publish(&self, topic: String, payload: String, of_use: Duration) -> Result<(), Unsent> {
        let until = Instant::now() + of_use;
        let (done, heard) = oneshot::channel();
        let sent = async {
            self.0.send(Outgoing { topic, payload, until, done }).await.map_err(|_| Unsent::Ended)?;
            heard.await.map_err(|_| Unsent::Ended)?
        };
        tokio::time::timeout_at(until, sent).await.unwrap_or(Err(Unsent::Late))
    }
}

/// A session's side of it.
#[derive(Debug)]
pub(super) struct Publishing {
    version: Version,
    /// None where nobody publishes.
    waiting: Option<mpsc::Receiver<Outgoing>>,
    under_way: BTreeMap<u16, Outgoing>,
    next: u16,
}

impl Publishing {
    pub fn new(version: Version, outgoings: Option<Outgoings>) -> Self {
        let waiting = outgoings.map(|Outgoings(receiver)| receiver);
        Self { version, waiting, under_way: BTreeMap::new(), next: FIRST }
    }

    /// A new connection is up: what the broker has not acknowledged is sent again (MQTT-4.4.0-1).
    pub fn connect(&mut self, session_present: bool, out: &mut BytesMut) -> Result<(), Error> {
        self.under_way.retain(|_, outgoing| outgoing.is_of_use());
        for (&id, outgoing) in &self.under_way {
            outgoing.write(self.version, id, session_present, out)?;
        }
        Ok(())
    }

    /// Whether [`next`](Self::next) may be waited for.
    pub fn has_room(&self) -> bool {
        self.waiting.is_some() && self.under_way.len() < UNDER_WAY
    }

    /// Waits for a message and writes it. Cancel-safe.
    pub async fn next(&mut self) -> Option<Message> {
        let received = match &mut self.waiting {
            Some(waiting) => waiting.recv().await,
            None => std::future::pending().await,
        };
        if received.is_none() {
            // Nobody publishes any more.
            self.waiting = None;
        }
        received.map(Message)
    }

    /// Writes a message that has been waited for.
    pub fn send(&mut self, Message(outgoing): Message, out: &mut BytesMut) -> Result<(), Error> {
        if !outgoing.is_of_use() {
            return Ok(());
        }
        while self.under_way.contains_key(&self.next) {
            self.next = self.next.checked_add(1).unwrap_or(FIRST);
        }
        let id = self.next;
        self.next = self.next.checked_add(1).unwrap_or(FIRST);
        outgoing.write(self.version, id, false, out)?;
        self.under_way.insert(id, outgoing);
        Ok(())
    }

    /// PUBACK.
    pub fn acknowledged(&mut self, id: u16, answer: Result<(), String>) {
        if let Some(outgoing) = self.under_way.remove(&id) {
            // Nobody may be there to hear it.
            let _ = outgoing.done.send(answer.map_err(Unsent::Refused));
        }
    }
}

/// A message that a session has taken and not yet written.
#[derive(Debug)]
pub(super) struct Message(Outgoing);

impl Outgoing {
    fn is_of_use(&self) -> bool {
        Instant::now() < self.until && !self.done.is_closed()
    }

    fn write(&self, version: Version, id: u16, dup: bool, out: &mut BytesMut) -> Result<(), Error> {
        // A broker that keeps it for a device that is away need not keep it for longer.
        let left = self.until.saturating_duration_since(Instant::now()).as_secs().max(1);
        let expiry = u32::try_from(left).unwrap_or(u32::MAX);
        packet::publish(version, id, dup, &self.topic, self.payload.as_bytes(), expiry, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn packets(out: &mut BytesMut) -> usize {
        let bytes = std::mem::take(out).freeze();
        bytes.windows(3).filter(|window| window == b"a/b").count()
    }

    #[tokio::test]
    async fn is_sent_again_until_it_is_acknowledged() {
        for version in [Version::V3_1_1, Version::V5] {
            let (outlet, outgoings) = outlet();
            let mut publishing = Publishing::new(version, Some(outgoings));
            let mut out = BytesMut::new();
            let sent = tokio::spawn(async move { outlet.publish("a/b".into(), "{}".into(), LONG).await });
            let message = publishing.next().await.expect("a message");
            publishing.send(message, &mut out).expect("written");
            assert_eq!((out[0], packets(&mut out)), (0x32, 1));
            publishing.connect(true, &mut out).expect("written");
            assert_eq!((out[0], packets(&mut out)), (0x3a, 1), "DUP, where the broker may have it");
            publishing.connect(false, &mut out).expect("written");
            assert_eq!((out[0], packets(&mut out)), (0x32, 1));
            publishing.acknowledged(FIRST + 1, Ok(()));
            publishing.acknowledged(FIRST, Ok(()));
            assert_eq!(sent.await.expect("no panic"), Ok(()));
            publishing.connect(true, &mut out).expect("written");
            assert!(out.is_empty());
        }
    }

    #[tokio::test]
    async fn is_given_up_when_it_is_of_no_use_any_more() {
        let (outlet, outgoings) = outlet();
        let mut publishing = Publishing::new(Version::V5, Some(outgoings));
        assert_eq!(outlet.publish("a/b".into(), "{}".into(), Duration::from_millis(1)).await, Err(Unsent::Late));
        let message = publishing.next().await.expect("a message");
        let mut out = BytesMut::new();
        publishing.send(message, &mut out).expect("nothing to write");
        assert!(out.is_empty() && publishing.under_way.is_empty());
    }

    #[tokio::test]
    async fn tells_what_the_broker_refuses_and_bounds_what_is_under_way() {
        let (outlet, outgoings) = outlet();
        let mut publishing = Publishing::new(Version::V5, Some(outgoings));
        let mut out = BytesMut::new();
        let publishers: Vec<_> = (0..UNDER_WAY)
            .map(|_| {
                let outlet = outlet.clone();
                tokio::spawn(async move { outlet.publish("a/b".into(), "{}".into(), LONG).await })
            })
            .collect();
        for _ in 0..UNDER_WAY {
            assert!(publishing.has_room());
            let message = publishing.next().await.expect("a message");
            publishing.send(message, &mut out).expect("written");
        }
        assert!(!publishing.has_room());
        for id in 0..UNDER_WAY as u16 {
            publishing.acknowledged(FIRST + id, Err("NotAuthorized".to_owned()));
        }
        for publisher in publishers {
            let error = publisher.await.expect("no panic").expect_err("refused");
            assert_eq!(error, Unsent::Refused("NotAuthorized".to_owned()));
        }
        drop(outlet);
        assert!(publishing.next().await.is_none() && !publishing.has_room());
    }
}
