//! From entries that were delivered to attempts: which are tasks of ours, and which of them are to be begun.

use tokio::time::Instant;

use super::{
    crew::Job,
    entry::Task,
    record::{self, Maker},
    worker::{Error, LOOKS, Worker},
};
use crate::broker::redis_streams::{Delivered, Named, RawEntry, Start, TaskStream};

impl Worker {
    /// Begins those that are to be.
    pub(super) async fn begin_all(&mut self, stream: &mut TaskStream, tasks: Vec<Delivered>) -> Result<(), Error> {
        let mut jobs = Vec::new();
        for Delivered { entry, deliveries } in tasks {
            let id = entry.id;
            // Ours already: it was taken over from us and from there back while we could not be heard.
            if self.running.contains_key(&id) {
                continue;
            }
            if let Some(task) = self.read(entry, deliveries) {
                let Some(guest) = self.agents.get(&task.agent) else {
                    stream.pass_over(id).await?;
                    self.count(1, 0);
                    continue;
                };
                let (guest, attempts) = (guest, self.means.config.attempts());
                jobs.push(Job { task, guest, attempt: deliveries, attempts });
            }
        }
        let starts = starts(stream, &jobs).await?;
        for (job, start) in jobs.into_iter().zip(starts) {
            self.start(job, start);
        }
        self.gauge();
        Ok(())
    }

    /// The task of an entry; none if it is not to be tried, and then it has ended.
    fn read(&mut self, entry: RawEntry, deliveries: u64) -> Option<Task> {
        let id = entry.id;
        let config = &self.means.config;
        let maker = Maker { worker: &self.names.consumer, guest: "", attempts: deliveries.saturating_sub(1) };
        let ending = match Task::read(entry, config.most_bytes()) {
            Err(unfit) => record::unfit(&unfit, &maker),
            Ok(task) if self.agents.get(&task.agent).is_none() && self.served.all => {
                let known = self.served.agents.join(", ");
                record::failed(&task, &format!("no agent {:?} here; [tasks.agents] has {known}", task.agent), &maker)
            }
            Ok(task) if deliveries > config.attempts() => {
                let before = deliveries - 1;
                let reason = format!("begun {before} times and never ended, so it may be what ends its workers");
                record::failed(&task, &reason, &maker)
            }
            Ok(task) => return Some(task),
        };
        self.running.insert(id, deliveries);
        self.ended.push(ending);
        None
    }

    fn start(&mut self, job: Job, start: Start) {
        let (id, deliveries) = (job.task.entry, job.attempt);
        let (task, metrics) = (&job.task.id, &self.means.metrics);
        match start {
            Start::Begin => {
                self.running.insert(id, deliveries);
                metrics.began(&job.task.agent);
                if let Err(job) = self.crew.begin(job) {
                    // Never more are taken than there is room for; if all the same, it waits.
                    metrics.ended_attempt(&job.task.agent);
                    self.running.remove(&id);
                    self.later.insert(id, (Instant::now() + LOOKS.0, deliveries.saturating_sub(1)));
                }
            }
            // Not by the end of the first one: that may be in another worker's hands.
            Start::Wait(first) => {
                tracing::debug!(task, entry = %id, %first, "a task was added again and waits for its first entry");
                self.later.insert(id, (Instant::now() + LOOKS.1, deliveries.saturating_sub(1)));
            }
            Start::Repeated(first) => {
                metrics.repeated.inc();
                tracing::info!(task, entry = %id, %first, "a task was added again and is not done again");
            }
            Start::Other(first) => {
                tracing::warn!(task, entry = %id, %first, "a task has the id of another one and was given up");
                let maker = Maker { worker: &self.names.consumer, guest: "", attempts: deliveries.saturating_sub(1) };
                self.ended.push(record::taken(&job.task, first, &maker));
                self.running.insert(id, deliveries);
            }
        }
    }
}

/// What is to be done about each. Nobody asks about one that has no name of its own.
async fn starts(stream: &mut TaskStream, jobs: &[Job]) -> Result<Vec<Start>, Error> {
    let named: Vec<Option<Named>> = jobs.iter().map(|job| job.task.named()).collect();
    let asked = jobs.iter().zip(&named).filter_map(|(job, named)| Some((job.task.entry, named.as_ref()?, job.attempt)));
    let mut answers = stream.begin(&asked.collect::<Vec<_>>()).await?.into_iter();
    let start = |named: &Option<Named>| named.as_ref().and_then(|_| answers.next()).unwrap_or(Start::Begin);
    Ok(named.iter().map(start).collect())
}
