//! One connection, from CONNACK to its end.

use std::{collections::VecDeque, time::Duration};

use tokio::{
    sync::mpsc::{Permit, Sender},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Error,
    packet::{self, Packet, Welcome},
    standing::{Chunks, Standing},
    wire::Wire,
};
use crate::event::{Closed, Intake};

/// A PINGREQ goes out with every so many PUBACKs: its answer shows that the broker has them, see
/// [`Window::confirm`](super::window::Window::confirm). Far fewer than there are packet ids, so that none comes round
/// before that.
const ACKNOWLEDGED_A_PING: usize = 1024;

/// Pings under way.
struct Pings {
    interval: Duration,
    next: Instant,
    /// When each was sent, and the window's mark then.
    sent: VecDeque<(Instant, u64)>,
    /// The last sign of life, or the start of reading if that was later: while we do not read, nothing can come.
    heard: Instant,
}

/// Runs a connection until it fails or `close` is cancelled, and returns it in the latter case, to be finished.
pub(super) async fn run<I: Intake>(
    standing: &mut Standing<I>,
    mut wire: Wire,
    welcome: &Welcome,
    chunks: &Sender<Chunks>,
    close: &CancellationToken,
) -> Result<Wire, Error> {
    let interval = welcome.keep_alive.filter(|&seconds| seconds > 0).map(|seconds| Duration::from_secs(seconds.into()));
    let interval = interval.unwrap_or(standing.config.keep_alive).max(Duration::from_secs(1));
    let now = Instant::now();
    let mut pings = Pings { interval, next: now + interval, sent: VecDeque::new(), heard: now };
    // The answer shows that the broker has sent its redeliveries.
    pings.send(standing.window.mark(), &mut wire);
    let mut permit: Option<Permit<'_, Chunks>> = None;
    let mut reading = true;
    let (mut is_told, mut tell) = (false, now);
    loop {
        standing.enter()?;
        standing.window.acknowledge(&mut wire.out);
        if permit.is_none() {
            permit = chunks.try_reserve().ok();
        }
        let stopping = standing.stop_reading.is_cancelled();
        let mut room = stopping;
        if permit.is_some() || stopping {
            let received =
                standing.receive(&mut wire, |standing, wire, packet| take_aside(standing, wire, &mut pings, packet))?;
            room = received.all;
            let events: usize = received.chunks.iter().map(|(_, chunk)| chunk.len()).sum();
            if events > 0
                && let Some(permit) = permit.take()
            {
                standing.source.received.inc_by(events as u64);
                standing.source.queue.add(i64::try_from(events).unwrap_or(i64::MAX));
                permit.send(received.chunks);
            }
            // A redelivery may have joined what is settled already.
            standing.window.acknowledge(&mut wire.out);
        }
        standing.broker.in_flight.set(i64::try_from(standing.window.in_flight()).unwrap_or(i64::MAX));
        // Also where that is all that it takes to be at rest.
        let enough = if is_told || standing.window.in_flight() > 0 { ACKNOWLEDGED_A_PING } else { 1 };
        if standing.window.unconfirmed() >= enough && pings.sent.is_empty() {
            pings.send(standing.window.mark(), &mut wire);
        }
        if close.is_cancelled() {
            return Ok(wire);
        }
        if !is_told && standing.window.is_quiet() && Instant::now() >= tell {
            is_told = standing.tell_quiet().await;
            tell = Instant::now() + interval;
        }

        let read = room && (permit.is_some() || stopping);
        if read && !reading {
            pings.heard = Instant::now();
        }
        reading = read;
        let due = standing.subscribing.due.map_or(pings.next, |due| due.min(pings.next));
        tokio::select! {
            // What came and what goes first; all the rest is looked at in each round anyway.
            biased;
            turned = wire.turn(read) => {
                turned?;
                pings.heard = Instant::now();
            }
            () = standing.ledger.written() => {}
            message = standing.publishing.next(), if standing.publishing.has_room() => {
                if let Some(message) = message {
                    standing.publishing.send(message, &mut wire.out)?;
                }
            }
            reserved = chunks.reserve(), if permit.is_none() && !stopping => {
                permit = Some(reserved.map_err(|_| Closed)?);
            }
            () = standing.stop_reading.cancelled(), if !stopping => {}
            () = close.cancelled() => {}
            () = tokio::time::sleep_until(due) => {}
        }
        let now = Instant::now();
        if now >= pings.next {
            pings.check(now, read)?;
            pings.send(standing.window.mark(), &mut wire);
            pings.next = now + pings.interval;
        }
        if standing.subscribing.due.is_some_and(|due| now >= due) {
            standing.subscribing.ask(&standing.config.subscriptions, &mut wire.out)?;
        }
    }
}

fn take_aside<I: Intake>(
    standing: &mut Standing<I>,
    wire: &mut Wire,
    pings: &mut Pings,
    packet: Packet,
) -> Result<(), Error> {
    match packet {
        Packet::Release(id) => standing.window.release(id, &mut wire.out),
        Packet::Acknowledged(id, answer) => standing.publishing.acknowledged(id, answer),
        Packet::Pong => {
            if let Some((_, mark)) = pings.sent.pop_front() {
                standing.window.confirm(mark);
            }
        }
        Packet::Granted(id, grants) => {
            standing.subscribing.granted(&standing.config.subscriptions, id, &grants);
            standing.up();
        }
        Packet::Farewell(error) => return Err(error),
        Packet::Welcome(_) => return Err(Error::Malformed("a second CONNACK".into())),
        Packet::Publish(_) => {}
        Packet::Other => debug!("ignored a packet that a subscriber has no use for"),
    }
    Ok(())
}

impl Pings {
    fn send(&mut self, mark: u64, wire: &mut Wire) {
        packet::ping(&mut wire.out);
        self.sent.push_back((Instant::now(), mark));
    }

    /// An error when a ping is unanswered and nothing else has come for a whole interval, although we were reading.
    fn check(&self, now: Instant, reading: bool) -> Result<(), Error> {
        match self.sent.front() {
            Some(&(sent, _)) if reading && now.duration_since(sent.max(self.heard)) >= self.interval => {
                Err(Error::Silent(self.interval))
            }
            _ => Ok(()),
        }
    }
}
