//! Where tasks are asked for over HTTP; `ingest/tasks.rs` has the requests and answers.

use std::{sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Config, Correlator, Means, Unknown, entry, waiting::Waiting};
use crate::{
    admin::Readiness,
    broker::redis_streams::{Submitted, TicketError, Tickets},
};

/// The desk. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    means: Means,
    tickets: Arc<Tickets>,
    waiting: Waiting,
    places: Arc<Semaphore>,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It has this result, JSON.
    Result(String),
    /// It has none yet.
    Pending,
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its result, or that there is none yet.
    Known(Asked),
    /// Nobody asked for it here, or too long ago.
    Unknown,
}

/// Why nothing was asked.
#[derive(Debug, thiserror::Error)]
pub enum Unasked {
    /// Too many tasks wait for workers.
    #[error("{0} tasks wait for workers")]
    Full(u64),
    /// Too many tasks wait whose agent is not known here.
    #[error("{0} tasks wait for agents that are not known here")]
    Strange(u64),
    /// Another task has this id.
    #[error("this Idempotency-Key was used for another task")]
    Other,
    /// Redis is away.
    #[error(transparent)]
    Redis(#[from] TicketError),
}

/// A ticket is looked at so often while somebody waits, in case that the news of a result were lost.
const LOOK: Duration = Duration::from_secs(1);

impl Desk {
    /// The desk, and the task that brings results to it.
    #[must_use]
    pub fn new(means: &Means, readiness: &Readiness) -> (Self, Correlator) {
        let config = &means.config;
        let tickets = Tickets::new(
            &means.redis,
            &means.redis_config,
            (&config.stream, &config.group),
            &config.results,
            config.keep,
            config.remember,
            config.left_for,
        );
        let (tickets, waiting) = (Arc::new(tickets), Waiting::default());
        let correlator = Correlator::new(means.clone(), Arc::clone(&tickets), waiting.clone(), readiness.clone());
        let places = Arc::new(Semaphore::new(config.max_waiting));
        (Self { means: means.clone(), tickets, waiting, places }, correlator)
    }

    /// Longest wait for a result in one request.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        self.means.config.max_wait
    }

    /// Largest input, bytes.
    #[must_use]
    pub fn max_input(&self) -> usize {
        self.means.config.most_bytes()
    }

    /// The agents that this host knows, where `agent` is none of them, nor one that another worker is expected to have.
    #[must_use]
    pub fn others_than(&self, agent: &str) -> Option<Vec<String>> {
        let Config { agents, expected, .. } = &self.means.config;
        let is_known = agents.contains_key(agent) || expected.iter().any(|name| name == agent);
        (!is_known).then(|| agents.keys().chain(expected).cloned().collect())
    }

    /// Whether a task for an agent that this host does not know is for nobody: there are no other workers.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.means.config.unknown == Unknown::Refuse
    }

    /// The id of a task that is new, or the one that `key` always gives.
    #[must_use]
    pub fn id(key: Option<&[u8]>) -> String {
        let Some(key) = key else { return uuid::Uuid::from_bytes(random()).to_string() };
        let digest = Sha256::digest([b"aurora-task", key].concat());
        let bytes: [u8; 16] = digest.as_slice().first_chunk().copied().unwrap_or_default();
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    /// Has `agent` do the task `id` with `input`, JSON, and waits for its result for `wait`, or until `stop`.
    ///
    /// # Errors
    /// Nothing was asked, or nobody knows; the same again under the same id is no second task.
    pub async fn ask(
        &self,
        id: &str,
        agent: &str,
        input: &str,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<Asked, Unasked> {
        let place = self.waiting.join(id);
        let digest = entry::digest(agent, input.as_bytes());
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let fields = [("task_id", id), ("agent", agent), ("input", input), ("timestamp", now.as_str())];
        let Config { max_queue, max_unknown, .. } = self.means.config;
        let strange = self.others_than(agent).map(|_| max_unknown);
        match self.tickets.submit(id, &digest, &fields, max_queue, strange).await? {
            Submitted::Known(Some(result)) => Ok(Asked::Result(result)),
            Submitted::Added | Submitted::Known(None) => Ok(self.wait(id, place, wait, stop).await),
            Submitted::Other => Err(Unasked::Other),
            Submitted::Full(waiting) => Err(Unasked::Full(waiting)),
            Submitted::Strange(waiting) => Err(Unasked::Strange(waiting)),
        }
    }

    /// What is known of the task `id`; waits for its result for `wait`, or until `stop`.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn look(&self, id: &str, wait: Duration, stop: &CancellationToken) -> Result<Look, Unasked> {
        let place = self.waiting.join(id);
        Ok(match self.tickets.look(id).await? {
            None => Look::Unknown,
            Some(Some(result)) => Look::Known(Asked::Result(result)),
            Some(None) => Look::Known(self.wait(id, place, wait, stop).await),
        })
    }

    async fn wait(
        &self,
        id: &str,
        mut place: super::waiting::Place,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Asked {
        // Where too many wait already, this one is told to come again.
        let Ok(_permit) = self.places.try_acquire() else { return Asked::Pending };
        let until = Instant::now() + wait.min(self.max_wait());
        if wait.is_zero() {
            return Asked::Pending;
        }
        loop {
            let again = (Instant::now() + LOOK).min(until);
            tokio::select! {
                Ok(result) = &mut place.result => return Asked::Result(result),
                () = stop.cancelled() => return Asked::Pending,
                () = sleep_until(again) => {}
            }
            // Redis being away ends no wait.
            if let Ok(Some(Some(result))) = self.tickets.look(id).await {
                return Asked::Result(result);
            }
            if Instant::now() >= until {
                return Asked::Pending;
            }
        }
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // The system always has some; without it ids would still differ by their time.
    if getrandom::fill(&mut bytes).is_err() {
        let now = chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default();
        bytes[..8].copy_from_slice(&now.to_be_bytes());
    }
    *uuid::Builder::from_random_bytes(bytes).as_uuid().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_always_gives_the_same_id_and_without_one_each_is_new() {
        assert_eq!(Desk::id(Some(b"a")), Desk::id(Some(b"a")));
        assert_ne!(Desk::id(Some(b"a")), Desk::id(Some(b"b")));
        assert_ne!(Desk::id(None), Desk::id(None));
        assert!(super::super::is_task_id(&Desk::id(None)));
    }
}
