use std::sync::Arc;

use super::{
    choice::Conditions,
    slot::{Filling, Slot, Witness},
    slots::Slots,
};
use crate::{
    broker::jetstream::Subjects,
    config::{self, Config, Rule},
    federation::{Ceiling, inbound},
    sandbox::{Digest, Federation, Guest, Inbound, LoadError, Normalizer, Router, Sandbox, World},
    swap,
    telemetry::{Chain, GuestMetrics, Metrics, SlotName},
};

/// The guests of all stages, and what they may name.
#[derive(Clone, Debug)]
pub struct Stages {
    /// Raw to normalized.
    pub normalize: Slots<Normalizer>,
    /// Which streams.
    pub route: Slots<Router>,
    /// What leaves the site; none where nothing may.
    pub federate: Option<Slots<Federation>>,
    /// What of other sites' messages comes in; none where the host's checks alone decide.
    pub judge: Option<Slots<Inbound>>,
    /// The streams that a router may name.
    pub streams: Arc<[String]>,
    /// The subjects that a policy may name.
    pub subjects: Arc<Subjects>,
    /// What no policy can go beyond.
    pub ceiling: Arc<Ceiling>,
    /// How messages of other sites are read.
    pub inbound: Arc<inbound::Rules>,
}

/// A slot of whichever stage.
#[derive(Clone, Debug)]
pub enum AnySlot {
    /// Raw to normalized.
    Normalize(Arc<Slot<Normalizer>>),
    /// Which streams.
    Route(Arc<Slot<Router>>),
    /// What leaves the site.
    Federate(Arc<Slot<Federation>>),
    /// What of other sites' messages comes in.
    Inbound(Arc<Slot<Inbound>>),
}

impl AnySlot {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &SlotName {
        match self {
            Self::Normalize(slot) => slot.name(),
            Self::Route(slot) => slot.name(),
            Self::Federate(slot) => slot.name(),
            Self::Inbound(slot) => slot.name(),
        }
    }

    /// Name of the guest that is meant to decide, and its digest.
    #[must_use]
    pub fn present(&self) -> (String, Digest) {
        fn of<W: World>(slot: &Slot<W>) -> (String, Digest) {
            let guest = slot.present();
            (guest.name().to_owned(), guest.digest())
        }
        match self {
            Self::Normalize(slot) => of(slot),
            Self::Route(slot) => of(slot),
            Self::Federate(slot) => of(slot),
            Self::Inbound(slot) => of(slot),
        }
    }
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
        let normalize = slots::<Normalizer>(sandbox, &guests.normalize, metrics, witness);
        let route = slots::<Router>(sandbox, &guests.route, metrics, witness);
        let federate = slots::<Federation>(sandbox, &guests.federate, metrics, witness);
        let judge = guests.inbound.as_ref().map(|guest| slots::<Inbound>(sandbox, guest, metrics, witness)).transpose();
        let redis = config.redis.clone().unwrap_or_default();
        let nats = config.nats.clone().unwrap_or_default();
        let streams: Vec<String> = redis.routable().map(|(name, _)| name.clone()).collect();
        match (normalize, route, federate, judge) {
            (Ok(normalize), Ok(route), Ok(federate), Ok(judge)) => Ok(Self {
                normalize,
                route,
                federate: Some(federate),
                judge,
                inbound: Arc::new(inbound::Rules::new(config, &streams)),
                streams: streams.into(),
                subjects: Arc::new(Subjects::new(&nats.subjects)),
                ceiling: Arc::new(Ceiling::new(config)),
            }),
            (normalize, route, federate, judge) => {
                let errors = [normalize.err(), route.err(), federate.err(), judge.err()];
                Err(errors.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// Every slot, stage by stage: the stock one, then those of the rules in their order.
    pub fn all(&self) -> impl Iterator<Item = AnySlot> {
        let normalize = self.normalize.iter().cloned().map(AnySlot::Normalize);
        let route = self.route.iter().cloned().map(AnySlot::Route);
        let federate = self.federate.iter().flatten().cloned().map(AnySlot::Federate);
        let judge = self.judge.iter().flatten().cloned().map(AnySlot::Inbound);
        normalize.chain(route).chain(federate).chain(judge)
    }

    /// The slot with this name, as in `normalize` or `normalize/acme`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<AnySlot> {
        self.all().find(|slot| slot.name().as_str() == name)
    }
}

/// The stock slot of a stage, and those of its rules.
fn slots<W: World>(
    sandbox: &Sandbox,
    config: &config::Guest,
    metrics: &Metrics,
    witness: Option<&Witness>,
) -> Result<Slots<W>, Vec<LoadError>> {
    let stage = W::STAGE;
    let stock = Slot::<W>::load(sandbox, config, &metrics.guest(stage), witness);
    let of_rule = |rule: &Rule| -> Result<_, LoadError> {
        let metrics = metrics.guest(SlotName::of_rule(stage, &rule.name));
        Ok((Conditions::from(rule), Slot::<W>::load(sandbox, &rule.guest, &metrics, witness)?))
    };
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for rule in config.rules.iter().map(of_rule) {
        match rule {
            Ok(rule) => rules.push(rule),
            Err(error) => errors.push(error),
        }
    }
    match stock {
        Ok(stock) if errors.is_empty() => Ok(Slots::new(stock, rules)),
        stock => Err(stock.err().into_iter().chain(errors).collect()),
    }
}

impl<W: World> Slot<W> {
    /// The slot for the guest of `config`, with that guest in it, or with the one that goes before it: that which was
    /// installed there before a restart, or a last good one. Without a `witness` it is the guest of `config` and no other.
    ///
    /// # Errors
    /// There is none that can be loaded.
    pub(crate) fn load(
        sandbox: &Sandbox,
        config: &config::Guest,
        metrics: &GuestMetrics,
        witness: Option<&Witness>,
    ) -> Result<Self, LoadError> {
        let Some(witness) = witness else {
            return Ok(Self::unwatched(Guest::load(sandbox, config, metrics)?, metrics));
        };
        let (standing, gone) = match standing(sandbox, config, metrics) {
            Some(Ok(guest)) => (Some(guest), None),
            Some(Err(gone)) => (None, Some(gone)),
            None => (None, None),
        };
        let loaded = standing.map_or_else(|| Guest::load(sandbox, config, metrics), Ok);
        let mut filling = match config.breaker.may_stand_in(W::STAGE) {
            true => with_good(sandbox, config, metrics, loaded)?,
            false => Filling { present: loaded?, proven: false, last_good: None, note: None },
        };
        for note in gone.iter().chain(&filling.note) {
            witness.audit.record("guest-load-failed", format!("{} {note}", metrics.slot()));
        }
        filling.note = [gone, filling.note].into_iter().flatten().reduce(|all, note| format!("{all}; {note}"));
        Ok(Self::new(filling, &config.breaker, witness.clone(), metrics))
    }
}

/// The guest that ran before a restart, if it goes before the configuration's file; or why it does not run again.
fn standing<W: World>(
    sandbox: &Sandbox,
    config: &config::Guest,
    metrics: &GuestMetrics,
) -> Option<Result<Guest<W>, String>> {
    let (digest, kept) = swap::standing(sandbox, config, metrics.slot())?;
    let load = |kept| Ok(Guest::load_kept(sandbox, config, kept, &config.place(), metrics)?);
    Some(kept.and_then(load).map_err(|refused: swap::Refused| {
        let reason = format!("{digest} ran before the restart and does not run again: {}", refused.text());
        tracing::error!(slot = %metrics.slot(), reason, "the configuration's guest is to run instead");
        reason
    }))
}

/// Puts the guests that have proved themselves behind the one that was loaded, or in its place if it cannot be.
fn with_good<W: World>(
    sandbox: &Sandbox,
    config: &config::Guest,
    metrics: &GuestMetrics,
    loaded: Result<Guest<W>, LoadError>,
) -> Result<Filling<W>, LoadError> {
    let mut good = sandbox.good(metrics.slot()).into_iter();
    let load = |kept| match Guest::load_kept(sandbox, config, kept, &config.place(), metrics) {
        Ok(guest) => Some(guest),
        Err(error) => {
            let error = Chain(&error).to_string();
            tracing::warn!(slot = %metrics.slot(), error, "a guest that was kept cannot be loaded and is not used");
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
            tracing::error!(slot = %metrics.slot(), error, last_good = &**digest, "a guest cannot be loaded");
            let note = format!("{error}; the last good guest {digest} is in its place");
            (present, true, Some(note))
        }
    };
    let last_good = good.filter(|kept| !present.is(kept)).find_map(load);
    Ok(Filling { present, proven, last_good, note })
}
