//! Redis Streams: the pool of connections, and batches that are stored whole, once, or not at all.

mod commit;
mod sealed;
mod record;
mod layout;
mod session;
mod durability;
mod outbox;
mod waiting;
mod raw;
mod letters;
mod search;
mod kinds;
mod config;
mod keys;
mod cluster;
mod pool;
mod probe;

pub use commit::{Commit, Guard, Message, Normalized, Producer};
pub(crate) use config::check_name;
pub use config::{Config, Step};
pub use durability::{Durability, Level};
pub use kinds::{KindError, misfits};
pub use layout::{Layout, Memory, Stream};
pub use letters::{Fields, Letters, LettersError, Listed, Order, Span, Walk};
pub use outbox::{Backlog, Outbox, group_is_gone};
pub use pool::{Connection, Pool, PoolError};
pub use probe::{probe, probe_raw};
pub use raw::{Claimed, Pending, RawEntry, RawStream, Standing, Taken, groups_of};
pub use record::RecordError;
pub use sealed::{CommitError, Sealed, Stored};
pub use search::{Looked, SearchError, Wanted, search, text_at};
pub use session::Session;
pub use waiting::Waiting;
