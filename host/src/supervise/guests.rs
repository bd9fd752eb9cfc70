//! The guests of all stages, and the places where others take theirs.

use anyhow::Context as _;
use tokio::{
    signal::unix::Signal,
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
};

use super::{Ended, all, base::Base, named};
use crate::{
    pipeline::{Audit, Stages, Tap, Witness},
    sandbox::{Kept, Sandbox},
    swap::{Places, Reload, Swap},
};

/// The guests, loaded.
pub(super) struct Guests {
    pub stages: Stages,
    /// Where lanes leave copies of their batches, for rehearsals.
    pub tap: Tap,
    /// For whoever wants another one in a place.
    pub swap: Swap,
    places: Places,
    /// Those that have proved themselves.
    proven: mpsc::Receiver<Kept>,
}

impl Guests {
    /// Loads them into their slots; those that were installed before a restart are in their places after it.
    ///
    /// # Errors
    /// Every guest that cannot be loaded.
    pub async fn load(base: &Base<'_>, sandbox: &Sandbox, audit: &Audit, reload: Reload) -> anyhow::Result<Self> {
        let config = base.config;
        let (kept, proven) = mpsc::channel(config.guests.all().count());
        let witness = Witness { audit: audit.clone(), readiness: base.readiness.clone(), proven: kept };
        let load = {
            let (config, sandbox, metrics) = (config.clone(), sandbox.clone(), base.metrics.clone());
            move || Stages::load(&config, &sandbox, &metrics, Some(&witness))
        };
        let mut stages = spawn_blocking(load).await.context("loading the guests failed")?.map_err(all)?;
        if config.nats.is_none() {
            stages.federate = None;
        }
        let tap = Tap::default();
        let open = {
            let (config, sandbox, stages) = (config.clone(), sandbox.clone(), stages.clone());
            let (audit, tap) = (audit.clone(), tap.clone());
            move || Swap::open(&config, &sandbox, &stages, &audit, &tap, reload)
        };
        let (swap, places) = spawn_blocking(open).await.context("preparing the slots failed")?;
        Ok(Self { stages, tap, swap, places, proven })
    }

    /// Starts their tasks: one keeps those that prove themselves, one puts others into their places. Gives what lanes get
    /// of them.
    pub fn attend(
        self,
        base: &Base<'_>,
        sandbox: Sandbox,
        hangups: Signal,
        tasks: &mut JoinSet<Ended>,
    ) -> (Stages, Tap) {
        let Self { stages, tap, places, proven, .. } = self;
        tasks.spawn(named("good guests", sandbox.keep_good(proven, base.stops.good.clone())));
        tasks.spawn(named("guests' places", places.run(hangups, base.stops.swap.clone())));
        (stages, tap)
    }
}
