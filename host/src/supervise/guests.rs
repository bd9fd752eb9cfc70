//! The guests of all stages and the agents, and the places where others take theirs.

use anyhow::Context as _;
use tokio::{
    signal::unix::Signal,
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
};

use super::{Ended, all, base::Base, memory::Memory, named};
use crate::{
    pipeline::{Audit, Stages, Tap, Witness},
    sandbox::{Kept, Sandbox},
    swap::{Places, Reload, Swap},
    tasks::Agents,
};

/// The guests, loaded.
pub(super) struct Guests {
    pub stages: Stages,
    /// Who does tasks.
    pub agents: Agents,
    /// Where lanes leave copies of their batches, for rehearsals.
    pub tap: Tap,
    /// For whoever wants another one in a place.
    pub swap: Swap,
    places: Places,
    /// Those that have proved themselves.
    proven: mpsc::Receiver<Kept>,
}

impl Guests {
    /// Loads them into their slots; those that were installed before a restart are in their places after it. Nothing is
    /// connected yet: an agent that wants a grant is known before anything is taken from anywhere.
    ///
    /// # Errors
    /// Every guest of a stage that cannot be loaded, or an agent.
    pub async fn load(
        base: &Base<'_>,
        sandbox: &Sandbox,
        memory: &Memory,
        audit: &Audit,
        reload: Reload,
    ) -> anyhow::Result<Self> {
        let config = base.config;
        let (kept, proven) = mpsc::channel(config.guests.all().count());
        let witness = Witness { audit: audit.clone(), readiness: base.readiness.clone(), proven: kept };
        let load = {
            let (config, sandbox, metrics) = (config.clone(), sandbox.clone(), base.metrics.clone());
            let witness = witness.clone();
            move || Stages::load(&config, &sandbox, &metrics, Some(&witness))
        };
        let mut stages = spawn_blocking(load).await.context("loading the guests failed")?.map_err(all)?;
        if config.nats.is_none() {
            stages.federate = None;
        }
        let agents = match &config.tasks {
            Some(tasks) => {
                let (tasks, guests, memory) = (tasks.clone(), config.guests.clone(), memory.clone());
                let metrics = base.metrics.clone();
                let load = move || Agents::load(&tasks, &guests, |sandbox| memory.of(sandbox), &metrics, &witness);
                spawn_blocking(load).await.context("loading the agents failed")??
            }
            None => Agents::default(),
        };
        let tap = Tap::default();
        let open = {
            let (config, sandbox, stages) = (config.clone(), sandbox.clone(), stages.clone());
            let (agents, audit, tap) = (agents.clone(), audit.clone(), tap.clone());
            move || Swap::open(&config, &sandbox, &stages, &agents, &audit, &tap, reload)
        };
        let (swap, places) = spawn_blocking(open).await.context("preparing the slots failed")?;
        Ok(Self { stages, agents, tap, swap, places, proven })
    }

    /// Starts their tasks: one keeps those that prove themselves, one puts others into their places. Gives what lanes get
    /// of them, and the agents.
    pub fn attend(
        self,
        base: &Base<'_>,
        sandbox: Sandbox,
        hangups: Signal,
        tasks: &mut JoinSet<Ended>,
    ) -> (Stages, Tap, Agents) {
        let Self { stages, agents, tap, places, proven, .. } = self;
        tasks.spawn(named("good guests", sandbox.keep_good(proven, base.stops.good.clone())));
        tasks.spawn(named("guests' places", places.run(hangups, base.stops.swap.clone())));
        (stages, tap, agents)
    }
}
