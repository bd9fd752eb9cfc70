//! Whether a task is to be begun. Who adds one may name it, and adds it again where no answer came: what has one name and
//! asks the same is one task, for as long as names are known.

use std::sync::LazyLock;

use redis::{RedisError, RedisResult, Script};

use super::TaskStream;
use crate::event::EntryId;

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tasks_begin.lua")));

/// A name that who added a task has given to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `task_id`
    pub task: String,
    /// Digest of what is asked: another one under the same name is another task.
    pub digest: String,
}

/// What is to be done about a task that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Begin it.
    Begin,
    /// The same was added before, as this entry, and is not ended: come again later. This delivery was not counted.
    Wait(EntryId),
    /// The same was added before, as this entry, and has its result. It was acknowledged.
    Repeated(EntryId),
    /// The name is that of this entry, which asks something else.
    Other(EntryId),
}

impl TaskStream {
    /// What is to be done about these tasks: their entries, their names, and how often each was delivered.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn begin(&mut self, tasks: &[(EntryId, &Named, u64)]) -> RedisResult<Vec<Start>> {
        if tasks.is_empty() || self.remember.is_zero() {
            return Ok(vec![Start::Begin; tasks.len()]);
        }
        let mut call = BEGIN.prepare_invoke();
        call.key(&self.names.tasks).arg(&self.names.group).arg(&self.names.consumer);
        call.arg(u8::from(self.remove)).arg(self.remember_ms());
        for (entry, named, deliveries) in tasks {
            call.key(self.mark(named)).arg(entry.to_string()).arg(&named.digest).arg(deliveries.saturating_sub(1));
        }
        let answers: Vec<(String, String)> = call.invoke_async(self.pending.connection()).await?;
        answers.iter().map(|(what, first)| start(what, first)).collect()
    }

    /// Key of what is known of a name.
    pub(super) fn mark(&self, named: &Named) -> String {
        format!("{}:{}", self.names.known, named.task)
    }

    /// How long a name is known, milliseconds.
    pub(super) fn remember_ms(&self) -> u64 {
        u64::try_from(self.remember.as_millis()).unwrap_or(u64::MAX)
    }
}

fn start(what: &str, first: &str) -> RedisResult<Start> {
    let first = || {
        let why = || RedisError::from((redis::ErrorKind::Parse, "a task that is known by no entry"));
        first.parse::<EntryId>().map_err(|_| why())
    };
    Ok(match what {
        "begin" => Start::Begin,
        "wait" => Start::Wait(first()?),
        "repeated" => Start::Repeated(first()?),
        _ => Start::Other(first()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_entry_that_had_the_name_before() {
        let first = EntryId { ms: 7, sequence: 1 };
        assert_eq!(start("begin", "").unwrap(), Start::Begin);
        assert_eq!(start("repeated", "7-1").unwrap(), Start::Repeated(first));
        assert_eq!(start("other", "7-1").unwrap(), Start::Other(first));
        assert!(start("wait", "").is_err());
    }
}
