//! The same guests apart from the lanes', for a rehearsal: in slots that hold nothing against them and count elsewhere,
//! and without a voice.

use std::sync::Arc;

use super::{slot::Slot, slots::Slots, stages::Stages};
use crate::{
    sandbox::{Agent, Federation, Inbound, Normalizer, Router, Voice, World},
    telemetry::{Metrics, SlotName},
};

/// A world whose guests stand in slots.
pub trait Staged: World {
    /// Those that [`Stages`] has, if any: agents are no stage, and no event comes by them.
    fn slots(stages: &Stages) -> Option<&Slots<Self>>;

    /// The same, to be changed.
    fn slots_mut(stages: &mut Stages) -> Option<&mut Slots<Self>>;

    /// The one with this name.
    fn find(stages: &Stages, name: &SlotName) -> Option<Arc<Slot<Self>>> {
        Self::slots(stages)?.get(name).cloned()
    }
}

impl Staged for Normalizer {
    fn slots(stages: &Stages) -> Option<&Slots<Self>> {
        Some(&stages.normalize)
    }

    fn slots_mut(stages: &mut Stages) -> Option<&mut Slots<Self>> {
        Some(&mut stages.normalize)
    }
}

impl Staged for Router {
    fn slots(stages: &Stages) -> Option<&Slots<Self>> {
        Some(&stages.route)
    }

    fn slots_mut(stages: &mut Stages) -> Option<&mut Slots<Self>> {
        Some(&mut stages.route)
    }
}

impl Staged for Federation {
    fn slots(stages: &Stages) -> Option<&Slots<Self>> {
        stages.federate.as_ref()
    }

    fn slots_mut(stages: &mut Stages) -> Option<&mut Slots<Self>> {
        stages.federate.as_mut()
    }
}

impl Staged for Inbound {
    fn slots(stages: &Stages) -> Option<&Slots<Self>> {
        stages.judge.as_ref()
    }

    fn slots_mut(stages: &mut Stages) -> Option<&mut Slots<Self>> {
        stages.judge.as_mut()
    }
}

impl Staged for Agent {
    fn slots(_: &Stages) -> Option<&Slots<Self>> {
        None
    }

    fn slots_mut(_: &mut Stages) -> Option<&mut Slots<Self>> {
        None
    }
}

impl Stages {
    /// The present guests again, counting in `metrics`.
    #[must_use]
    pub fn apart(&self, metrics: &Metrics) -> Self {
        Self {
            inbound: Arc::clone(&self.inbound),
            normalize: apart(&self.normalize, metrics),
            route: apart(&self.route, metrics),
            federate: self.federate.as_ref().map(|slots| apart(slots, metrics)),
            judge: self.judge.as_ref().map(|slots| apart(slots, metrics)),
            streams: Arc::clone(&self.streams),
            subjects: Arc::clone(&self.subjects),
            ceiling: Arc::clone(&self.ceiling),
        }
    }

    /// With `slot` in the place of the one that is called `name`.
    #[must_use]
    pub fn with<W: Staged>(mut self, name: &SlotName, slot: Slot<W>) -> Self {
        if let Some(slots) = W::slots_mut(&mut self) {
            let mut slot = Some(Arc::new(slot));
            *slots = slots.map(|known| match &mut slot {
                slot @ Some(_) if known.name() == name => slot.take().unwrap_or_else(|| Arc::clone(known)),
                _ => Arc::clone(known),
            });
        }
        self
    }
}

fn apart<W: World>(slots: &Slots<W>, metrics: &Metrics) -> Slots<W> {
    slots.map(|slot| {
        let metrics = metrics.guest(slot.name().clone());
        Arc::new(Slot::unwatched(slot.present().apart(&metrics, Voice::Mute), &metrics))
    })
}
