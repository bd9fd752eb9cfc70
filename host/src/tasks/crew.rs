//! The threads that call agents' guests. Apart from the lanes and with less claim to a core than they have, so that a slow
//! task delays no event; as many as there may be tasks at a time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use cpu_time::ThreadTime;
use rustix::process::setpriority_process;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::entry::{Task, is_json};
use crate::{
    event::EntryId,
    sandbox::{self, Agent, Caller, Fault, Guest, TaskFailure, TaskOutcome, printable},
    state::Mark,
};

/// One attempt.
pub struct Job {
    /// What is to be done.
    pub task: Task,
    /// By whom.
    pub guest: Arc<Guest<Agent>>,
    /// Which attempt it is.
    pub attempt: u64,
    /// Of how many.
    pub attempts: u64,
}

/// An attempt that has ended.
pub struct Tried {
    /// What it was.
    pub job: Job,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether that was the guest's own fault, and not the task's.
    pub is_fault: bool,
    /// CPU time that it took.
    pub spent: Duration,
    thread: usize,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done(Done),
    /// It may be done later.
    Again {
        /// Shortest wait that the guest asks for.
        after: Duration,
        /// Why.
        reason: String,
    },
    /// It never will be.
    Never(String),
}

/// What a guest made of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// JSON.
    pub output: Vec<u8>,
    /// One line for a person.
    pub summary: String,
}

/// How much less a thread counts than a lane, as `nice` has it.
const NICE: i32 = 5;

/// Longest wait that a guest may ask for, milliseconds.
const MOST_AFTER_MS: u32 = 600_000;

/// Most characters of a reason and of a summary.
const LINE: usize = 2048;

/// The threads. They end when this is dropped, each after its call.
pub struct Crew {
    jobs: Vec<mpsc::Sender<Job>>,
    idle: Vec<usize>,
    tried: mpsc::Receiver<Tried>,
}

impl Crew {
    /// So many.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let (ended, tried) = mpsc::channel(count);
        let mut jobs = Vec::new();
        for number in 0..count {
            let (sender, mut receiver) = mpsc::channel::<Job>(1);
            let ended = ended.clone();
            let work = move || {
                // Of this thread alone, on Linux; without it tasks would only be as important as events.
                if let Err(error) = setpriority_process(None, NICE) {
                    tracing::debug!(%error, "tasks run with the priority of events");
                }
                while let Some(job) = receiver.blocking_recv() {
                    let begun = ThreadTime::now();
                    let attempted = catch_unwind(AssertUnwindSafe(|| attempt(&job)));
                    let host = |_| (again("the host failed at it".to_owned()), false);
                    let (outcome, is_fault) = attempted.unwrap_or_else(host);
                    let tried = Tried { job, outcome, is_fault, spent: begun.elapsed(), thread: number };
                    if ended.blocking_send(tried).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().name(format!("task-{number}")).spawn(work)?;
            jobs.push(sender);
        }
        Ok(Self { idle: (0..count).rev().collect(), jobs, tried })
    }

    /// Threads that have nothing to do.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Has an idle thread do it. It comes back if there is none.
    pub fn begin(&mut self, job: Job) -> Result<(), Job> {
        let Some(thread) = self.idle.pop() else { return Err(job) };
        // The thread waits for a job, and there is a place for one.
        self.jobs[thread].try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job) => job,
        })
    }

    /// The next attempt that ends. Never, if none is under way.
    pub async fn ended(&mut self) -> Tried {
        match self.tried.recv().await {
            Some(tried) => {
                self.idle.push(tried.thread);
                tried
            }
            // Every thread has ended, which none does before the crew is dropped.
            None => std::future::pending().await,
        }
    }
}

fn again(reason: String) -> Outcome {
    Outcome::Again { after: Duration::ZERO, reason }
}

/// Calls the guest and checks what it answers. Also whether the guest is at fault, whatever the task.
fn attempt(job: &Job) -> (Outcome, bool) {
    let (task, guest) = (&job.task, &job.guest);
    let input = sandbox::Task {
        id: &task.id,
        agent: &task.agent,
        attempt: u32::try_from(job.attempt).unwrap_or(u32::MAX),
        attempts: u32::try_from(job.attempts).unwrap_or(u32::MAX),
        submitted_ms: i64::try_from(task.entry.ms).unwrap_or(i64::MAX),
        now_ms: chrono::Utc::now().timestamp_millis(),
        input: &task.input,
    };
    let mut caller = Caller::new(Arc::clone(guest));
    // What it counts on account of the task counts once, however often it is tried.
    caller.about(std::iter::once(Mark { id: mark(task.entry), may_repeat: true }));
    let (outcome, is_fault) = match caller.call(&input, guest.deadline()) {
        Ok(Ok(outcome)) => match checked(outcome) {
            Ok(done) => (Outcome::Done(done), false),
            Err(what) => {
                let fault = Fault::Garbage(what);
                caller.count(&fault);
                (again(fault.to_string()), true)
            }
        },
        Ok(Err(TaskFailure::Retry(wish))) => {
            let after = Duration::from_millis(wish.after_ms.min(MOST_AFTER_MS).into());
            (Outcome::Again { after, reason: line(&wish.reason) }, false)
        }
        Ok(Err(TaskFailure::Permanent(reason))) => (Outcome::Never(line(&reason)), false),
        Ok(Err(TaskFailure::InvalidSettings(text))) => (again(format!("invalid settings: {}", line(&text))), true),
        Err(fault) => (again(fault.to_string()), true),
    };
    if matches!(outcome, Outcome::Done(_)) {
        caller.keep();
    }
    (outcome, is_fault)
}

fn mark(entry: EntryId) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(entry.to_string()).into();
    *digest.first_chunk().unwrap_or(&[0; 8])
}

pub(crate) fn checked(outcome: TaskOutcome) -> Result<Done, String> {
    is_json(&outcome.output).map_err(|error| format!("its output is not JSON: {error}"))?;
    Ok(Done { output: outcome.output, summary: line(&outcome.summary) })
}

/// A guest's words for a person: one line that steers no terminal.
fn line(text: &str) -> String {
    printable(text).chars().take(LINE).collect()
}
