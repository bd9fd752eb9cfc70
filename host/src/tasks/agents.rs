use std::{collections::BTreeMap, sync::Arc};

use super::Config;
use crate::{
    config::Guests,
    sandbox::{Agent, Guest, LoadError, Sandbox, SetupError},
    telemetry::{Metrics, SlotName, Stage},
};

/// The guests that are agents, by name.
#[derive(Clone, Debug, Default)]
pub struct Agents(BTreeMap<String, Arc<Guest<Agent>>>);

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

    /// Loads all of them into their engine, once it has what guests may remember and look up in.
    ///
    /// # Errors
    /// One cannot be loaded; the error names every one that cannot.
    pub fn load(
        config: &Config,
        guests: &Guests,
        furnish: impl FnOnce(Sandbox) -> Sandbox,
        metrics: &Metrics,
    ) -> Result<Self, AgentsError> {
        if config.agents.is_empty() {
            return Ok(Self::default());
        }
        let sandbox = furnish(Self::sandbox(config, guests)?);
        let (mut loaded, mut wrong) = (BTreeMap::new(), Vec::new());
        for (name, agent) in &config.agents {
            match Guest::load(&sandbox, &agent.guest(), &metrics.guest(place(name))) {
                Ok(guest) => drop(loaded.insert(name.clone(), Arc::new(guest))),
                Err(error) => wrong.push((name.clone(), error)),
            }
        }
        if wrong.is_empty() { Ok(Self(loaded)) } else { Err(AgentsError::Load(wrong)) }
    }

    /// The guest that is the agent `name`.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&Arc<Guest<Agent>>> {
        self.0.get(name)
    }

    /// Names and guests.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Guest<Agent>)> {
        self.0.iter().map(|(name, guest)| (name.as_str(), &**guest))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// The place of an agent's guest, as in labels and logs.
pub(crate) fn place(agent: &str) -> SlotName {
    SlotName::of_rule(Stage::Task, agent)
}
