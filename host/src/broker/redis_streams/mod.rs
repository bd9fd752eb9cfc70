//! Redis Streams: the pool of connections, and batches that are stored whole, once, or not at all.

mod commit;
mod layout;
mod session;
mod durability;
mod outbox;
mod letters;
mod kinds;
mod config;
mod pool;
mod probe;

pub use commit::{Commit, CommitError, Guard, Producer, Sealed, Stored};
pub use config::Config;
pub use durability::{Durability, Level};
pub use kinds::{KindError, misfits};
pub use layout::{Layout, Memory, Stream};
pub use letters::{Fields, Letters, LettersError, Listed, Order, Span, Walk};
pub use outbox::{GROUP, Outbox, Waiting, group_is_gone};
pub use pool::{Connection, Pool, PoolError};
pub use probe::probe;
pub use session::Session;
