//! The window against a modelled broker, over thousands of random histories of lost connections.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::super::{
    packet::Publish,
    window::{Taken, Window},
};

/// Packet ids of the modelled broker, far fewer than a real one has, so that they come round.
const IDS: u16 = 60;
const MESSAGES: usize = 300;

/// On the broker's side: not yet acknowledged for good.
struct Held {
    number: usize,
    id: u16,
    qos: u8,
    /// After PUBREC.
    released: bool,
}

enum Down {
    Publish(usize, Publish),
    Release(u16),
    Pong,
}

enum Up {
    Packet([u8; 4]),
    Ping,
}

struct World {
    chance: u64,
    same_content: bool,
    window: Window,
    held: VecDeque<Held>,
    next: usize,
    down: VecDeque<Down>,
    up: VecDeque<Up>,
    /// Marks of pings under way.
    marks: VecDeque<u64>,
    /// Handed on and not settled: number and ticket.
    pending: Vec<(usize, u64)>,
    handed: Vec<u32>,
    wanted: Vec<u32>,
}

impl World {
    fn new(seed: u64, same_content: bool) -> Self {
        Self {
            chance: seed,
            same_content,
            window: Window::new(u64::from(IDS) / 4),
            held: VecDeque::new(),
            next: 0,
            down: VecDeque::new(),
            up: VecDeque::new(),
            marks: VecDeque::new(),
            pending: Vec::new(),
            handed: vec![0; MESSAGES],
            wanted: vec![1; MESSAGES],
        }
    }

    /// A number below `limit`.
    fn any(&mut self, limit: usize) -> usize {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) as usize % limit
    }

    fn publish(&self, held: &Held, dup: bool) -> Down {
        let payload = if self.same_content { "21.5".to_owned() } else { held.number.to_string() };
        let (topic, payload) = (Bytes::from_static(b"t"), Bytes::from(payload));
        Down::Publish(held.number, Publish { dup, retain: false, qos: held.qos, id: held.id, topic, payload, cut: 0 })
    }

    fn step(&mut self) {
        match self.any(100) {
            0..25 => self.send_new(),
            25..50 => self.client_reads(),
            50..65 => self.client_settles(),
            65..75 => self.client_acknowledges(),
            75..97 => self.broker_reads(),
            97 => self.client_gives_up(),
            _ => self.reconnect(),
        }
    }

    fn send_new(&mut self) {
        if self.next == MESSAGES || self.held.len() >= 16 {
            return;
        }
        let (number, id) = (self.next, (self.next % usize::from(IDS)) as u16 + 1);
        if self.held.iter().any(|held| held.id == id) {
            return;
        }
        let held = Held { number, id, qos: 1 + self.any(2) as u8, released: false };
        self.next += 1;
        self.down.push_back(self.publish(&held, false));
        self.held.push_back(held);
    }

    fn client_reads(&mut self) {
        match self.down.pop_front() {
            Some(Down::Publish(number, publish)) => {
                if let Taken::New(ticket) = self.window.take(&publish) {
                    self.handed[number] += 1;
                    self.pending.push((number, ticket));
                }
            }
            Some(Down::Release(id)) => {
                let mut out = BytesMut::new();
                self.window.release(id, &mut out);
                self.write(&out);
            }
            Some(Down::Pong) => {
                let mark = self.marks.pop_front().expect("a ping for each pong");
                self.window.confirm(mark);
            }
            None => {}
        }
    }

    fn client_settles(&mut self) {
        if !self.pending.is_empty() {
            let index = self.any(self.pending.len());
            let (_, ticket) = self.pending.swap_remove(index);
            self.window.settle(ticket);
        }
    }

    fn client_gives_up(&mut self) {
        if !self.pending.is_empty() {
            let index = self.any(self.pending.len());
            let (number, ticket) = self.pending.swap_remove(index);
            self.wanted[number] += 1;
            if self.window.abandon(ticket) {
                self.reconnect();
            }
        }
    }

    fn client_acknowledges(&mut self) {
        let mut out = BytesMut::new();
        self.window.acknowledge(&mut out);
        self.write(&out);
        if self.window.unconfirmed() >= 4 && self.marks.is_empty() {
            self.marks.push_back(self.window.mark());
            self.up.push_back(Up::Ping);
        }
    }

    fn write(&mut self, out: &[u8]) {
        self.up.extend(out.chunks(4).map(|packet| Up::Packet(packet.try_into().expect("four bytes"))));
    }

    fn broker_reads(&mut self) {
        match self.up.pop_front() {
            Some(Up::Packet([kind, _, high, low])) => {
                let id = u16::from_be_bytes([high, low]);
                if kind == 0x50 {
                    let held = self.held.iter_mut().find(|held| held.id == id).expect("a message to release");
                    assert_eq!(held.qos, 2);
                    held.released = true;
                    self.down.push_back(Down::Release(id));
                } else {
                    let qos = if kind == 0x40 { 1 } else { 2 };
                    self.held.retain(|held| held.id != id || held.qos != qos);
                }
            }
            Some(Up::Ping) => self.down.push_back(Down::Pong),
            None => {}
        }
    }

    /// The broker still reads a part of what was sent; the rest, and all that was sent to us, is lost.
    fn reconnect(&mut self) {
        for _ in 0..self.any(self.up.len() + 1) {
            self.broker_reads();
        }
        self.up.clear();
        self.down.clear();
        self.marks.clear();
        self.window.connect(true);
        for held in &self.held {
            let again = if held.released { Down::Release(held.id) } else { self.publish(held, true) };
            self.down.push_back(again);
        }
        self.marks.push_back(self.window.mark());
        self.up.push_back(Up::Ping);
    }
}

#[test]
fn no_history_of_lost_connections_loses_or_repeats_a_message() {
    for seed in 0..4000 {
        let mut world = World::new(seed, seed % 2 == 0);
        for _ in 0..3000 {
            world.step();
        }
        // Then all goes well.
        for _ in 0..20_000 {
            world.send_new();
            world.client_reads();
            world.client_settles();
            world.client_acknowledges();
            world.broker_reads();
            if world.held.is_empty() && world.next == MESSAGES && world.pending.is_empty() {
                break;
            }
        }
        assert!(world.held.is_empty(), "seed {seed}: {} messages stay at the broker", world.held.len());
        let wrong: Vec<_> = (0..MESSAGES).filter(|&i| world.handed[i] != world.wanted[i]).collect();
        assert!(wrong.is_empty(), "seed {seed}: messages {wrong:?} were lost or repeated");
        assert_eq!((world.window.in_flight(), world.window.bytes()), (0, 0), "seed {seed}");
    }
}
