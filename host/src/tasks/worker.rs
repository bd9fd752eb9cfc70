//! The worker: takes tasks from the stream, has the crew do them, and stores what came of each.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    pin::Pin,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{
    Agents, Config, Means,
    config::Unknown,
    crew::{Crew, Job, Outcome, Tried},
    record::{self, Maker},
};
use crate::{
    admin::Readiness,
    broker::{
        backoff,
        redis_streams::{Bell, Ending, Finished, Served, TaskError, TaskNames, TaskStream},
    },
    event::{EntryId, Stop},
    telemetry::Chain,
};

/// A look at what is pending is taken at least so often, and not more often than the other.
pub(super) const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// While a task of others is at the head, it is seen so soon that they have taken it.
const HEAD: Duration = Duration::from_millis(100);

/// Longest time for giving back what is left.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// The worker. [`Worker::run`] is the task.
pub struct Worker {
    pub(super) means: Means,
    pub(super) names: TaskNames,
    pub(super) served: Served,
    pub(super) agents: Agents,
    pub(super) crew: Crew,
    readiness: Readiness,
    stop: Stop,
    /// Attempts under way, by entry.
    pub(super) running: HashMap<EntryId, u64>,
    /// Endings that are not stored yet, oldest first.
    pub(super) ended: Vec<Ending>,
    /// Tasks that are to be tried again: when, and how often they were delivered.
    pub(super) later: BTreeMap<EntryId, (Instant, u64)>,
    pub(super) look_at: Instant,
    /// Where taking over goes on.
    pub(super) stale_from: Option<String>,
    /// Whether it goes on as soon as there is room, and not with the next look.
    pub(super) is_more_stale: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the stream of tasks cannot be read")]
    Redis(#[from] redis::RedisError),
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Comes back with the bell when there is something new.
type Ringing = Pin<Box<dyn Future<Output = Bell> + Send>>;

impl Worker {
    /// A worker with these agents.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub fn new(means: Means, agents: Agents, readiness: Readiness, stop: Stop) -> std::io::Result<Self> {
        let (config, key) = (&means.config, |name: &str| means.redis_config.key(name));
        Ok(Self {
            names: TaskNames {
                tasks: key(&config.stream),
                results: key(&config.results),
                dead_letters: key(&config.dead_letter),
                known: means.redis_config.state_key("task-known"),
                group: config.group.clone(),
                consumer: means.consumer.clone(),
            },
            served: Served {
                agents: agents.names(),
                all: config.unknown == Unknown::Refuse,
                patience: config.patience,
                left_for: config.left_for,
            },
            crew: Crew::start(config.workers)?,
            agents,
            readiness,
            stop,
            running: HashMap::new(),
            ended: Vec::new(),
            later: BTreeMap::new(),
            look_at: Instant::now(),
            stale_from: None,
            is_more_stale: false,
            means,
        })
    }

    /// Takes tasks until [`Stop::reading`] is cancelled, then ends those under way until [`Stop::connection`] is. Returns
    /// how many it leaves to others.
    pub async fn run(mut self) -> usize {
        let longest = self.means.redis_config.reconnect_max;
        let mut waits = backoff(longest);
        let mut told = String::new();
        let Stop { reading, connection } = self.stop.clone();
        let (stream, group, consumer) = (&self.names.tasks, &self.names.group, &self.names.consumer);
        tracing::info!(stream, group, consumer, agents = self.served.agents.join(" "), "tasks are done");
        while !reading.is_cancelled() {
            let started = Instant::now();
            let error = tokio::select! {
                Err(error) = self.round() => error,
                () = reading.cancelled() => break,
            };
            let said = Chain(&error).to_string();
            self.readiness.degrade("tasks", Some(said.clone()));
            if started.elapsed() > longest {
                waits = backoff(longest);
                told.clear();
            }
            if said != told {
                tracing::warn!(error = said, "tasks wait in their stream, will try again");
                told = said;
            }
            tokio::select! {
                () = sleep_until(Instant::now() + waits.next().unwrap_or(longest)) => {}
                () = reading.cancelled() => {}
            }
        }
        tokio::select! {
            () = self.end_all() => {}
            () = connection.cancelled() => {}
        }
        self.give_back().await
    }

    /// Opens the stream and does tasks until something fails.
    async fn round(&mut self) -> Result<Infallible, Error> {
        let mut stream = self.open().await?;
        let bell =
            |worker: &Self| Bell::new(&worker.means.redis, &worker.names.tasks, worker.means.redis_config.timeout);
        let (mut bell, mut ringing): (Option<Bell>, Option<Ringing>) = (Some(bell(self)), None);
        self.look_at = Instant::now();
        loop {
            self.store(&stream).await?;
            if Instant::now() >= self.look_at {
                self.look(&mut stream).await?;
                // Not before something went well: what cannot be stored would come and go.
                self.readiness.degrade("tasks", None);
            }
            if self.is_more_stale {
                self.take_stale(&mut stream).await?;
            }
            self.retake(&mut stream).await?;
            let mut wake = self.look_at.min(self.next_retry().unwrap_or(self.look_at));
            // While the bell has not rung there is nothing new.
            if ringing.is_none() && self.crew.idle() > 0 {
                let given = stream.take(self.crew.idle(), &self.served, None, None).await?;
                self.count(given.passed, given.deleted);
                let is_more = given.passed > 0;
                self.begin_all(&mut stream, given.tasks).await?;
                match given.head {
                    _ if self.crew.idle() == 0 => {}
                    // Those behind were not looked at.
                    _ if is_more => continue,
                    Some(head) => wake = wake.min(Instant::now() + head.min(HEAD)),
                    None => {
                        if let Some(bell) = bell.take() {
                            ringing = Some(Box::pin(bell.rung(given.after)));
                        }
                    }
                }
            }
            // An entry that is no task has ended at once.
            if !self.ended.is_empty() {
                continue;
            }
            tokio::select! {
                tried = self.crew.ended() => self.enter(tried),
                rung = async { match &mut ringing {
                    Some(ringing) => ringing.await,
                    None => std::future::pending().await,
                } } => {
                    bell = Some(rung);
                    ringing = None;
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    pub(super) async fn open(&self) -> Result<TaskStream, Error> {
        let Means { config, redis, redis_config, .. } = &self.means;
        let (timeout, durability) = (redis_config.timeout, redis_config.durability());
        let Config { remove, results_length, remember, .. } = *config;
        let opened = TaskStream::open(redis, &self.names, timeout, durability, remove, results_length, remember);
        Ok(opened.await?)
    }

    /// Stores what has ended.
    async fn store(&mut self, stream: &TaskStream) -> Result<(), Error> {
        while let Some(ending) = self.ended.first() {
            let finished = stream.finish(ending).await?;
            let ending = self.ended.remove(0);
            self.running.remove(&ending.id);
            self.gauge();
            let metrics = &self.means.metrics;
            match finished {
                Finished::Stored => {}
                Finished::Repeated => {
                    metrics.repeated.inc();
                    tracing::info!(entry = %ending.id, "a task had its result meanwhile, of another entry");
                    continue;
                }
                Finished::Before => {
                    tracing::info!(entry = %ending.id, "a task was ended by another worker first");
                    continue;
                }
            }
            if ending.letter.is_some() {
                metrics.dead_lettered.inc();
            }
            let of = |wanted: &str| ending.result.iter().find(|(name, _)| *name == wanted).map(|(_, value)| &value[..]);
            let agent = of("agent").and_then(|agent| str::from_utf8(agent).ok()).unwrap_or_default();
            // Whoever adds tasks chooses the names of agents; only those of the configuration are labels.
            let agent = if self.agents.get(agent).is_some() { agent } else { "" };
            metrics.ended(agent, ending.letter.is_none());
        }
        Ok(())
    }

    /// Enters what came of an attempt.
    fn enter(&mut self, tried: Tried) {
        self.agents.count(&tried);
        let Tried { job, outcome, .. } = tried;
        let Job { task, guest, attempt, .. } = job;
        self.means.metrics.ended_attempt(&task.agent);
        let config = &self.means.config;
        let digest = guest.digest().to_string();
        let short = digest.get(7..23).unwrap_or_default();
        let made_by = format!("{}@{short}", super::agents::place(&task.agent));
        let maker = Maker { worker: &self.names.consumer, guest: &made_by, attempts: attempt };
        let ending = match outcome {
            Outcome::Done(done) => record::done(&task, done, &maker),
            Outcome::Never(reason) => record::failed(&task, &reason, &maker),
            Outcome::Again { reason, .. } if attempt >= config.attempts() => record::failed(&task, &reason, &maker),
            Outcome::Again { after, reason } => {
                let wait = config.wait_before(attempt + 1).max(after);
                tracing::info!(
                    task = task.id,
                    agent = task.agent,
                    attempt,
                    reason,
                    ?wait,
                    "a task is to be tried again"
                );
                self.means.metrics.retried.inc();
                self.running.remove(&task.entry);
                self.later.insert(task.entry, (Instant::now() + wait, attempt));
                self.gauge();
                return;
            }
        };
        if ending.letter.is_some() {
            tracing::warn!(task = task.id, agent = task.agent, attempt, "a task was given up");
        }
        self.ended.push(ending);
    }

    /// Waits for all that is under way, and stores it.
    async fn end_all(&mut self) {
        let mut waits = backoff(self.means.redis_config.reconnect_max);
        loop {
            while self.running.len() > self.ended.len() {
                let tried = self.crew.ended().await;
                self.enter(tried);
            }
            let stored = async {
                let stream = self.open().await?;
                self.store(&stream).await
            };
            match stored.await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "results wait for Redis");
                    tokio::time::sleep(waits.next().unwrap_or(LOOKS.1)).await;
                }
            }
        }
    }

    pub(super) fn count(&self, passed: usize, deleted: usize) {
        self.means.metrics.passed_over.inc_by(passed as u64);
        if passed > 0 {
            tracing::info!(
                tasks = passed,
                "tasks of agents that are not served here were passed over: nobody took them"
            );
        }
        if deleted > 0 {
            tracing::error!(tasks = deleted, "tasks were deleted before they were done: who trims this stream?");
        }
    }

    pub(super) fn gauge(&self) {
        self.means.metrics.in_flight.set(i64::try_from(self.running.len()).unwrap_or(i64::MAX));
    }
}
