//! One batch, stored in one step of Redis: the script `commit.lua`. Everything that says that the batch was stored is
//! written in the step that stores it, so there is no instant at which one is true without the other.
//!
//! # Why nothing is stored twice
//!
//! A batch has a producer (one lane of one process) and a number. The script keeps the number of each producer's last
//! batch; a batch with a number that is not higher was stored, and is not stored again. Batches of a producer are sent
//! one after the other, from the lane or out of the spool, so the numbers only rise. What can go wrong, in order:
//!
//! | broken at this point | what happens then |
//! |---|---|
//! | before the script has run | nothing is stored; the same batch is sent again |
//! | the script has run, its answer is lost | the same batch is sent again under its number, and is recognised |
//! | the batch waits in the spool, with its number | likewise: it may have run before it was spooled, or between its replay and its removal |
//! | Redis dies inside the script | a script's writes reach the append-only file together; a torn end is cut off when Redis starts |
//! | the host dies before the answer | its sources deliver again: see below |
//! | what the dead host had sent arrives late, after its successor began | it has an older epoch, and is refused: each process registers before its first commit, which raises the epoch |
//! | Redis comes back with an older state | the number of the last batch is older by as much, which the next batch notices and reports: [`Stored::lost`]. No client can repair that; see "How sure is stored" in `deploy/README.md` |
//!
//! A delivery that comes again in another batch is recognised by its [`Guard`], in the same step:
//!
//! * **MQTT**: the session keeps, for each packet id, the digest of the delivery that was stored under it. A delivery
//!   that the broker marks as a repetition (DUP), with the digest of its packet id, is a repeat. One without DUP is new,
//!   for a broker reuses an id only after it has our acknowledgement. Both together could still be wrong where a broker
//!   reuses an id at once, for the same content, and we die before the second one is stored: the host could not tell it
//!   from the first. So a mark counts only for as many deliveries as can be unacknowledged at a time (the horizon);
//!   what remains needs equal bytes on the same topic under the same id within that horizon, which no broker that
//!   counts its ids up (mosquitto, EMQX, NATS, RabbitMQ) produces.
//! * **Entries of a Redis stream**: the step acknowledges the entry itself. If it was not pending any more, another
//!   commit has stored it.
//! * **Lines of an HTTP request with a key**: each has a mark, for a day.
//!
//! **Events of equal content** within the window of dedup are one event, whatever delivered them: the step looks all
//! of the batch's keys up, stores those that are new, and counts the others towards the first. This also catches what a
//! broker delivers again under new packet ids, because it was killed and forgot that it had delivered it.

use std::sync::{Arc, LazyLock};

use redis::{Arg, Cmd, RedisError, Script, Value, from_redis_value};
use uuid::Uuid;

use super::{Connection, Layout, Pool, PoolError, Session, Stream};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// Layout of the script's arguments, first of them. A spool may hold batches of an older version.
const LAYOUT: &str = "1";

/// Under what a delivery is recognised when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard<'a> {
    /// It never comes again.
    None,
    /// A packet of MQTT.
    Packet {
        /// Its packet id.
        id: u16,
        /// Digest of what it says and where it came from.
        digest: [u8; 8],
        /// Whether the broker says that it delivers it again.
        dup: bool,
    },
    /// A line of a request that its client may send again.
    Request {
        /// Digest of the request's key.
        key: &'a [u8; 16],
        /// Which line.
        line: u64,
        /// Digest of what it says: another text under the same key is another event.
        digest: [u8; 8],
    },
    /// An entry that was read through a consumer group. It is acknowledged, and removed from its stream or not.
    Entry {
        /// The stream.
        stream: Stream,
        /// The group.
        group: &'a str,
        /// The entry's id.
        id: &'a str,
        /// Whether it goes from the stream.
        remove: bool,
    },
    /// An entry that is taken out of its stream.
    Removal {
        /// The stream.
        stream: Stream,
        /// The entry's id.
        id: &'a str,
    },
}

/// A batch while it is put together: deliveries, each with its events, each with its entries. Made by a [`Producer`].
#[derive(Debug)]
pub struct Commit {
    command: Cmd,
    layout: Arc<Layout>,
    keys: Vec<[u8; 16]>,
    entries: Vec<Stream>,
    /// Whether there is anything to do: a delivery alone may have to be acknowledged.
    is_empty: bool,
}

/// Numbers the batches of one lane.
#[derive(Debug)]
pub struct Producer {
    name: String,
    layout: Arc<Layout>,
    number: u64,
}

impl Producer {
    pub(super) fn new(name: String, layout: &Arc<Layout>) -> Self {
        Self { name, layout: Arc::clone(layout), number: 0 }
    }

    /// Begins a batch of about `bytes` bytes.
    #[must_use]
    pub fn begin(&self, bytes: usize) -> Commit {
        let keys = &self.layout.keys;
        let mut command = Cmd::with_capacity(64 + bytes / 64, 512 + bytes);
        command.arg("EVALSHA").arg(SCRIPT.get_hash()).arg(keys.len()).arg(keys);
        command.arg(LAYOUT).arg(&self.name).arg(&self.layout.settings);
        Commit { command, layout: Arc::clone(&self.layout), keys: Vec::new(), entries: Vec::new(), is_empty: true }
    }

    /// Ends a batch; it is this producer's next. None if there is nothing to store.
    pub fn seal(&mut self, commit: Commit) -> Option<Sealed> {
        let Commit { mut command, layout, keys, entries, is_empty } = commit;
        if is_empty {
            return None;
        }
        self.number += 1;
        for key in &keys {
            command.arg(&key[..]);
        }
        command.arg(keys.len()).arg(self.number);
        Some(Sealed { command, layout, entries, number: self.number, is_foreign: false, epoch: None })
    }
}

impl Commit {
    /// The streams that it may write to.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Begins a delivery.
    pub fn delivery(&mut self, guard: Guard<'_>) {
        let command = &mut self.command;
        match guard {
            Guard::None => command.arg("n"),
            Guard::Packet { id, digest, dup } => command.arg("m").arg(id).arg(&digest[..]).arg(u8::from(dup)),
            Guard::Request { key, line, digest } => {
                command.arg("k").arg(hex(key)).arg(format!("{line}:{}", hex(&digest)))
            }
            Guard::Entry { stream, group, id, remove } => {
                let operation = if remove { "a" } else { "c" };
                self.is_empty = false;
                command.arg(operation).arg(stream.0 + 1).arg(group).arg(id)
            }
            Guard::Removal { stream, id } => {
                self.is_empty = false;
                command.arg("x").arg(stream.0 + 1).arg(id)
            }
        };
    }

    /// Begins an event of the delivery. Events of the same `key` are one, within the window; none: it is never.
    pub fn event(&mut self, key: Option<[u8; 16]>, id: Uuid) {
        self.command.arg("v");
        match key {
            Some(key) => {
                self.command.arg(&key[..]);
                self.keys.push(key);
            }
            None => {
                self.command.arg("");
            }
        }
        self.command.arg(&*id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }

    /// An entry of the event: normalized, as consumers read it.
    pub fn normalized(&mut self, stream: Stream, data: &[u8], severity: &str, source: &str, category: &str) {
        self.add("e", stream).arg(data).arg(severity).arg(source).arg(category);
    }

    /// An entry of the event: a message for other sites.
    pub fn outbox(&mut self, stream: Stream, subject: &str, id: &str, kind: &str, data: &[u8]) {
        self.add("o", stream).arg(subject).arg(id).arg(kind).arg(data);
    }

    /// An entry of the delivery, or of none.
    pub fn entry(&mut self, stream: Stream, fields: &[(&str, &[u8])]) {
        let command = self.add("g", stream).arg(2 * fields.len());
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    fn add(&mut self, operation: &str, stream: Stream) -> &mut Cmd {
        self.entries.push(stream);
        self.is_empty = false;
        // The script counts from 1.
        self.command.arg(operation).arg(stream.0 + 1)
    }
}

/// A batch with its number, to be stored until it is.
#[derive(Debug)]
pub struct Sealed {
    command: Cmd,
    layout: Arc<Layout>,
    entries: Vec<Stream>,
    /// Its number among its producer's.
    number: u64,
    /// Whether it is of a session of another name, whose epoch is not ours.
    is_foreign: bool,
    /// The epoch that is its last argument, once there is one.
    epoch: Option<u64>,
}

/// What became of a batch. All of its positions count from 0, in the order in which things were added to the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// It had been stored before. What follows is unknown then, and empty.
    pub before: bool,
    /// Batches of this producer that Redis had stored and has no more.
    pub lost: u64,
    /// Deliveries of which nothing was stored, for they had been before.
    pub repeats: Vec<usize>,
    /// Events that were not stored, for their content had been; with the id of the first.
    pub suppressed: Vec<(usize, Uuid)>,
    /// Entries that Redis refused, and what it says: their key holds something that is no stream.
    pub refused: Vec<(usize, String)>,
}

/// A batch is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke: send the same batch again. After a break it may have been stored.
    #[error("Redis did not store the batch")]
    Again(#[source] RedisError),
    /// It is stored, and not yet as surely as `redis.durability` wants it: send it again.
    #[error("the batch is stored, but redis.durability wants more: {0}")]
    NotSure(String),
    /// Another process has registered under this session. Nothing of this one will be stored any more.
    #[error(
        "another daemon has registered at this Redis as {name:?}; give each its own mqtt.client_id, or end the other one"
    )]
    Superseded {
        /// The session's name.
        name: String,
    },
    /// An answer that the script does not give.
    #[error("Redis answered something else than the script does: {0}")]
    Answer(String),
}

impl Sealed {
    /// Stream of an entry; none for a batch out of a record.
    #[must_use]
    pub fn stream_of(&self, entry: usize) -> Option<&str> {
        self.entries.get(entry).map(|&stream| self.layout.name(stream))
    }

    /// As it is kept on disk: the command, in the Redis protocol (RESP2), without its last argument, the epoch.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        match self.epoch {
            None => self.command.get_packed_command(),
            Some(_) => {
                let mut command = Cmd::new();
                let all = self.command.args_iter().len();
                self.command.args_iter().take(all - 1).for_each(|arg| push(&mut command, arg));
                command.get_packed_command()
            }
        }
    }

    /// Out of [`record`](Self::record).
    ///
    /// # Errors
    /// If it is none.
    pub fn of_record(record: &[u8], layout: &Arc<Layout>) -> Result<Self, RedisError> {
        let arguments: Vec<Vec<u8>> = from_redis_value(redis::parse_redis_value(record)?)?;
        let mut command = Cmd::with_capacity(arguments.len(), record.len());
        for (index, argument) in arguments.iter().enumerate() {
            match index {
                // The script of this version knows the layouts of older ones.
                1 => command.arg(SCRIPT.get_hash()),
                _ => command.arg(argument),
            };
        }
        let number = arguments.last().and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        // The name of the command, the script, the number of keys, and then the first key.
        let is_foreign = arguments.get(3).is_none_or(|session| session != layout.session().as_bytes());
        let number = number.ok_or((redis::ErrorKind::Parse, "the record does not end with a number"))?;
        Ok(Self { command, layout: Arc::clone(layout), entries: Vec::new(), number, is_foreign, epoch: None })
    }

    /// Stores it, as surely as `session` wants it.
    ///
    /// # Errors
    /// [`CommitError`] says whether to try again.
    pub async fn store(&mut self, pool: &Pool, session: &Session) -> Result<Stored, CommitError> {
        let mut connection = pool.get().await?;
        let stored = self.store_on(&mut connection, session).await;
        if matches!(stored, Err(CommitError::Again(_) | CommitError::Answer(_))) {
            pool.discard(connection);
        }
        stored
    }

    async fn store_on(&mut self, connection: &mut Connection, session: &Session) -> Result<Stored, CommitError> {
        let epoch = session.epoch(connection).await.map_err(CommitError::Again)?;
        if self.epoch.is_none() {
            let epoch = if self.is_foreign { 0 } else { epoch };
            self.command.arg(epoch);
            self.epoch = Some(epoch);
        }
        let answer = match self.command.query_async::<Value>(&mut **connection).await {
            Err(error) if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                SCRIPT.load_async(&mut **connection).await.map_err(CommitError::Again)?;
                self.command.query_async(&mut **connection).await
            }
            answer => answer,
        };
        let stored = Stored::of(answer.map_err(CommitError::Again)?, self.number, session)?;
        session.durability.wait(connection).await?;
        Ok(stored)
    }
}

/// The script's answer to a batch that it has stored: the numbers of [`Stored`], and the texts that belong to them.
type Answer = (u8, u64, Vec<usize>, Vec<usize>, Vec<String>, Vec<usize>, Vec<String>);

impl Stored {
    fn of(answer: Value, number: u64, session: &Session) -> Result<Self, CommitError> {
        let odd = |answer: &Value| CommitError::Answer(format!("{answer:.200?}"));
        let Value::Array(parts) = &answer else { return Err(odd(&answer)) };
        match parts.first() {
            Some(Value::Int(1)) => return Ok(Self { before: true, ..Self::default() }),
            Some(Value::Int(2)) => return Err(CommitError::Superseded { name: session.name().to_owned() }),
            _ => {}
        }
        let (_, before, repeats, suppressed, firsts, refused, reasons): Answer =
            from_redis_value(answer.clone()).map_err(|_| odd(&answer))?;
        let firsts: Result<Vec<_>, _> = firsts.iter().map(|first| Uuid::try_parse(first)).collect();
        Ok(Self {
            before: false,
            lost: number.saturating_sub(before + 1),
            repeats,
            suppressed: suppressed.into_iter().zip(firsts.map_err(|_| odd(&answer))?).collect(),
            refused: refused.into_iter().zip(reasons).collect(),
        })
    }
}

fn push(command: &mut Cmd, argument: Arg<&[u8]>) {
    match argument {
        Arg::Simple(bytes) => command.arg(bytes),
        _ => command,
    };
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
