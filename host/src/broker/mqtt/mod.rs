//! MQTT, where raw events come from: a persistent session that acknowledges a message when it is stored, not before.
//!
//! # Why `rumqttc` lends its packet codec and nothing else
//!
//! The event loop of rumqttc 0.25 ends with an error when a PUBREL names a packet id that it does not remember. After
//! a crash between PUBREC and PUBCOMP the broker opens each resumed session with just such a PUBREL, so that a client
//! of that loop connects, fails and connects again for ever. It also hands out one packet at a time, keeps
//! acknowledgements of a lost connection to send them on the next one, where the same packet id may mean another
//! message, and its TLS pins a certificate verifier with open advisories. Its codec has none of this, so the
//! connection is ours:
//!
//! | file | what lives there |
//! |---|---|
//! | `config` | `[mqtt]` |
//! | `dial`, `tls` | from the URL to an open socket |
//! | `packet` | the codec of both versions, seen as one |
//! | `wire` | a socket with its two buffers |
//! | `handshake`, `subscribing` | CONNECT and SUBSCRIBE, and what the broker thinks of them |
//! | `publishing` | what we publish ourselves |
//! | `topics` | from a topic to a context |
//! | `window` | what was taken and is not yet acknowledged, over reconnects; no input or output |
//! | `session`, `standing`, `connection` | the task: reconnect; what outlives a connection; one connection |
//! | `probe` | `aurora check --connect` |
//!
//! # What is promised
//!
//! A message is acknowledged (PUBACK, PUBREC) when its duty is settled, in order of receipt as MQTT wants it
//! (MQTT-4.6.0-2 and -3). Over a lost connection a message that is still on its way is not handed on a second time:
//! its redelivery joins it. Over a crash of this process it is handed on again, with the same
//! [`Identity`](crate::event::Identity).
//!
//! Deliberately absent: topic aliases and subscription identifiers (the codec miscounts the latter), a will, and a
//! Maximum Packet Size, since a broker drops what is larger and nobody would ever see a dead letter.

mod config;
mod error;
mod dial;
mod tls;
mod packet;
mod wire;
mod handshake;
mod subscribing;
mod topics;
mod publishing;
mod window;
mod standing;
mod connection;
mod session;
mod probe;

#[cfg(test)]
mod tests;

pub use config::*;
pub(crate) use config::{check_filter, overlap as filters_overlap};
pub use error::Error;
pub use probe::probe;
pub use publishing::{Outgoings, Outlet, Unsent, outlet};
pub use session::Session;
pub(crate) use topics::matches as topic_matches;
