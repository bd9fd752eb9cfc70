//! What an MQTT broker handed over, and what was acknowledged to it: read off the wire, so that what the broker forgets
//! or repeats can be told from what we do.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    frames::{Frames, kind},
    unix_ms,
};

/// Reads along on the connections of one proxy.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Mutex<Vec<Handed>>>);

/// A PUBLISH that went to the daemon.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Packet id.
    pub id: u16,
    /// Whether the broker says that it is a repeat.
    pub dup: bool,
    /// The message.
    pub payload: Vec<u8>,
    /// When the daemon acknowledged it, by PUBACK or PUBREC, milliseconds since 1970-01-01 UTC.
    pub settled_ms: Option<i64>,
    /// Which connection.
    connection: usize,
}

/// One way of one connection.
#[derive(Debug)]
pub(crate) struct Way {
    tap: Tap,
    connection: usize,
    frames: Frames,
    /// Of the CONNECT; both ways have to know it.
    version: Arc<Mutex<u8>>,
}

impl Tap {
    /// Everything handed over so far, in order.
    #[must_use]
    pub fn handed(&self) -> Vec<Handed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The two ways of a new connection: to the broker, to the daemon.
    pub(crate) fn connection(&self) -> (Way, Way) {
        static CONNECTIONS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let connection = CONNECTIONS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let version = Arc::new(Mutex::new(4));
        let way = || Way { tap: self.clone(), connection, frames: Frames::default(), version: Arc::clone(&version) };
        (way(), way())
    }
}

impl Way {
    /// Bytes that have passed.
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
        let mut handed = self.tap.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        for frame in self.frames.by_ref() {
            match frame.kind() {
                // The level stands after the name, `MQTT` with its length.
                kind::CONNECT => *version = frame.body.get(6).copied().unwrap_or(4),
                kind::PUBLISH => {
                    let Some((id, payload)) = frame.message(*version == 5) else { continue };
                    let (dup, payload, connection) = (frame.dup(), payload.to_vec(), self.connection);
                    handed.push(Handed { id, dup, payload, settled_ms: None, connection });
                }
                kind::PUBACK | kind::PUBREC => {
                    let (id, connection) = (frame.id(), self.connection);
                    let of_it = |handed: &&mut Handed| handed.id == id && handed.connection == connection;
                    if let Some(handed) = handed.iter_mut().rev().find(of_it) {
                        handed.settled_ms = Some(unix_ms());
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{connect, publish};

    #[test]
    fn an_acknowledgement_settles_the_message_of_its_connection_and_no_other() {
        let tap = Tap::default();
        let mut bytes = Vec::new();
        publish("t", 1, 7, b"payload", &mut bytes);
        for acknowledged in [false, true] {
            let (mut to_broker, mut to_daemon) = tap.connection();
            let mut hello = Vec::new();
            connect("c", &mut hello);
            to_broker.see(&hello);
            to_daemon.see(&bytes);
            if acknowledged {
                to_broker.see(b"\x40\x02\x00\x07");
            }
        }
        let handed = tap.handed();
        assert_eq!(handed.iter().map(|handed| handed.settled_ms.is_some()).collect::<Vec<_>>(), [false, true]);
        assert_eq!(handed[0].payload, b"payload");
    }
}
