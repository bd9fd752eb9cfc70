//! Redis Streams: the pool of connections, and batches that are stored whole or not at all.

mod commit;
mod outbox;
mod config;
mod pool;
mod probe;

pub use commit::{Commit, CommitError};
pub use config::Config;
pub use outbox::{Outbox, Waiting, group_is_gone};
pub use pool::{Connection, Pool, PoolError};
pub use probe::probe;
