use wasmtime::component::Component;

use super::{
    Agent, CompileError, Federation, Inbound, Need, Normalizer, Router, Sandbox, World,
    digest::Digest,
    grant::{interface, needed},
};
use crate::{config::Grants, telemetry::Stage};

/// What a component says of itself.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Which it is.
    pub digest: Digest,
    /// Its size, bytes.
    pub size: usize,
    /// Interfaces that it wants.
    pub imports: Vec<String>,
    /// Interfaces that it offers.
    pub exports: Vec<String>,
}

/// The bytes are no component that this host runs.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NotAComponent(#[from] CompileError);

impl Inspection {
    /// Inspects the component in `bytes`.
    ///
    /// # Errors
    /// If it is none that this host runs.
    pub fn of(sandbox: &Sandbox, bytes: &[u8]) -> Result<Self, NotAComponent> {
        let digest = Digest::of(bytes);
        Ok(Self::of_component(&sandbox.component(bytes, digest)?, sandbox, digest, bytes.len()))
    }

    pub(super) fn of_component(component: &Component, sandbox: &Sandbox, digest: Digest, size: usize) -> Self {
        let types = component.component_type();
        Self {
            digest,
            size,
            imports: types.imports(&sandbox.engine).map(|(name, _)| name.to_owned()).collect(),
            exports: types.exports(&sandbox.engine).map(|(name, _)| name.to_owned()).collect(),
        }
    }

    /// The grants that it needs.
    #[must_use]
    pub fn needs(&self) -> Grants {
        needed(&self.imports)
    }

    /// Imports that no grant gives.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.imports.iter().filter(|import| Need::of(import) == Need::Refused).cloned().collect()
    }

    /// Whether it exports the interface `wanted`, in whatever version.
    #[must_use]
    pub fn exports(&self, wanted: &str) -> bool {
        self.exports.iter().any(|name| interface(name) == wanted)
    }

    /// The stages that it can serve; [`Stage::Task`] among them, which is none but has guests.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        [
            (Normalizer::EXPORT, Normalizer::STAGE),
            (Router::EXPORT, Router::STAGE),
            (Federation::EXPORT, Federation::STAGE),
            (Inbound::EXPORT, Inbound::STAGE),
            (Agent::EXPORT, Agent::STAGE),
        ]
        .into_iter()
        .filter(|(export, _)| self.exports(export))
        .map(|(_, stage)| stage)
        .collect()
    }
}
