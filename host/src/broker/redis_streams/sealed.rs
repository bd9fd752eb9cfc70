//! A batch on its way: stored, or kept as a record of the spool and stored later, until Redis says what became of it.

use std::{collections::BTreeSet, sync::Arc};

use redis::{Arg, Cmd, Pipeline, RedisError, Value, from_redis_value};
use uuid::Uuid;

use super::{Connection, Layout, Pool, PoolError, RecordError, Session, Stream, commit, record::Record};

/// Any stream that cannot be written is left out, but for those that are listed behind it.
const ALL: &str = "*";

/// Arguments behind the number of a batch.
const ENDING: usize = 2;

/// The place of the streams of entries without a form, counted back from the number.
const OTHERS_FROM_END: usize = 5;

/// A batch with its number, to be stored until it is.
#[derive(Debug)]
pub struct Sealed {
    command: Cmd,
    plain: Option<Pipeline>,
    layout: Arc<Layout>,
    entries: Vec<Stream>,
    ends: Ends,
    left_out: LeftOut,
    /// As it was before something was left out of it.
    untouched: Option<Vec<u8>>,
    /// The keys of its streams, where it is out of a record: its positions are not those of the layout.
    keys: Option<Vec<String>>,
    /// What positions there are; unknown for a batch out of a record.
    shape: Option<Shape>,
    /// Its number among its producer's.
    number: u64,
    /// Whether it is of a session of another name, whose epoch is not ours.
    is_foreign: bool,
    /// Whether its last arguments stand there: the streams that may be left out, and the epoch.
    is_ended: bool,
}

/// The streams that it is stored without, numbered as the script does.
#[derive(Debug)]
enum LeftOut {
    /// Whatever cannot be written, but for these.
    AllBut(BTreeSet<usize>),
    /// These and no other: where another cannot be written nothing is stored.
    Only(BTreeSet<usize>),
}

impl LeftOut {
    fn argument(&self) -> String {
        match self {
            Self::AllBut(needed) if needed.is_empty() => ALL.to_owned(),
            Self::AllBut(needed) => format!("{ALL}{}", commit::listed(needed)),
            Self::Only(streams) => commit::listed(streams),
        }
    }
}

/// What has to be known to add to a batch.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// How many arguments stand behind its operations, up to its number.
    pub behind: usize,
    /// The streams of entries that have no form, as the script numbers them.
    pub others: BTreeSet<usize>,
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
    /// Those of the repeats that were turned away when they came first.
    pub turned_away: Vec<usize>,
    /// Events that were not stored, for their content had been; with the id of the first.
    pub suppressed: Vec<(usize, Uuid)>,
    /// Entries that Redis refused, and what it says; of a batch that is to be stored [whole](Sealed::whole) none.
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
    /// Nothing was stored, for these streams cannot be written; the batch [has to say](Sealed::leave_out) what becomes of
    /// their entries.
    #[error("{}", unwritable(.0))]
    Unwritable(Vec<(String, String)>),
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
        ends: Ends,
        shape: Shape,
        number: u64,
    ) -> Self {
        Self {
            command,
            plain,
            layout,
            entries,
            ends,
            left_out: LeftOut::AllBut(BTreeSet::new()),
            untouched: None,
            keys: None,
            shape: Some(shape),
            number,
            is_foreign: false,
            is_ended: false,
        }
    }

    /// It is stored only if each of its streams can be written; otherwise nothing is, and [`CommitError::Unwritable`]
    /// says which. Without this it is stored without the entries of those streams, which [`Stored::refused`] names.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.left_out = LeftOut::Only(BTreeSet::new());
        self
    }

    /// It is stored without the entries of these `streams` too, with letters instead, which `letters` adds as entries of
    /// `stream`: of each its delivery, its events (none: all of them) and its fields. See
    /// [`Commit::letter`](super::Commit::letter).
    pub fn leave_out<'a>(
        &mut self,
        streams: impl Iterator<Item = &'a str>,
        stream: Stream,
        letters: impl FnOnce(&mut dyn FnMut(usize, &[usize], &[(&str, &[u8])])),
    ) {
        if self.untouched.is_none() {
            self.untouched = Some(self.record());
        }
        let all = self.command.args_iter().len() - if self.is_ended { ENDING } else { 0 };
        let mut command = Cmd::new();
        let (operations, listed) = (all - self.ends.behind, all - OTHERS_FROM_END);
        self.command.args_iter().take(operations).for_each(|arg| push(&mut command, arg));
        letters(&mut |delivery, events, fields| {
            commit::add_letter(&mut command, stream, delivery, events, fields);
            self.entries.push(stream);
            self.ends.others.insert(stream.0 + 1);
        });
        for (index, arg) in self.command.args_iter().enumerate().take(all).skip(operations) {
            if index == listed {
                command.arg(commit::listed(&self.ends.others));
            } else {
                push(&mut command, arg);
            }
        }
        (self.command, self.is_ended) = (command, false);
        let without = streams.filter_map(|name| self.layout.stream(name)).map(|stream| stream.0 + 1);
        match &mut self.left_out {
            LeftOut::Only(streams) => streams.extend(without),
            LeftOut::AllBut(_) => self.left_out = LeftOut::Only(without.collect()),
        }
        if let Some(shape) = &mut self.shape {
            shape.entries = self.entries.len();
        }
    }

    /// Stream of an entry; none for a batch out of a record.
    #[must_use]
    pub fn stream_of(&self, entry: usize) -> Option<&str> {
        self.entries.get(entry).map(|&stream| self.layout.name(stream))
    }

    /// As it is kept on disk: the command, in the Redis protocol (RESP2), up to its number. Nothing is left out: a stream
    /// that could not be written may be mended by then, and its entries and their letters would both be stored.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        if let Some(untouched) = &self.untouched {
            return untouched.clone();
        }
        if !self.is_ended {
            return self.command.get_packed_command();
        }
        let mut command = Cmd::new();
        let all = self.command.args_iter().len();
        self.command.args_iter().take(all - ENDING).for_each(|arg| push(&mut command, arg));
        command.get_packed_command()
    }

    /// Out of [`record`](Self::record). It is stored without the entries of streams that cannot be written, which
    /// [`Stored::refused`] names; but not where those are of the stream `needed`.
    ///
    /// # Errors
    /// If it is none, or one that is not for us.
    pub fn of_record(record: &[u8], layout: &Arc<Layout>, needed: Stream) -> Result<Self, RecordError> {
        let Record { arguments, keys } = Record::read(record, layout)?;
        let needed = keys.iter().position(|key| key == layout.key(needed)).map(|place| place + 1);
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
        let no_number = || RecordError::NoBatch((redis::ErrorKind::Parse, "it does not end with a number").into());
        let number = number.ok_or_else(no_number)?;
        Ok(Self {
            command,
            plain: None,
            layout: Arc::clone(layout),
            entries: Vec::new(),
            ends: Ends::default(),
            // Nobody is there any more who could say what becomes of them; the record is kept if there are any.
            left_out: LeftOut::AllBut(needed.into_iter().collect()),
            untouched: None,
            keys: Some(keys),
            shape: None,
            number,
            is_foreign,
            is_ended: false,
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
        if !std::mem::replace(&mut self.is_ended, true) {
            self.command.arg(self.left_out.argument()).arg(if self.is_foreign { 0 } else { epoch });
        }
        let answer = match self.command.query_async::<Value>(&mut **connection).await {
            Err(error) if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                commit::SCRIPT.load_async(&mut **connection).await.map_err(CommitError::Again)?;
                self.command.query_async(&mut **connection).await
            }
            answer => answer,
        };
        let answer = answer.map_err(CommitError::Again)?;
        let stored = Stored::of(answer, self.number, self.shape, self.keys.as_deref(), session)?;
        session.durability.wait(connection).await?;
        Ok(stored)
    }
}

/// The script's answer to a batch that it has stored: the numbers of [`Stored`], and the texts that belong to them.
type Answer = (u8, u64, Vec<usize>, Vec<usize>, Vec<Vec<u8>>, Vec<usize>, Vec<String>, Vec<usize>);

impl Stored {
    /// Out of the answer to the batch with this number and shape, and with the keys of its streams where they are not those
    /// of the layout: an answer that names what is not there is none.
    fn of(
        answer: Value,
        number: u64,
        shape: Option<Shape>,
        keys: Option<&[String]>,
        session: &Session,
    ) -> Result<Self, CommitError> {
        let odd = |answer: &Value| CommitError::Answer(format!("{answer:.200?}"));
        let Value::Array(parts) = &answer else { return Err(odd(&answer)) };
        if let Some(Value::Int(2)) = parts.first() {
            return Err(CommitError::Superseded { name: session.name().to_owned() });
        }
        if let Some(Value::Int(3)) = parts.first() {
            let (_, streams, causes): (u8, Vec<usize>, Vec<String>) =
                from_redis_value(answer.clone()).map_err(|_| odd(&answer))?;
            let layout = session.layout();
            let name = |place: usize| {
                let place = place.checked_sub(1)?;
                match keys {
                    Some(keys) => keys.get(place).cloned(),
                    None => layout.streams().nth(place).map(|stream| layout.name(stream).to_owned()),
                }
            };
            let names: Option<Vec<String>> = streams.into_iter().map(name).collect();
            let unwritable = names.ok_or_else(|| odd(&answer))?.into_iter().zip(causes).collect();
            return Err(CommitError::Unwritable(unwritable));
        }
        let (known, before, repeats, suppressed, firsts, refused, reasons, turned_away): Answer =
            from_redis_value(answer.clone()).map_err(|_| odd(&answer))?;
        let within = |positions: &[usize], count: fn(&Shape) -> usize| {
            shape.is_none_or(|shape| positions.iter().all(|&position| position < count(&shape)))
        };
        let sound = within(&repeats, |shape| shape.deliveries)
            && within(&turned_away, |shape| shape.deliveries)
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
            turned_away,
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

fn unwritable(streams: &[(String, String)]) -> String {
    let each: Vec<String> = streams.iter().map(|(stream, cause)| format!("{stream}: {cause}")).collect();
    format!("a stream cannot be written, mend it: {}", each.join("; "))
}
