//! From a file or a registry to a guest that can be called, and everything that may be wrong on the way.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{Guest, Limits};
use crate::{
    config::{self, Grant},
    sandbox::{
        CompileError, Denied, Kept, Sandbox,
        digest::Digest,
        import::{Settings, State, Voice},
        inspect::Inspection,
        world::World,
    },
    state::Table,
    supply::{Distrusted, FetchError, Fetched},
    telemetry::GuestMetrics,
};

/// A guest cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The site does not believe it.
    #[error("{} may not run here", path.display())]
    Distrusted {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Distrusted,
    },
    /// It is not a component that this engine runs, or costs too much to compile.
    #[error("{} cannot be compiled", path.display())]
    Compile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CompileError,
    },
    /// It wants something that its site does not grant it.
    #[error("{} imports {denied}", path.display())]
    Imports {
        /// Which file.
        path: PathBuf,
        /// What it wants.
        denied: Denied,
    },
    /// It was written for another stage, or another version.
    #[error("{} exports {found}, not {wanted}@0.1", path.display())]
    World {
        /// Which file.
        path: PathBuf,
        /// The interface of the stage.
        wanted: &'static str,
        /// What it exports.
        found: String,
    },
    /// It does not start, or its functions have other types than its world.
    #[error("{} does not start as a guest of its world", path.display())]
    Start {
        /// Which file.
        path: PathBuf,
        /// wasmtime's reason.
        #[source]
        source: wasmtime::Error,
    },
    /// A setting has no form in JSON.
    #[error("option {key} of {} cannot be handed to a guest", path.display())]
    Option {
        /// Which guest.
        path: PathBuf,
        /// Which option.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// The settings of `config` as its guest gets them. Errors name `path`.
///
/// # Errors
/// One has no form in JSON.
pub fn settings_of(config: &config::Guest, path: &Path) -> Result<Settings, LoadError> {
    let settings = config.options.iter().map(|(key, value)| match serde_json::to_string(value) {
        Ok(json) => Ok((key.clone(), json)),
        Err(source) => Err(LoadError::Option { path: path.to_owned(), key: key.clone(), source }),
    });
    settings.collect()
}

impl<W: World> Guest<W> {
    /// Loads the component that `config` names: reads or pulls it, checks its signatures, compiles it (or takes it from
    /// the cache), checks imports and exports against its grants and its world, links, and starts it once.
    ///
    /// # Errors
    /// [`LoadError`] says which of these failed.
    pub fn load(sandbox: &Sandbox, config: &config::Guest, metrics: &GuestMetrics) -> Result<Self, LoadError> {
        let place = config.place();
        let Fetched { name, wasm, signature, .. } = sandbox.supply.fetch(&config.source())?;
        let settings = settings_of(config, &place)?;
        let kept = Kept { slot: metrics.slot().clone(), name, settings, wasm, signature };
        let guest = Self::load_kept(sandbox, config, kept, &place, metrics)?;
        if !guest.unused.is_empty() {
            let (slot, guest, grants) = (metrics.slot(), guest.name(), &guest.unused);
            tracing::info!(%slot, guest, %grants, "the guest is granted what it does not import");
        }
        Ok(guest)
    }

    /// The same for one that was kept, with its own settings and the limits of `config`. Errors name `path`.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_kept(
        sandbox: &Sandbox,
        config: &config::Guest,
        kept: Kept,
        path: &Path,
        metrics: &GuestMetrics,
    ) -> Result<Self, LoadError> {
        let Kept { name, settings, wasm, signature, .. } = kept;
        let digest = Digest::of(&wasm);
        // Before anything else looks at the bytes.
        let verdict = sandbox
            .supply
            .trust()
            .judge(&digest, signature.as_deref())
            .map_err(|source| LoadError::Distrusted { path: path.to_owned(), source })?;
        if let Some(text) = &signature {
            sandbox.supply.remember(&digest, text);
        }
        let component =
            sandbox.component(&wasm, digest).map_err(|source| LoadError::Compile { path: path.to_owned(), source })?;
        let inspection = Inspection::of_component(&component, sandbox, digest, wasm.len());
        Denied::check(&inspection.imports, &config.grants, metrics.slot())
            .map_err(|denied| LoadError::Imports { path: path.to_owned(), denied })?;
        check_world::<W>(&inspection, path)?;
        let start = |source| LoadError::Start { path: path.to_owned(), source };
        let linker = State::linker(&sandbox.engine, &config.grants).map_err(start)?;
        let needs = inspection.needs();
        let pre = linker.instantiate_pre(&component).map_err(start)?;
        let indices = W::indices(&pre).map_err(start)?;
        let guest = Self {
            name: name.into(),
            digest,
            digest_text: digest.to_string().into(),
            pre,
            indices,
            settings: Arc::new(settings),
            grants: config.grants.clone(),
            unused: config.grants.iter().filter(|grant| !needs.hold(*grant)).collect(),
            limits: Limits {
                memory: usize::try_from(config.memory.as_u64()).unwrap_or(usize::MAX),
                deadline: config.deadline,
                output: config.output.as_u64(),
                log_lines: config.log_lines,
                instance: config.instance,
                fuel: sandbox.fuel,
            },
            metrics: metrics.clone(),
            voice: Voice::Live,
            verdict,
            table: needs.hold(Grant::State).then(|| Table {
                shelf: Arc::clone(&sandbox.shelf),
                slot: metrics.slot().clone(),
                limits: config.state.clone(),
                metrics: metrics.state(),
            }),
            lookup: needs.hold(Grant::Lookup).then(|| Arc::clone(&sandbox.lookup)),
            wasm: Mutex::new(sandbox.cache.is_some().then_some(wasm)),
        };
        guest.instance(Duration::from_secs(1)).map_err(start)?;
        Ok(guest)
    }
}

fn check_world<W: World>(inspection: &Inspection, path: &Path) -> Result<(), LoadError> {
    if inspection.exports(W::EXPORT) {
        return Ok(());
    }
    let found = if inspection.exports.is_empty() { "nothing".to_owned() } else { inspection.exports.join(", ") };
    Err(LoadError::World { path: path.to_owned(), wanted: W::EXPORT, found })
}
