//! Tasks for agents: whoever wants something done adds an entry to a stream; a worker has the agent's guest do it; the
//! result goes to another stream, from where it is brought to whoever asked.
//!
//! `aurora:agent:tasks` → group `aurora-agents` → [`worker`] → a guest, on a thread of the [`crew`] → `aurora:agent:results`
//! → group `api-agent-results` → [`correlator`] → the ticket of who asked by `POST /v1/tasks` ([`desk`])
//!
//! Beside the pipeline, and apart from it: threads, engine and connections are its own, so that no task delays an event.
//!
//! # Exactly one result
//!
//! A task is pending with a worker until one step adds its result and acknowledges it. A worker that dies before that has
//! done nothing, and another one takes the task over, which counts as an attempt: a task that kills its workers ends as a
//! dead letter. Of two workers that do the same task, because one was thought dead, the second finds it acknowledged and
//! adds nothing. So a guest may be asked twice and the world sees one result. A task that is given up has a result as well,
//! which says so: who waits for it must not wait for ever.
//!
//! Who adds a task and hears no answer adds it again. Under the same `task_id` that is the same task, for `tasks.remember`
//! after its result: a second entry is not begun while the first is in somebody's hands, and acknowledged once there is a
//! result (see `broker/redis_streams/tasks_begin.lua`). The name is looked up when an entry was taken, not when it is added:
//! clients add with `XADD`, and nothing of ours stands between.
//!
//! # Workers beside it
//!
//! The group is shared with workers that are none of ours, in whatever language. Ours reads only tasks of agents that it
//! serves; see `broker/redis_streams/tasks_take.lua` for how, in a group that hands entries to whoever asks first.

mod config;
mod agents;
mod entry;
mod record;
mod crew;
mod worker;
mod begin;
mod looks;
mod correlator;
mod desk;
mod waiting;
mod roster;
mod probe;

pub use agents::Agents;
pub(crate) use agents::place;
pub use config::{Agent as AgentConfig, Config, Unknown};
pub use correlator::Correlator;
pub(crate) use crew::checked;
pub use desk::{Asked, Desk, Look, Unasked};
pub(crate) use entry::{is_agent, is_json, is_task_id};
pub use probe::probe;
pub use roster::{AgentView, GivenUp, Roster};
pub use worker::Worker;

use crate::{
    broker::redis_streams::{self, Pool},
    telemetry::{Metrics, TaskMetrics},
};

/// What both tasks and the desk are made of.
#[derive(Clone)]
pub struct Means {
    /// `[tasks]`
    pub config: Config,
    /// `[redis]`
    pub redis_config: redis_streams::Config,
    /// Its connections.
    pub redis: Pool,
    /// Our name in both groups.
    pub consumer: String,
    /// What is counted.
    pub metrics: TaskMetrics,
}

impl Means {
    /// Of these sections, with `consumer` for a name where the section has none.
    #[must_use]
    pub fn new(
        config: &Config,
        redis_config: &redis_streams::Config,
        redis: &Pool,
        consumer: String,
        metrics: &Metrics,
    ) -> Self {
        Self {
            consumer: config.consumer.clone().unwrap_or(consumer),
            config: config.clone(),
            redis_config: redis_config.clone(),
            redis: redis.clone(),
            metrics: metrics.tasks.clone(),
        }
    }
}
