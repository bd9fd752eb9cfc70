mod load;
mod call;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use wasmtime::{Store, component::InstancePre};

use super::{
    Kept,
    deadline::{cpu_time, out_of_time, ticks},
    digest::Digest,
    import::{Settings, State, Voice},
    trial::Hearing,
    world::World,
};
use crate::{
    config::{Grants, Instance},
    intel::Lookup,
    state::{ReadOnly, Table},
    supply::Verdict,
    telemetry::GuestMetrics,
};

pub use call::Caller;
pub use load::{LoadError, settings_of};

/// A component that was loaded for a stage, checked and linked.
pub struct Guest<W: World> {
    name: Arc<str>,
    digest: Digest,
    digest_text: Arc<str>,
    pre: InstancePre<State>,
    indices: W::Indices,
    settings: Arc<Settings>,
    grants: Grants,
    /// What of them it does not import.
    unused: Grants,
    limits: Limits,
    metrics: GuestMetrics,
    voice: Voice,
    verdict: Verdict,
    /// What it remembers, if it imports that.
    pub(super) table: Option<Table>,
    /// Where it looks observables up, if it imports that.
    pub(super) lookup: Option<Arc<dyn Lookup>>,
    /// The component, until it is kept as a good one.
    wasm: Mutex<Option<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    memory: usize,
    deadline: Duration,
    output: u64,
    log_lines: u32,
    instance: Instance,
    fuel: Option<u64>,
}

impl<W: World> Guest<W> {
    /// Whether it is this one, with the same settings.
    #[must_use]
    pub fn is(&self, kept: &Kept) -> bool {
        self.digest == Digest::of(&kept.wasm) && *self.settings == kept.settings
    }

    /// As it is to be kept. Only once, for the bytes go with it, and only where there is a cache to keep it in.
    pub(crate) fn take_kept(&self) -> Option<Kept> {
        let wasm = self.wasm.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Kept {
            slot: self.metrics.slot().clone(),
            name: self.name.to_string(),
            settings: (*self.settings).clone(),
            wasm,
            signature: None,
        })
    }

    /// The component, as long as it has not been kept as a good one.
    #[must_use]
    pub fn copy_wasm(&self) -> Option<Vec<u8>> {
        self.wasm.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same guest, to be called apart from this one: it counts in `metrics`, and speaks with `voice`.
    #[must_use]
    pub fn apart(&self, metrics: &GuestMetrics, voice: Voice) -> Self {
        Self {
            name: Arc::clone(&self.name),
            digest: self.digest,
            digest_text: Arc::clone(&self.digest_text),
            pre: self.pre.clone(),
            indices: self.indices.clone(),
            settings: Arc::clone(&self.settings),
            grants: self.grants.clone(),
            unused: self.unused.clone(),
            limits: self.limits,
            metrics: metrics.clone(),
            verdict: self.verdict.clone(),
            voice,
            // It reads what the one that decides remembers, and leaves it as it is.
            table: self.table.as_ref().map(|table| Table {
                shelf: Arc::new(ReadOnly(Arc::clone(&table.shelf))),
                metrics: metrics.state(),
                ..table.clone()
            }),
            lookup: self.lookup.clone(),
            wasm: Mutex::new(None),
        }
    }

    /// Its file's name without the ending.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which guest it is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// [`Self::digest`] as text.
    #[must_use]
    pub fn digest_text(&self) -> &Arc<str> {
        &self.digest_text
    }

    /// What its signatures are worth.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What its site grants it.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What of that it does not import.
    #[must_use]
    pub fn unused(&self) -> &Grants {
        &self.unused
    }

    /// Whether it looks observables up.
    #[must_use]
    pub fn looks_up(&self) -> bool {
        self.lookup.is_some()
    }

    /// Most time of a call.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.limits.deadline
    }

    /// Most bytes of an answer.
    #[must_use]
    pub fn output(&self) -> u64 {
        self.limits.output
    }

    fn instance(&self, deadline: Duration) -> wasmtime::Result<(Store<State>, W::Exports)> {
        self.instance_with(Arc::clone(&self.settings), deadline)
    }

    pub(super) fn instance_with(
        &self,
        settings: Arc<Settings>,
        deadline: Duration,
    ) -> wasmtime::Result<(Store<State>, W::Exports)> {
        let state = State {
            stage: W::STAGE,
            guest: Arc::clone(&self.name),
            settings,
            voice: self.voice,
            lines_left: self.limits.log_lines,
            lines_suppressed: 0,
            begun: cpu_time(),
            budget: deadline,
            memory_limit: self.limits.memory,
            memory_peak: 0,
            hearing: Hearing::default(),
            now: 0,
            wasi: None,
            draft: None,
            lookup: None,
        };
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(usize::try_from(self.limits.output).unwrap_or(usize::MAX));
        store.epoch_deadline_callback(out_of_time);
        store.set_epoch_deadline(ticks(deadline));
        if let Some(fuel) = self.limits.fuel {
            store.set_fuel(fuel)?;
        }
        let instance = self.pre.instantiate(&mut store)?;
        let exports = W::exports(&self.indices, &mut store, &instance)?;
        Ok((store, exports))
    }
}

impl<W: World> fmt::Debug for Guest<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}
