use std::sync::Arc;

use super::slot::{Filling, Slot, Witness};
use crate::{
    broker::jetstream::Subjects,
    config::{self, Config},
    sandbox::{Federation, Guest, LoadError, Normalizer, Router, Sandbox, World},
    telemetry::{Chain, Metrics},
};

/// The guests of all stages, and what they may name.
#[derive(Clone, Debug)]
pub struct Stages {
    /// Raw to normalized.
    pub normalize: Arc<Slot<Normalizer>>,
    /// Which streams.
    pub route: Arc<Slot<Router>>,
    /// What leaves the site; none where nothing may.
    pub federate: Option<Arc<Slot<Federation>>>,
    /// The streams that a router may name.
    pub streams: Arc<[String]>,
    /// The subjects that a policy may name.
    pub subjects: Arc<Subjects>,
}

impl Stages {
    /// Loads the guests of `config`. With a `witness` their faults are held against them; without, as for `aurora pipe`,
    /// each event gets what its guest makes of it.
    ///
    /// # Errors
    /// Everything that is wrong with them, not only the first.
    pub fn load(
        config: &Config,
        sandbox: &Sandbox,
        metrics: &Metrics,
        witness: Option<&Witness>,
    ) -> Result<Self, Vec<LoadError>> {
        let guests = &config.guests;
        let normalize = slot::<Normalizer>(sandbox, &guests.normalize, metrics, witness);
        let route = slot::<Router>(sandbox, &guests.route, metrics, witness);
        let federate = slot::<Federation>(sandbox, &guests.federate, metrics, witness);
        let redis = config.redis.clone().unwrap_or_default();
        let nats = config.nats.clone().unwrap_or_default();
        match (normalize, route, federate) {
            (Ok(normalize), Ok(route), Ok(federate)) => Ok(Self {
                normalize: Arc::new(normalize),
                route: Arc::new(route),
                federate: Some(Arc::new(federate)),
                streams: redis.routable().map(|(name, _)| name.clone()).collect(),
                subjects: Arc::new(Subjects::new(&nats.subjects)),
            }),
            (normalize, route, federate) => {
                Err([normalize.err(), route.err(), federate.err()].into_iter().flatten().collect())
            }
        }
    }
}

fn slot<W: World>(
    sandbox: &Sandbox,
    config: &config::Guest,
    metrics: &Metrics,
    witness: Option<&Witness>,
) -> Result<Slot<W>, LoadError> {
    let loaded = Guest::load(sandbox, config, metrics);
    let Some(witness) = witness else { return Ok(Slot::unwatched(loaded?, metrics)) };
    let filling = match config.breaker.may_stand_in(W::STAGE) {
        true => with_good(sandbox, config, metrics, loaded)?,
        false => Filling { present: loaded?, proven: false, last_good: None, note: None },
    };
    if let Some(note) = &filling.note {
        witness.audit.record("guest-load-failed", format!("{} {note}", W::STAGE));
    }
    Ok(Slot::new(filling, &config.breaker, witness.clone(), metrics))
}

/// Puts the guests that have proved themselves behind the one that was loaded, or in its place if it cannot be.
fn with_good<W: World>(
    sandbox: &Sandbox,
    config: &config::Guest,
    metrics: &Metrics,
    loaded: Result<Guest<W>, LoadError>,
) -> Result<Filling<W>, LoadError> {
    let mut good = sandbox.good(W::STAGE).into_iter();
    let load = |kept| match Guest::load_kept(sandbox, config, kept, &config.path, metrics) {
        Ok(guest) => Some(guest),
        Err(error) => {
            let error = Chain(&error).to_string();
            tracing::warn!(stage = %W::STAGE, error, "a guest that was kept cannot be loaded and is not used");
            None
        }
    };
    let (present, proven, note) = match loaded {
        Ok(present) => {
            let proven = good.as_slice().first().is_some_and(|newest| present.is(newest));
            (present, proven, None)
        }
        Err(error) => {
            // What stands in the configuration is what its author has to hear of.
            let Some(present) = good.find_map(load) else { return Err(error) };
            let (error, digest) = (Chain(&error).to_string(), present.digest_text());
            tracing::error!(stage = %W::STAGE, error, last_good = &**digest, "a guest cannot be loaded");
            let note = format!("{error}; the last good guest {digest} is in its place");
            (present, true, Some(note))
        }
    };
    let last_good = good.filter(|kept| !present.is(kept)).find_map(load);
    Ok(Filling { present, proven, last_good, note })
}
