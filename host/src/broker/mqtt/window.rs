//! What was taken from the broker and is not yet acknowledged, over reconnects. Pure: no socket, no clock.
//!
//! Each message of a connection gets a *slot*, in order of receipt, and only the settled beginning of that order is
//! acknowledged (MQTT-4.6.0-2, -3). When the connection is lost and the broker resumes the session, it delivers again
//! what it has no acknowledgement for. Slots are therefore carried over by packet id, and a redelivery with the same
//! id, the DUP flag and the same content joins what is carried instead of being handed on again:
//!
//! * still on its way through the host: it is acknowledged when the first delivery settles;
//! * settled, acknowledgement not sent or perhaps not received: it is acknowledged at once.
//!
//! A *ticket* names a slot and is never used again, so an acknowledgement cannot reach another message.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hasher, RandomState},
};

use bytes::BytesMut;

use super::packet::{self, Publish};

/// What became of a PUBLISH.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Hand it on under this ticket.
    New(u64),
    /// It is one that we have, or had.
    Joined,
}

#[derive(Debug)]
struct Slot {
    id: u16,
    qos: u8,
    state: State,
    digest: u64,
    bytes: usize,
    /// The ticket under which it was handed on: its own, or an older one that it has joined.
    handed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    OnItsWay,
    Settled,
    Abandoned,
}

/// A slot of an earlier connection that the broker has not yet delivered again.
#[derive(Debug)]
struct Carried {
    digest: u64,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// Handed on under this ticket and not settled.
    OnItsWay(u64),
    /// Settled, acknowledgement never sent.
    Settled,
    /// PUBACK sent, and nothing shows that the broker has it; the number of messages taken by then.
    Acknowledged(u64),
}

/// Where a ticket of an earlier connection leads.
#[derive(Debug)]
enum Old {
    Carried(u16),
    /// The ticket of the slot that joined it.
    Joined(u64),
}

#[derive(Debug)]
struct Acknowledged {
    id: u16,
    digest: u64,
    taken: u64,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Window {
    hasher: RandomState,
    /// Of this connection, in order of receipt. The front has the ticket `first`.
    slots: VecDeque<Slot>,
    first: u64,
    /// The first ticket of this connection.
    connected: u64,
    bytes: usize,
    old: HashMap<u64, Old>,
    carried: HashMap<u16, Carried>,
    /// How many of `carried` are on their way.
    waiting: usize,
    /// Whether the broker may still be redelivering: it does so before it sends anything new.
    resuming: bool,
    /// QoS 2 ids between PUBREC and PUBREL, with the digest of their message.
    received: HashMap<u16, u64>,
    /// PUBACKs of this connection that nothing shows the broker has, oldest first.
    unconfirmed: VecDeque<Acknowledged>,
    /// Messages of QoS 1 and 2 handed on.
    taken: u64,
    /// So many messages later a PUBACK is forgotten: before packet ids come round, or a message of the same content
    /// that has the same id by then would be taken for a redelivery.
    memory: u64,
    /// PUBACKs ever taken out of `unconfirmed` from its front.
    confirmed: u64,
}

/// A quarter of the packet ids: what a broker may have under way, twice, still fits before they come round.
pub(super) const MEMORY: u64 = 16_384;

impl Window {
    pub fn new(memory: u64) -> Self {
        Self {
            hasher: RandomState::new(),
            slots: VecDeque::new(),
            first: 0,
            connected: 0,
            bytes: 0,
            old: HashMap::new(),
            carried: HashMap::new(),
            waiting: 0,
            resuming: false,
            received: HashMap::new(),
            unconfirmed: VecDeque::new(),
            taken: 0,
            memory,
            confirmed: 0,
        }
    }

    /// A new connection is up.
    pub fn connect(&mut self, session_present: bool) {
        let slots = std::mem::take(&mut self.slots);
        self.first += slots.len() as u64;
        self.connected = self.first;
        self.bytes = 0;
        let unconfirmed = std::mem::take(&mut self.unconfirmed);
        self.confirmed += unconfirmed.len() as u64;
        self.resuming = session_present;
        if !session_present {
            // The broker forgot all of it; late settlements find no ticket and change nothing.
            self.old.clear();
            self.carried.clear();
            self.waiting = 0;
            self.received.clear();
            return;
        }
        self.old.retain(|_, old| matches!(old, Old::Carried(_)));
        for Acknowledged { id, digest, taken } in unconfirmed {
            self.carried.insert(id, Carried { digest, what: What::Acknowledged(taken) });
        }
        for slot in slots.into_iter().filter(|slot| slot.qos > 0) {
            // A PUBREC to be sent again; `received` knows it already, until its PUBREL.
            if slot.qos == 2 && self.received.get(&slot.id) == Some(&slot.digest) {
                continue;
            }
            let what = match slot.state {
                State::OnItsWay => {
                    self.old.insert(slot.handed, Old::Carried(slot.id));
                    What::OnItsWay(slot.handed)
                }
                State::Settled => What::Settled,
                // To be handed on again.
                State::Abandoned => {
                    self.carried.remove(&slot.id);
                    continue;
                }
            };
            self.carried.insert(slot.id, Carried { digest: slot.digest, what });
        }
        self.waiting = self.old.len();
    }

    /// Takes a PUBLISH in.
    pub fn take(&mut self, publish: &Publish) -> Taken {
        if publish.qos == 0 {
            return self.fresh(publish, 0);
        }
        let digest = self.digest(publish);
        // Until its PUBREL a QoS 2 id can mean no other message, DUP or not (MQTT-4.3.3-10).
        if publish.qos == 2 && self.received.get(&publish.id) == Some(&digest) {
            self.push(publish, digest, State::Settled, None);
            return Taken::Joined;
        }
        if publish.dup {
            if self.is_carried(publish.id, digest) {
                return self.join(publish, digest);
            }
            // Some brokers send again on the same connection when an acknowledgement takes long. It is under way.
            let same = |id, other| id == publish.id && other == digest;
            if self.slots.iter().any(|slot| same(slot.id, slot.digest) && slot.state != State::Abandoned)
                || publish.qos == 1 && self.unconfirmed.iter().any(|sent| same(sent.id, sent.digest))
            {
                return Taken::Joined;
            }
        } else {
            // Something new: the redeliveries are over.
            self.resumed();
        }
        // The id means another message now.
        if let Some(Carried { what: What::OnItsWay(ticket), .. }) = self.carried.remove(&publish.id) {
            self.old.remove(&ticket);
            self.waiting -= 1;
        }
        self.received.remove(&publish.id);
        self.fresh(publish, digest)
    }

    /// Whether a PUBLISH is one that we have or had, so that taking it hands nothing on.
    pub fn knows(&self, publish: &Publish) -> bool {
        if publish.qos == 0 {
            return false;
        }
        let digest = self.digest(publish);
        publish.qos == 2 && self.received.get(&publish.id) == Some(&digest)
            || publish.dup && self.is_carried(publish.id, digest)
    }

    fn is_carried(&self, id: u16, digest: u64) -> bool {
        self.carried.get(&id).is_some_and(|carried| {
            let fresh = !matches!(carried.what, What::Acknowledged(taken) if self.taken - taken > self.memory);
            carried.digest == digest && fresh
        })
    }

    /// What the broker has not delivered again by now, although we acknowledged it, was acknowledged indeed.
    fn resumed(&mut self) {
        if std::mem::take(&mut self.resuming) {
            self.carried.retain(|_, carried| !matches!(carried.what, What::Acknowledged(_)));
        }
    }

    fn join(&mut self, publish: &Publish, digest: u64) -> Taken {
        let Some(carried) = self.carried.remove(&publish.id) else { return Taken::Joined };
        match carried.what {
            What::OnItsWay(handed) => {
                let ticket = self.push(publish, digest, State::OnItsWay, Some(handed));
                self.old.insert(handed, Old::Joined(ticket));
                self.waiting -= 1;
            }
            What::Settled | What::Acknowledged(_) => {
                self.push(publish, digest, State::Settled, None);
            }
        }
        Taken::Joined
    }

    fn fresh(&mut self, publish: &Publish, digest: u64) -> Taken {
        self.taken += u64::from(publish.qos > 0);
        Taken::New(self.push(publish, digest, State::OnItsWay, None))
    }

    fn push(&mut self, publish: &Publish, digest: u64, state: State, handed: Option<u64>) -> u64 {
        let ticket = self.first + self.slots.len() as u64;
        let bytes = publish.payload.len();
        self.bytes += bytes;
        let handed = handed.unwrap_or(ticket);
        self.slots.push_back(Slot { id: publish.id, qos: publish.qos, state, digest, bytes, handed });
        ticket
    }

    /// Content and topic, under a key of this process, so that nobody can make two messages look alike.
    fn digest(&self, publish: &Publish) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(&publish.topic);
        hasher.write_usize(publish.topic.len());
        hasher.write(&publish.payload);
        hasher.write_usize(publish.cut);
        hasher.finish()
    }

    /// The delivery is stored.
    pub fn settle(&mut self, ticket: u64) {
        self.conclude(ticket, State::Settled);
    }

    /// The delivery was given up. True when only a new connection can bring it again.
    pub fn abandon(&mut self, ticket: u64) -> bool {
        self.conclude(ticket, State::Abandoned)
    }

    /// Whether it was a delivery of this connection that the broker would redeliver.
    fn conclude(&mut self, ticket: u64, state: State) -> bool {
        let ticket = if ticket >= self.connected {
            ticket
        } else {
            match self.old.remove(&ticket) {
                Some(Old::Joined(ticket)) => ticket,
                Some(Old::Carried(id)) => {
                    self.waiting -= 1;
                    if state == State::Abandoned {
                        self.carried.remove(&id);
                    } else if let Some(carried) = self.carried.get_mut(&id) {
                        carried.what = What::Settled;
                    }
                    return false;
                }
                None => return false,
            }
        };
        let index = ticket.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) else { return false };
        // QoS 0 is delivered at most once: it is over, however it ended.
        slot.state = if slot.qos == 0 { State::Settled } else { state };
        slot.state == State::Abandoned
    }

    /// Writes the acknowledgements that are due and returns their number.
    pub fn acknowledge(&mut self, out: &mut BytesMut) -> usize {
        let mut written = 0;
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.state == State::Settled) {
            self.first += 1;
            self.bytes -= slot.bytes;
            match slot.qos {
                0 => continue,
                1 => {
                    packet::puback(slot.id, out);
                    let taken = self.taken;
                    self.unconfirmed.push_back(Acknowledged { id: slot.id, digest: slot.digest, taken });
                }
                _ => {
                    packet::pubrec(slot.id, out);
                    self.received.insert(slot.id, slot.digest);
                }
            }
            written += 1;
        }
        written
    }

    /// PUBREL. Always answered, for a process that crashed after its PUBREC remembers nothing of it.
    pub fn release(&mut self, id: u16, out: &mut BytesMut) {
        self.received.remove(&id);
        packet::pubcomp(id, out);
    }

    /// A mark for [`Window::confirm`]: everything acknowledged so far.
    pub fn mark(&self) -> u64 {
        self.confirmed + self.unconfirmed.len() as u64
    }

    /// The broker has answered something that was sent after `mark`, so it has the acknowledgements before it. If that
    /// was the first question of a connection, it has also sent its redeliveries: they come right after CONNACK.
    pub fn confirm(&mut self, mark: u64) {
        self.resumed();
        while self.confirmed < mark && self.unconfirmed.pop_front().is_some() {
            self.confirmed += 1;
        }
    }

    /// Nothing is under way: whatever the broker has delivered is acknowledged, and it has the acknowledgements. That
    /// includes what it had to deliver again.
    pub fn is_quiet(&self) -> bool {
        !self.resuming && self.in_flight() == 0 && self.unconfirmed.is_empty() && self.received.is_empty()
    }

    /// Acknowledgements that nothing shows the broker has.
    pub fn unconfirmed(&self) -> usize {
        self.unconfirmed.len()
    }

    /// Deliveries taken and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.slots.len() + self.waiting
    }

    /// Payload bytes of this connection's deliveries that are not acknowledged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn publish(qos: u8, id: u16, payload: &'static str) -> Publish {
        let payload = Bytes::from_static(payload.as_bytes());
        Publish { dup: false, retain: false, qos, id, topic: Bytes::from_static(b"t"), payload, cut: 0 }
    }

    fn again(first: &Publish) -> Publish {
        Publish { dup: true, ..first.clone() }
    }

    fn new(window: &mut Window, publish: &Publish) -> u64 {
        match window.take(publish) {
            Taken::New(ticket) => ticket,
            Taken::Joined => panic!("{publish:?} is not new"),
        }
    }

    /// Ids acknowledged by this call, with the type of the packet.
    fn acknowledged(window: &mut Window) -> Vec<(u8, u16)> {
        let mut out = BytesMut::new();
        window.acknowledge(&mut out);
        out.chunks(4).map(|packet| (packet[0], u16::from_be_bytes([packet[2], packet[3]]))).collect()
    }

    #[test]
    fn acknowledges_in_order_of_receipt() {
        let mut window = Window::new(MEMORY);
        let tickets: Vec<_> =
            [(1, 1), (2, 2), (0, 0), (1, 3)].map(|(qos, id)| new(&mut window, &publish(qos, id, "p"))).into();
        window.settle(tickets[3]);
        window.settle(tickets[1]);
        assert_eq!(acknowledged(&mut window), []);
        window.settle(tickets[0]);
        assert_eq!(acknowledged(&mut window), [(0x40, 1), (0x50, 2)]);
        window.settle(tickets[2]);
        assert_eq!(acknowledged(&mut window), [(0x40, 3)]);
        assert_eq!((window.in_flight(), window.bytes()), (0, 0));
    }

    #[test]
    fn a_redelivery_joins_what_is_still_on_its_way() {
        let mut window = Window::new(MEMORY);
        for qos in [1, 2] {
            let first = publish(qos, 5, "p");
            let ticket = new(&mut window, &first);
            for _ in 0..2 {
                window.connect(true);
                assert_eq!(window.in_flight(), 1);
                assert_eq!(window.take(&again(&first)), Taken::Joined);
                assert_eq!((window.in_flight(), acknowledged(&mut window)), (1, vec![]));
            }
            window.settle(ticket);
            assert_eq!(acknowledged(&mut window), [(if qos == 1 { 0x40 } else { 0x50 }, 5)]);
            window.release(5, &mut BytesMut::new());
        }
    }

    #[test]
    fn a_redelivery_of_what_settled_meanwhile_is_acknowledged_at_once() {
        let mut window = Window::new(MEMORY);
        let first = publish(1, 5, "p");
        let ticket = new(&mut window, &first);
        window.connect(true);
        window.settle(ticket);
        assert_eq!(window.take(&again(&first)), Taken::Joined);
        assert_eq!(acknowledged(&mut window), [(0x40, 5)]);
    }

    #[test]
    fn a_redelivery_of_what_was_acknowledged_into_a_dead_connection_is_acknowledged_again() {
        let mut window = Window::new(MEMORY);
        let (one, two) = (publish(1, 5, "p"), publish(2, 6, "p"));
        for publish in [&one, &two] {
            let ticket = new(&mut window, publish);
            window.settle(ticket);
        }
        assert_eq!(acknowledged(&mut window), [(0x40, 5), (0x50, 6)]);
        window.connect(true);
        assert_eq!(window.take(&again(&one)), Taken::Joined);
        assert_eq!(window.take(&again(&two)), Taken::Joined);
        assert_eq!(acknowledged(&mut window), [(0x40, 5), (0x50, 6)]);
    }

    #[test]
    fn an_id_that_means_another_message_is_handed_on() {
        let mut window = Window::new(MEMORY);
        let first = publish(1, 5, "p");
        let ticket = new(&mut window, &first);
        window.connect(true);
        // Same id and DUP, other content; then the same content without DUP.
        let other = new(&mut window, &again(&publish(1, 5, "q")));
        window.settle(ticket);
        assert_eq!(acknowledged(&mut window), [], "the late settlement belongs to a message that is gone");
        window.settle(other);
        assert_eq!(acknowledged(&mut window), [(0x40, 5)]);
        new(&mut window, &publish(1, 5, "q"));
    }

    #[test]
    fn a_confirmed_acknowledgement_is_forgotten() {
        let mut window = Window::new(MEMORY);
        let first = publish(1, 5, "p");
        let ticket = new(&mut window, &first);
        window.settle(ticket);
        acknowledged(&mut window);
        window.confirm(window.mark());
        assert_eq!(window.unconfirmed(), 0);
        window.connect(true);
        new(&mut window, &again(&first));
    }

    #[test]
    fn redeliveries_end_with_the_first_new_message() {
        let mut window = Window::new(MEMORY);
        let first = publish(1, 5, "p");
        let ticket = new(&mut window, &first);
        window.settle(ticket);
        acknowledged(&mut window);
        window.connect(true);
        new(&mut window, &publish(1, 6, "p"));
        new(&mut window, &again(&first));
    }

    #[test]
    fn an_acknowledgement_is_forgotten_before_packet_ids_come_round() {
        let mut window = Window::new(10);
        let first = publish(1, 5, "p");
        let ticket = new(&mut window, &first);
        window.settle(ticket);
        acknowledged(&mut window);
        window.connect(true);
        for id in 6..=16 {
            new(&mut window, &again(&publish(1, id, "p")));
        }
        new(&mut window, &again(&first));
    }

    #[test]
    fn a_lost_session_forgets_everything() {
        let mut window = Window::new(MEMORY);
        let (one, two) = (publish(1, 5, "p"), publish(2, 6, "p"));
        let ticket = new(&mut window, &one);
        let ticket2 = new(&mut window, &two);
        window.connect(false);
        let ticket3 = new(&mut window, &again(&one));
        window.settle(ticket);
        window.settle(ticket2);
        assert_eq!(acknowledged(&mut window), []);
        window.settle(ticket3);
        assert_eq!(acknowledged(&mut window), [(0x40, 5)]);
        assert_eq!(window.in_flight(), 0);
    }

    #[test]
    fn what_was_abandoned_is_handed_on_again() {
        let mut window = Window::new(MEMORY);
        let (one, two) = (publish(1, 5, "p"), publish(1, 6, "q"));
        let (first, second) = (new(&mut window, &one), new(&mut window, &two));
        assert!(window.abandon(first), "only a new connection brings it again");
        window.connect(true);
        assert!(!window.abandon(second), "its redelivery is still to come");
        new(&mut window, &again(&one));
        new(&mut window, &again(&two));
    }

    #[test]
    fn qos_2_is_handed_on_once_until_its_release() {
        let mut window = Window::new(MEMORY);
        let message = publish(2, 9, "p");
        let ticket = new(&mut window, &message);
        assert_eq!(window.take(&again(&message)), Taken::Joined, "sent again on the same connection");
        window.settle(ticket);
        assert_eq!(acknowledged(&mut window), [(0x50, 9)]);
        assert_eq!(window.take(&again(&message)), Taken::Joined);
        assert_eq!(acknowledged(&mut window), [(0x50, 9)]);
        let mut out = BytesMut::new();
        window.release(9, &mut out);
        assert_eq!(&out[..], [0x70, 2, 0, 9]);
        new(&mut window, &message);
    }

    #[test]
    fn a_finished_qos_2_message_leaves_nothing_behind() {
        let mut window = Window::new(MEMORY);
        let message = publish(2, 9, "p");
        let ticket = new(&mut window, &message);
        window.settle(ticket);
        acknowledged(&mut window);
        for _ in 0..2 {
            window.connect(true);
            assert_eq!(window.take(&again(&message)), Taken::Joined);
        }
        assert_eq!(acknowledged(&mut window), [(0x50, 9)]);
        window.release(9, &mut BytesMut::new());
        window.connect(true);
        new(&mut window, &again(&message));
    }

    #[test]
    fn an_unknown_release_is_answered() {
        let mut out = BytesMut::new();
        Window::new(MEMORY).release(77, &mut out);
        assert_eq!(&out[..], [0x70, 2, 0, 77]);
    }
}
