//! What it takes to do tasks, and to bring their results to those who asked.

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::{Ended, base::Base, named};
use crate::{
    admin,
    pipeline::Audit,
    tasks::{self, Agents, Desk, Means, Roster, Worker},
};

/// Starts the worker among the `sources`, where there are agents, and tells `guests` and `audit` of them. With HTTP it
/// also starts who brings results, among the `others`, and gives the desk where tasks are asked for.
///
/// # Errors
/// If the system starts no more threads.
pub(super) fn start(
    base: &Base<'_>,
    agents: &Agents,
    guests: &admin::guests::Handle,
    audit: &Audit,
    sources: &mut JoinSet<Ended>,
    others: &mut JoinSet<Ended>,
) -> anyhow::Result<Option<Desk>> {
    let Some(config) = &base.config.tasks else { return Ok(None) };
    let means = means(base, config);
    let is_wanted = agents.iter().next().is_some() || config.unknown == tasks::Unknown::Refuse;
    let worker = is_wanted
        .then(|| Worker::new(means.clone(), agents.clone(), base.readiness.clone(), base.stops.sources.clone()))
        .transpose()
        .context("cannot start the threads of tasks")?;
    for (_, slot) in agents.iter() {
        let guest = slot.present();
        audit.record("guest-load", format!("{} {} {}", slot.name(), guest.name(), guest.digest_text()));
    }
    // Set only here.
    let _ = guests.agents.set(Roster::new(&means, agents, &base.readiness));
    // Nobody where there are none, unless he refuses all.
    if let Some(worker) = worker {
        sources.spawn(async move { ("tasks", worker.run().await) });
    }
    // Results are for whoever asks: where nobody can, they are left to other readers of their group.
    if base.config.ingest.is_none() || !config.api {
        return Ok(None);
    }
    let (desk, correlator) = Desk::new(&means, &base.readiness);
    others.spawn(named("task results", correlator.run(base.stops.redis.clone())));
    Ok(Some(desk))
}

fn means(base: &Base<'_>, config: &tasks::Config) -> Means {
    // As in the group of the raw stream: unique at this Redis, and the same after a restart.
    let consumer = base.config.raw.clone().unwrap_or_default().consumer(base.config);
    Means::new(config, base.redis_config, &base.redis, consumer, &base.metrics)
}
