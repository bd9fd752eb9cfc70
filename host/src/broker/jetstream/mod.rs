//! NATS JetStream: one connection that keeps itself up, the stream, and publishes that are awaited.

mod config;
mod connection;
mod probe;
mod stream;
mod subject;

pub use config::Config;
pub use connection::{Connection, ConnectionError, Message, PublishError, is_too_large};
pub use probe::probe;
pub use stream::{Adopted, StreamError, adopt};
pub use subject::Subjects;
