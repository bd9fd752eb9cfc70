use redis::{Arg, Cmd, Pipeline, RedisError, Value};

use super::{Connection, Pool, PoolError};

/// Entries that are stored together, in one transaction and one round trip: all of them or, where Redis refuses or the
/// connection breaks before it has them, none.
#[derive(Clone, Default)]
pub struct Commit {
    pipeline: Pipeline,
}

/// A commit was not stored, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke: try the same commit again. After a break it may have been stored.
    #[error("Redis did not store the batch")]
    Again(#[source] RedisError),
    /// Redis stored the rest and refused these entries, by position: their key holds something that is no stream.
    #[error("Redis refused {} of the entries: {reason}", entries.len())]
    Refused {
        /// Positions in the commit.
        entries: Vec<usize>,
        /// What Redis says of the first.
        reason: String,
    },
}

impl Commit {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let mut pipeline = Pipeline::new();
        pipeline.atomic();
        Self { pipeline }
    }

    /// Appends an entry to `stream`, which is then trimmed to about `length` entries; 0 does not trim.
    pub fn add(&mut self, stream: &str, length: u64, fields: &[(&str, &[u8])]) {
        // As much as it takes: entries are large, and growing one would copy it.
        let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut command = Cmd::with_capacity(2 * fields.len() + 6, bytes + stream.len() + 32);
        command.arg("XADD").arg(stream);
        if length > 0 {
            command.arg("MAXLEN").arg("~").arg(length);
        }
        command.arg("*");
        for (name, value) in fields {
            command.arg(*name).arg(*value);
        }
        self.pipeline.add_command(command);
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pipeline.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pipeline.is_empty()
    }

    /// Stream of the entry at `index`.
    #[must_use]
    pub fn stream(&self, index: usize) -> Option<String> {
        let command = self.pipeline.cmd_iter().nth(index)?;
        match command.args_iter().nth(1)? {
            Arg::Simple(stream) => Some(String::from_utf8_lossy(stream).into_owned()),
            _ => None,
        }
    }

    /// Appends the entry at `index` of another commit.
    pub fn take_over(&mut self, other: &Self, index: usize) {
        if let Some(command) = other.pipeline.cmd_iter().nth(index) {
            self.pipeline.add_command(command.clone());
        }
    }

    /// Stores it.
    ///
    /// # Errors
    /// [`CommitError`] says what is stored and whether to try again.
    pub async fn store(&self, pool: &Pool) -> Result<(), CommitError> {
        if self.is_empty() {
            return Ok(());
        }
        let mut connection = pool.get().await?;
        let stored = self.pipeline.query_async::<Value>(&mut *connection).await;
        stored.map(drop).map_err(|error| {
            // After any error the connection may be dead or have answers under way that nobody waits for.
            drop(Connection::take(connection));
            classify(error)
        })
    }
}

/// Errors of single commands come from the execution of the transaction, when the rest is already stored. Everything
/// else, the abort of a transaction included, stored nothing, or left it open whether it did.
fn classify(error: RedisError) -> CommitError {
    let refused = error.clone().into_server_errors();
    match refused.as_deref() {
        Some([(_, first), ..]) if first.code() == "WRONGTYPE" || first.code() == "ERR" => CommitError::Refused {
            entries: refused.iter().flat_map(|errors| errors.iter().map(|(position, _)| *position)).collect(),
            reason: format!("{} {}", first.code(), first.details().unwrap_or_default()),
        },
        _ => CommitError::Again(error),
    }
}
