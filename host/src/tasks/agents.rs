use std::{collections::BTreeMap, sync::Arc};

use super::{Config, crew::Tried};
use crate::{
    config::Guests,
    pipeline::{Slot, Witness},
    sandbox::{Agent, Guest, LoadError, Sandbox, SetupError},
    telemetry::{Metrics, SlotName, Stage},
};

/// The guests that are agents, by name. Each stands in a slot, so that another one can take its place between two tasks:
/// whoever does one has the guest with which it began. Cheap to clone.
#[derive(Clone, Default)]
pub struct Agents {
    slots: BTreeMap<String, Arc<Slot<Agent>>>,
    /// Their engine; none where there are none.
    sandbox: Option<Sandbox>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// No engine.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Guests that cannot be loaded.
    #[error("{}", .0.iter().map(|(agent, error)| format!("agent {agent}: {}", crate::telemetry::Chain(error))).collect::<Vec<_>>().join("\n        "))]
    Load(Vec<(String, LoadError)>),
}

impl Agents {
    /// An engine of their own, which takes guests from where `guests` says.
    ///
    /// # Errors
    /// It cannot be set up.
    pub fn sandbox(config: &Config, guests: &Guests) -> Result<Sandbox, SetupError> {
        let memory = config.agents.values().map(|agent| agent.memory.as_u64()).max().unwrap_or_default();
        Sandbox::beside(guests, config.workers, memory)
    }

    /// Loads all of them into their engine, once it has what guests may remember and look up in. `witness` hears of what
    /// befalls them.
    ///
    /// # Errors
    /// One cannot be loaded; the error names every one that cannot.
    pub fn load(
        config: &Config,
        guests: &Guests,
        furnish: impl FnOnce(Sandbox) -> Sandbox,
        metrics: &Metrics,
        witness: &Witness,
    ) -> Result<Self, AgentsError> {
        if config.agents.is_empty() {
            return Ok(Self::default());
        }
        let sandbox = furnish(Self::sandbox(config, guests)?);
        let (mut slots, mut wrong) = (BTreeMap::new(), Vec::new());
        for (name, agent) in &config.agents {
            match Slot::<Agent>::load(&sandbox, &agent.guest(), &metrics.guest(place(name)), Some(witness)) {
                Ok(slot) => drop(slots.insert(name.clone(), Arc::new(slot))),
                Err(error) => wrong.push((name.clone(), error)),
            }
        }
        if wrong.is_empty() { Ok(Self { slots, sandbox: Some(sandbox) }) } else { Err(AgentsError::Load(wrong)) }
    }

    /// Their engine, for who loads others; none where there are none.
    #[must_use]
    pub fn engine(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref()
    }

    /// The guest that is the agent `name` now.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<Arc<Guest<Agent>>> {
        self.slots.get(name).map(|slot| slot.present())
    }

    /// Names and slots.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Slot<Agent>>)> {
        self.slots.iter().map(|(name, slot)| (name.as_str(), slot))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.slots.keys().cloned().collect()
    }

    /// Takes in what an attempt has cost.
    pub(super) fn count(&self, Tried { job, is_fault, spent, .. }: &Tried) {
        if let Some(slot) = self.slots.get(&job.task.agent) {
            slot.count_call(&job.guest, *is_fault, *spent);
        }
    }
}

/// The place of an agent's guest, as in labels and logs.
pub(crate) fn place(agent: &str) -> SlotName {
    SlotName::of_rule(Stage::Task, agent)
}
