//! What it takes to do tasks.

use std::sync::Arc;

use anyhow::Context as _;

use crate::{
    admin::Readiness,
    broker::redis_streams::{self, Pool},
    config::Config,
    event::Stop,
    intel::{self, Remembered},
    pipeline::Witness,
    sandbox::Sandbox,
    state::Shelf,
    tasks::{self, Agents, Means, Worker},
    telemetry::Metrics,
};

/// What guests have beside themselves, whichever engine they run on.
#[derive(Clone)]
pub(super) struct Memory {
    pub shelf: Arc<dyn Shelf>,
    pub table: Option<intel::Table>,
}

impl Memory {
    /// `sandbox` with it.
    pub fn of(&self, sandbox: Sandbox) -> Sandbox {
        let sandbox = sandbox.remembering(Arc::clone(&self.shelf));
        match &self.table {
            Some(table) => sandbox.looking_up(Arc::new(Remembered::new(table.clone()))),
            None => sandbox,
        }
    }
}

pub(super) fn means(
    config: &tasks::Config,
    whole: &Config,
    redis_config: &redis_streams::Config,
    redis: &Pool,
    metrics: &Metrics,
) -> Means {
    // As in the group of the raw stream: unique at this Redis, and the same after a restart.
    let consumer = whole.raw.clone().unwrap_or_default().consumer(whole);
    Means::new(config, redis_config, redis, consumer, metrics)
}

/// The agents. Nothing is connected by that, so one that cannot be loaded, as for want of a grant, is known before anything
/// is taken from anywhere. `witness` hears of what befalls them.
pub(super) async fn agents(
    means: &Means,
    whole: &Config,
    memory: &Memory,
    metrics: &Metrics,
    witness: &Witness,
) -> anyhow::Result<Agents> {
    let load = {
        let (config, guests, memory) = (means.config.clone(), whole.guests.clone(), memory.clone());
        let (metrics, witness) = (metrics.clone(), witness.clone());
        move || Agents::load(&config, &guests, |sandbox| memory.of(sandbox), &metrics, &witness)
    };
    Ok(tokio::task::spawn_blocking(load).await.context("loading the agents failed")??)
}

/// Who has `agents` do tasks; nobody where there are none, unless he refuses all.
pub(super) fn worker(
    means: &Means,
    agents: &Agents,
    readiness: &Readiness,
    stop: &Stop,
) -> anyhow::Result<Option<Worker>> {
    let is_wanted = agents.iter().next().is_some() || means.config.unknown == tasks::Unknown::Refuse;
    let worker = is_wanted.then(|| Worker::new(means.clone(), agents.clone(), readiness.clone(), stop.clone()));
    worker.transpose().context("cannot start the threads of tasks")
}
