use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy, component::Component,
};

use super::{
    cache::Cache,
    compile::{CompileError, Compiler},
    digest::Digest,
};
use crate::{
    config::Guests,
    intel::{Lookup, Nowhere},
    state::{Local, Shelf},
    supply::Supply,
};

/// The engine that runs guests.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) engine: Engine,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) compiler: Compiler,
    /// Where guests come from, and whom they are believed.
    pub(super) supply: Arc<Supply>,
    /// Fuel of a call, where it is counted.
    pub(super) fuel: Option<u64>,
    /// Where guests remember.
    pub(super) shelf: Arc<dyn Shelf>,
    /// Where they look observables up.
    pub(super) lookup: Arc<dyn Lookup>,
}

/// The sandbox cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// wasmtime refuses its configuration; most often there is too little address space.
    #[error(
        "cannot set up the WebAssembly engine for {instances} instances; if address space is limited (ulimit -v), \
         raise it or lower lanes.count"
    )]
    Engine {
        /// How many we asked for.
        instances: u32,
        /// wasmtime's reason.
        #[source]
        source: wasmtime::Error,
    },
    /// The folder of compiled guests cannot be used.
    #[error("cannot use the folder of compiled guests")]
    Cache(#[from] super::cache::CacheError),
    /// Where guests come from cannot be used.
    #[error(transparent)]
    Supply(#[from] crate::supply::KeyError),
}

/// Deadlines are counted in these. A spinning guest ends at most one tick after its deadline.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Instances beside those of the lanes and of a rehearsal, which has each guest twice: checks of guests at their start.
const SPARE: u32 = 6;

/// Low memory that is wiped by writing instead of being handed back to the kernel. Page faults after a hand-back cost
/// about a microsecond a page; a stock guest touches fewer than 1 MiB, and writing that takes about 20 µs a batch.
const KEEP_RESIDENT: usize = 1 << 20;

impl Sandbox {
    /// An engine for `lanes` lanes with the guests of `config`.
    ///
    /// # Errors
    /// If there is too little address space, or the cache folder cannot be used.
    pub fn new(config: &Guests, lanes: usize) -> Result<Self, SetupError> {
        Self::with(config, lanes, None)
    }

    /// An engine of its own for at most `calls` calls at a time of guests that are in no lane and have at most so much
    /// `memory`. Where it takes them from, and whom it believes, is as `config` has it.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn beside(config: &Guests, calls: usize, memory: u64) -> Result<Self, SetupError> {
        let instances = u32::try_from(calls).unwrap_or(u32::MAX).min(u32::MAX / 64).saturating_add(SPARE);
        Self::sized(config, instances, memory, None)
    }

    pub(super) fn with(config: &Guests, lanes: usize, fuel: Option<u64>) -> Result<Self, SetupError> {
        // Every guest may have an instance in every lane.
        let guests = u32::try_from(config.all().count()).unwrap_or(u32::MAX);
        let lanes = u32::try_from(lanes).unwrap_or(u32::MAX);
        let instances = lanes.saturating_add(2).saturating_mul(guests).min(u32::MAX / 64).saturating_add(SPARE);
        let memory = config.all().map(|(_, guest)| guest.memory.as_u64()).max().unwrap_or_default();
        Self::sized(config, instances, memory, fuel)
    }

    fn sized(config: &Guests, instances: u32, memory: u64, fuel: Option<u64>) -> Result<Self, SetupError> {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let mut settings = engine_config(instances, memory);
        settings.consume_fuel(fuel.is_some());
        let engine = Engine::new(&settings).map_err(|source| SetupError::Engine { instances, source })?;
        tick(&engine);
        let cache = config.cache.as_deref().map(|folder| Cache::open(folder).map(Arc::new)).transpose()?;
        let compiler = Compiler::new(&config.compile, memory, fuel.is_some());
        let supply = Arc::new(Supply::new(config)?);
        Ok(Self { engine, cache, compiler, supply, fuel, shelf: Arc::new(Local::default()), lookup: Arc::new(Nowhere) })
    }

    /// The same, compiling in this process and without limits: for who made the guest himself, and is no `aurora`, as a
    /// test.
    #[must_use]
    pub fn compiling_here(self) -> Self {
        Self { compiler: self.compiler.here(), ..self }
    }

    /// The same, yielding to the lanes where it compiles: for who loads guests while events flow.
    #[must_use]
    pub fn in_background(self) -> Self {
        Self { compiler: self.compiler.in_background(), ..self }
    }

    /// Where guests come from.
    #[must_use]
    pub fn supply(&self) -> &Supply {
        &self.supply
    }

    /// `wasm` compiled, or out of the cache.
    pub(super) fn component(&self, wasm: &[u8], digest: Digest) -> Result<Component, CompileError> {
        // wasmtime would quote what it found instead, on many lines, and it may be a file that is nobody's business.
        if !wasm.starts_with(b"\0asm") {
            return Err(CompileError::Refused("it does not begin as WebAssembly does".to_owned()));
        }
        let compile = || self.compiler.compile(&self.engine, wasm);
        match &self.cache {
            Some(cache) => cache.component(&self.engine, digest, compile),
            None => super::cache::loaded(&self.engine, compile),
        }
    }

    /// Its guests remember on `shelf`; without this, in memory, until the last of them is dropped.
    #[must_use]
    pub fn remembering(self, shelf: Arc<dyn Shelf>) -> Self {
        Self { shelf, ..self }
    }

    /// Its guests look observables up in `lookup`; without this, nowhere.
    #[must_use]
    pub fn looking_up(self, lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, ..self }
    }
}

/// Everything that a guest does not need is off; async, threads, gc and the like are not even compiled in.
fn engine_config(instances: u32, memory: usize) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // A component of ours is one core module and two small ones that wit-component adds to join it to its imports.
    pool.total_component_instances(instances)
        .total_core_instances(8 * instances)
        .total_memories(instances)
        .max_memories_per_component(1)
        .total_tables(4 * instances)
        .max_tables_per_component(8)
        .table_elements(20_000)
        .max_memory_size(memory)
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        // The same batch gives the same bytes on every machine.
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .wasm_tail_call(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The same for a process that only compiles: it has no room set aside for instances.
pub(super) fn compiling(memory: usize, counts_fuel: bool) -> Config {
    let mut config = engine_config(1, memory);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand).consume_fuel(counts_fuel);
    config
}

/// One thread for the engine's life moves its clock on. It holds the engine weakly, so it ends with it.
fn tick(engine: &Engine) {
    let weak = engine.weak();
    let ticker = move || {
        // By the clock and not by the sleeps: each of those takes a little longer, and a hundred of them six ticks.
        let (begun, mut passed) = (Instant::now(), Duration::ZERO);
        loop {
            thread::sleep((passed + TICK).saturating_sub(begun.elapsed()));
            let Some(engine) = weak.upgrade() else { return };
            while passed + TICK <= begun.elapsed() {
                engine.increment_epoch();
                passed += TICK;
            }
        }
    };
    // Without its clock no deadline would hold, so a host that cannot start a thread must not go on.
    thread::Builder::new().name("epoch".to_owned()).spawn(ticker).expect("the system starts no more threads");
}
