use std::time::Duration;

use serde::Deserialize;

use super::{CommitError, Connection};

/// `[redis] durability`: how sure it must be that a batch is stored before its sources hear of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Redis has executed it. What that means for a crash of Redis is a matter of its own `appendfsync`.
    #[default]
    Memory,
    /// So many replicas have it: `WAIT`.
    Replicas,
    /// It is on the disk of Redis: `WAITAOF`, of Redis 7.2 and later.
    Fsync,
}

/// [`Level`] with its measures.
#[derive(Clone, Copy, Debug)]
pub struct Durability {
    /// What is wanted.
    pub level: Level,
    /// How many replicas must have it; with [`Level::Fsync`] on their disks, too.
    pub replicas: u32,
    /// Longest wait for it. Then the batch is sent again, which Redis recognises, and waited for again.
    pub timeout: Duration,
}

impl Durability {
    /// Waits until what was written last on this connection is as sure as wanted.
    pub(super) async fn wait(&self, connection: &mut Connection) -> Result<(), CommitError> {
        let milliseconds = self.timeout.as_millis() as u64;
        let again = CommitError::Again;
        match self.level {
            Level::Memory => Ok(()),
            Level::Replicas => {
                let mut wait = redis::cmd("WAIT");
                wait.arg(self.replicas).arg(milliseconds);
                let has: u32 = wait.query_async(&mut **connection).await.map_err(again)?;
                let missing = || format!("{has} of {} replicas have it after {:?}", self.replicas, self.timeout);
                if has < self.replicas { Err(CommitError::NotSure(missing())) } else { Ok(()) }
            }
            Level::Fsync => {
                let mut wait = redis::cmd("WAITAOF");
                wait.arg(1).arg(self.replicas).arg(milliseconds);
                let (here, there): (u32, u32) = wait.query_async(&mut **connection).await.map_err(again)?;
                if here < 1 {
                    return Err(CommitError::NotSure(format!(
                        "it is not on the disk of Redis after {:?}",
                        self.timeout
                    )));
                }
                let missing = || format!("{there} of {} replicas have it on disk", self.replicas);
                if there < self.replicas { Err(CommitError::NotSure(missing())) } else { Ok(()) }
            }
        }
    }
}
