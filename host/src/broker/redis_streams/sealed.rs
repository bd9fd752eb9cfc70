//! A batch on its way: stored, or kept as a record of the spool and stored later, until Redis says what became of it.

use std::sync::Arc;

use redis::{Arg, Cmd, Pipeline, RedisError, Value, from_redis_value};
use uuid::Uuid;

use super::{Connection, Layout, Pool, PoolError, Session, Stream, commit};

/// A batch with its number, to be stored until it is.
#[derive(Debug)]
pub struct Sealed {
    command: Cmd,
    plain: Option<Pipeline>,
    layout: Arc<Layout>,
    entries: Vec<Stream>,
    /// What positions there are; unknown for a batch out of a record.
    shape: Option<Shape>,
    /// Its number among its producer's.
    number: u64,
    /// Whether it is of a session of another name, whose epoch is not ours.
    is_foreign: bool,
    /// The epoch that is its last argument, once there is one.
    epoch: Option<u64>,
}

/// How many things a batch is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub deliveries: usize,
    pub events: usize,
    pub entries: usize,
}

/// What became of a batch. All of its positions count from 0, in the order in which things were added to the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// It had been stored before. Which deliveries were repeats and which events were suppressed is unknown then.
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
    pub(super) fn new(
        command: Cmd,
        plain: Option<Pipeline>,
        layout: Arc<Layout>,
        entries: Vec<Stream>,
        shape: Shape,
        number: u64,
    ) -> Self {
        Self { command, plain, layout, entries, shape: Some(shape), number, is_foreign: false, epoch: None }
    }

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
                1 => command.arg(commit::SCRIPT.get_hash()),
                _ => command.arg(argument),
            };
        }
        let number = arguments.last().and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        // The name of the command, the script, the number of keys, and then the first key.
        let is_foreign = arguments.get(3).is_none_or(|session| session != layout.session().as_bytes());
        let number = number.ok_or((redis::ErrorKind::Parse, "the record does not end with a number"))?;
        Ok(Self {
            command,
            plain: None,
            layout: Arc::clone(layout),
            entries: Vec::new(),
            shape: None,
            number,
            is_foreign,
            epoch: None,
        })
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
        if let Some(pipeline) = &self.plain {
            pipeline.query_async::<Value>(&mut **connection).await.map_err(CommitError::Again)?;
            return Ok(Stored::default());
        }
        let epoch = session.epoch(connection).await.map_err(CommitError::Again)?;
        if self.epoch.is_none() {
            let epoch = if self.is_foreign { 0 } else { epoch };
            self.command.arg(epoch);
            self.epoch = Some(epoch);
        }
        let answer = match self.command.query_async::<Value>(&mut **connection).await {
            Err(error) if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                commit::SCRIPT.load_async(&mut **connection).await.map_err(CommitError::Again)?;
                self.command.query_async(&mut **connection).await
            }
            answer => answer,
        };
        let stored = Stored::of(answer.map_err(CommitError::Again)?, self.number, self.shape, session)?;
        session.durability.wait(connection).await?;
        Ok(stored)
    }
}

/// The script's answer to a batch that it has stored: the numbers of [`Stored`], and the texts that belong to them.
type Answer = (u8, u64, Vec<usize>, Vec<usize>, Vec<Vec<u8>>, Vec<usize>, Vec<String>);

impl Stored {
    /// Out of the answer to the batch with this number and shape: an answer that names what is not there is none.
    fn of(answer: Value, number: u64, shape: Option<Shape>, session: &Session) -> Result<Self, CommitError> {
        let odd = |answer: &Value| CommitError::Answer(format!("{answer:.200?}"));
        let Value::Array(parts) = &answer else { return Err(odd(&answer)) };
        if let Some(Value::Int(2)) = parts.first() {
            return Err(CommitError::Superseded { name: session.name().to_owned() });
        }
        let (known, before, repeats, suppressed, firsts, refused, reasons): Answer =
            from_redis_value(answer.clone()).map_err(|_| odd(&answer))?;
        let within = |positions: &[usize], count: fn(&Shape) -> usize| {
            shape.is_none_or(|shape| positions.iter().all(|&position| position < count(&shape)))
        };
        let sound = within(&repeats, |shape| shape.deliveries)
            && within(&suppressed, |shape| shape.events)
            && within(&refused, |shape| shape.entries);
        if !sound || suppressed.len() != firsts.len() || refused.len() != reasons.len() {
            return Err(odd(&answer));
        }
        let firsts: Result<Vec<_>, _> = firsts.iter().map(|first| Uuid::from_slice(first)).collect();
        Ok(Self {
            before: known == 1,
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
