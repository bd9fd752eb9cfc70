//! NATS JetStream: connections that end when they are lost, the stream, publishes that are awaited, and what the stream
//! holds already; and a durable consumer for what other sites share.

mod config;
mod connection;
mod publish;
mod held;
mod consume;
mod stream;
mod meaning;
mod reading;
mod rights;
mod probe;
mod subject;

pub(crate) use config::is_subject;
pub use config::{Config, Looker};
pub use connection::{Connection, ConnectionError, Dial};
pub use consume::{Answer, ConsumeError, Incoming, Pull, Reader, Wanted};
pub use held::{HeldError, Place};
pub use probe::{probe, probe_reading};
pub use publish::{Message, PublishError, Refusal, Sent};
pub use stream::{Adopted, StreamError, adopt};
pub use subject::Subjects;
