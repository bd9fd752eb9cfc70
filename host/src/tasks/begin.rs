//! From entries that were delivered to attempts: which are tasks of ours, and which of them are to be begun.

use tokio::time::Instant;

use super::{
    crew::Job,
    entry::{Task, Unfit},
    record::{self, Maker},
    worker::{Error, LOOKS, Worker},
};
use crate::{
    broker::redis_streams::{Delivered, Ending, Named, Start, TaskStream},
    event::EntryId,
};

/// An entry that was delivered, and what is to become of it if its name is its own. Also what is not tried is asked about:
/// under a name that is known stands, or will stand, another task's result.
struct Met {
    entry: EntryId,
    deliveries: u64,
    named: Option<Named>,
    fate: Fate,
}

enum Fate {
    /// It is tried.
    Try(Job),
    /// It is given up, for this reason.
    GiveUp(Task, String),
    /// It is no task.
    Unfit(Box<Unfit>),
}

impl Worker {
    /// Begins those that are to be.
    pub(super) async fn begin_all(&mut self, stream: &mut TaskStream, tasks: Vec<Delivered>) -> Result<(), Error> {
        let mut met = Vec::new();
        for one in tasks {
            let id = one.entry.id;
            // Ours already: it was taken over from us and from there back while we could not be heard.
            if self.running.contains_key(&id) {
                continue;
            }
            match self.read(one) {
                Some(one) => met.push(one),
                None => {
                    stream.pass_over(id).await?;
                    self.count(1, 0);
                }
            }
        }
        let starts = starts(stream, &met).await?;
        for (one, start) in met.into_iter().zip(starts) {
            self.start(one, start);
        }
        self.gauge();
        Ok(())
    }

    /// What is to become of an entry; none if it is a task of others.
    fn read(&self, Delivered { entry, deliveries, is_left }: Delivered) -> Option<Met> {
        let config = &self.means.config;
        let id = entry.id;
        let task = match Task::read(entry, config.most_bytes()) {
            Ok(task) => task,
            Err(unfit) => {
                return Some(Met { entry: id, deliveries, named: unfit.named.clone(), fate: Fate::Unfit(unfit) });
            }
        };
        let named = task.named();
        let fate = match self.agents.get(&task.agent) {
            None if self.served.all => {
                let known = self.served.agents.join(", ");
                let reason = format!("no agent {:?} here; [tasks.agents] has {known}", task.agent);
                Fate::GiveUp(task, reason)
            }
            None if is_left => {
                let after = humantime_serde::re::humantime::format_duration(config.left_for);
                let reason =
                    format!("nobody has done it in {after} (tasks.left_for), and no agent {:?} is here", task.agent);
                Fate::GiveUp(task, reason)
            }
            None => return None,
            Some(_) if deliveries > config.attempts() => {
                let before = deliveries - 1;
                let reason = format!("begun {before} times and never ended, so it may be what ends its workers");
                Fate::GiveUp(task, reason)
            }
            Some(guest) => Fate::Try(Job { task, guest, attempt: deliveries, attempts: config.attempts() }),
        };
        Some(Met { entry: id, deliveries, named, fate })
    }

    fn start(&mut self, met: Met, start: Start) {
        let Met { entry, deliveries, named, fate } = met;
        let name = named.as_ref().map(|named| named.task.as_str()).unwrap_or_default();
        let before = deliveries.saturating_sub(1);
        let maker = Maker { worker: &self.names.consumer, guest: "", attempts: before };
        match start {
            Start::Begin => {
                let ending = match fate {
                    Fate::Try(job) => return self.attempt(job),
                    Fate::GiveUp(task, reason) => record::failed(&task, &reason, &maker),
                    Fate::Unfit(unfit) => record::unfit(&unfit, &maker),
                };
                self.end(ending, deliveries);
            }
            // Not by the end of the first one: that may be in another worker's hands.
            Start::Wait(first) => {
                tracing::debug!(task = name, %entry, %first, "a task was added again and waits for its first entry");
                self.later.insert(entry, (Instant::now() + LOOKS.1, before));
            }
            Start::Repeated(first) => {
                self.means.metrics.repeated.inc();
                tracing::info!(task = name, %entry, %first, "a task was added again and is not done again");
            }
            Start::Other(first) => {
                tracing::warn!(task = name, %entry, %first, "a task has the id of another one and was given up");
                let ending = match &fate {
                    Fate::Try(Job { task, .. }) | Fate::GiveUp(task, _) => record::taken(task, first, &maker),
                    Fate::Unfit(unfit) => record::unfit_and_taken(unfit, first, &maker),
                };
                self.end(ending, deliveries);
            }
        }
    }

    fn attempt(&mut self, job: Job) {
        let (id, deliveries) = (job.task.entry, job.attempt);
        let metrics = &self.means.metrics;
        self.running.insert(id, deliveries);
        metrics.began(&job.task.agent);
        if let Err(job) = self.crew.begin(job) {
            // Never more are taken than there is room for; if all the same, it waits.
            metrics.ended_attempt(&job.task.agent);
            self.running.remove(&id);
            self.later.insert(id, (Instant::now() + LOOKS.0, deliveries.saturating_sub(1)));
        }
    }

    /// Ends what was not tried.
    fn end(&mut self, ending: Ending, deliveries: u64) {
        self.running.insert(ending.id, deliveries);
        self.ended.push(ending);
    }
}

/// What is to be done about each. Nobody asks about one that has no name of its own.
async fn starts(stream: &mut TaskStream, met: &[Met]) -> Result<Vec<Start>, Error> {
    let asked = met.iter().filter_map(|one| Some((one.entry, one.named.as_ref()?, one.deliveries)));
    let mut answers = stream.begin(&asked.collect::<Vec<_>>()).await?.into_iter();
    let start = |one: &Met| one.named.as_ref().and_then(|_| answers.next()).unwrap_or(Start::Begin);
    Ok(met.iter().map(start).collect())
}
