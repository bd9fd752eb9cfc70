use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;
use sha2::{Digest as _, Sha256};
use wasmtime::{Store, StoreContextMut, UpdateDeadline, component::InstancePre};

use super::{
    CompileError, Denied, Kept,
    answer::cut,
    bindings::aurora::event::types::Failure,
    engine::{Sandbox, TICK},
    fault::Fault,
    import::{Settings, State, Voice},
    inspect::Inspection,
    trial::Hearing,
    world::World,
};
use crate::{
    config::{self, Grant, Grants, Instance},
    intel::{LOOKUPS, Lookup},
    state::{Draft, Mark, ReadOnly, Table},
    supply::{Distrusted, FetchError, Fetched, Verdict},
    telemetry::GuestMetrics,
};

/// SHA-256 of a component's bytes: which guest it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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

    /// Counts an answer that failed a check outside the call.
    pub(crate) fn count_garbage(&self) {
        self.metrics.faults("garbage").inc();
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

/// A lane's way to call one guest. Not shared between threads.
pub struct Caller<W: World> {
    guest: Arc<Guest<W>>,
    /// The instance that lives on, where the site wants that.
    reused: Option<(Store<State>, W::Exports)>,
    /// Of the events of the next call.
    marks: Vec<Mark>,
    /// What the last call would write.
    draft: Option<Draft>,
}

impl<W: World> Caller<W> {
    /// Calls `guest`.
    #[must_use]
    pub fn new(guest: Arc<Guest<W>>) -> Self {
        Self { guest, reused: None, marks: Vec::new(), draft: None }
    }

    /// The next call is about events with these `marks`, if its guest remembers anything.
    pub fn about(&mut self, marks: impl Iterator<Item = Mark>) {
        self.marks.clear();
        if self.guest.table.is_some() {
            self.marks.extend(marks);
        }
    }

    /// Writes what the last call would remember. To be called once its answer has passed its checks: of a call after which it
    /// is not, nothing is written.
    pub fn keep(&mut self) {
        if let Some(draft) = self.draft.take() {
            draft.keep();
        }
    }

    /// The guest.
    #[must_use]
    pub fn guest(&self) -> &Arc<Guest<W>> {
        &self.guest
    }

    /// One call, of at most `deadline` of this thread's CPU time. After a fault the instance is gone.
    ///
    /// # Errors
    /// [`Fault`] says what the guest did wrong.
    pub fn call(&mut self, input: W::Input<'_>, deadline: Duration) -> Result<W::Answer, Fault> {
        let draft = self.guest.table.as_ref().map(|table| Draft::new(table, std::mem::take(&mut self.marks)));
        self.draft = None;
        let (guest, begun) = (&self.guest, Instant::now());
        guest.metrics.calls.inc();
        let fault = |error: wasmtime::Error| Fault::of(&error, deadline.as_millis(), guest.limits.output);
        let answer = match self.reused.take() {
            Some(instance) => Ok(instance),
            None => guest.instance(deadline).map_err(fault),
        }
        .and_then(|(mut store, exports)| {
            store.set_epoch_deadline(ticks(deadline));
            let state = store.data_mut();
            state.lines_left = guest.limits.log_lines;
            state.begun = cpu_time();
            state.budget = deadline;
            state.hearing.last_words.clear();
            state.set_time(W::time(input));
            state.draft = draft;
            state.lookup = guest.lookup.clone().map(|lookup| (lookup, LOOKUPS));
            let mut answer = match W::call(&exports, &mut store, input) {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(Failure::InvalidSettings(text))) => {
                    Err(Fault::Failure(cut(format!("invalid settings: {text}"))))
                }
                Ok(Err(Failure::Other(text))) => Err(Fault::Failure(cut(text))),
                Err(error) => Err(fault(error)),
            };
            let state = store.data_mut();
            state.flush();
            self.draft = state.draft.take();
            if let Err(fault) = &mut answer {
                fault.add_last_words(state.hearing.take_last_words());
            }
            guest.metrics.log_lines_suppressed.inc_by(u64::from(std::mem::take(&mut state.lines_suppressed)));
            let peak = i64::try_from(state.memory_peak).unwrap_or(i64::MAX);
            if peak > guest.metrics.memory_high_water.get() {
                guest.metrics.memory_high_water.set(peak);
            }
            if guest.limits.instance == Instance::Reuse && answer.is_ok() {
                self.reused = Some((store, exports));
            }
            answer
        });
        guest.metrics.seconds.inc_by(begun.elapsed().as_secs_f64());
        if let Err(fault) = &answer {
            guest.metrics.faults(fault.reason()).inc();
        }
        answer
    }
}

impl<W: World> fmt::Debug for Caller<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("guest", &self.guest).finish_non_exhaustive()
    }
}

/// What happens at the deadline. It is kept in the thread's CPU time: on a machine that is too busy to run us a guest
/// has not spun, and its events must not become dead letters for that.
fn out_of_time(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data();
    match state.budget.checked_sub(cpu_time().saturating_sub(state.begun)) {
        Some(left) if !left.is_zero() => Ok(UpdateDeadline::Continue(ticks(left))),
        _ => Ok(UpdateDeadline::Interrupt),
    }
}

/// CPU time of this thread so far.
pub(super) fn cpu_time() -> Duration {
    ThreadTime::now().as_duration()
}

/// One more than fits: the tick that is under way may end at once.
fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX - 1) + 1
}

fn check_world<W: World>(inspection: &Inspection, path: &Path) -> Result<(), LoadError> {
    if inspection.exports(W::EXPORT) {
        return Ok(());
    }
    let found = if inspection.exports.is_empty() { "nothing".to_owned() } else { inspection.exports.join(", ") };
    Err(LoadError::World { path: path.to_owned(), wanted: W::EXPORT, found })
}
