use std::{sync::Arc, thread, time::Duration};

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy, component::Component,
};

use super::{cache::Cache, guest::Digest};
use crate::{
    config::Guests,
    state::{Local, Shelf},
};

/// The engine that runs guests.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) engine: Engine,
    pub(super) cache: Option<Arc<Cache>>,
    /// Fuel of a call, where it is counted.
    pub(super) fuel: Option<u64>,
    /// Where guests are compiled; none: on all cores.
    background: Option<Arc<rayon::ThreadPool>>,
    /// Where guests remember.
    pub(super) shelf: Arc<dyn Shelf>,
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
}

/// Deadlines are counted in these. A spinning guest ends at most one tick after its deadline.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Instances beside those of the lanes and of a rehearsal, which has each guest twice: checks of guests at their start.
const SPARE: u32 = 6;

/// What compiles beside lanes at work counts less, as `nice` has it: they get nine tenths of a core that both want. With
/// less than the rest a busy host would never be done.
const BACKGROUND: i32 = 10;

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

    pub(super) fn with(config: &Guests, lanes: usize, fuel: Option<u64>) -> Result<Self, SetupError> {
        // Every guest may have an instance in every lane.
        let guests = u32::try_from(config.all().count()).unwrap_or(u32::MAX);
        let lanes = u32::try_from(lanes).unwrap_or(u32::MAX);
        let instances = lanes.saturating_add(2).saturating_mul(guests).min(u32::MAX / 64).saturating_add(SPARE);
        let memory = config.all().map(|(_, guest)| guest.memory.as_u64()).max().unwrap_or_default();
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let mut settings = engine_config(instances, memory);
        settings.consume_fuel(fuel.is_some());
        let engine = Engine::new(&settings).map_err(|source| SetupError::Engine { instances, source })?;
        tick(&engine);
        let cache = config.cache.as_deref().map(|folder| Cache::open(folder).map(Arc::new)).transpose()?;
        Ok(Self { engine, cache, fuel, background: None, shelf: Arc::new(Local::default()) })
    }

    /// The same, yielding to the lanes where it compiles: for who loads guests while events flow.
    #[must_use]
    pub fn in_background(self) -> Self {
        let yielding = |_| {
            // Without it compiling only gets more of the machine than it should.
            let _ = rustix::process::setpriority_process(None, BACKGROUND);
        };
        let threads = rayon::ThreadPoolBuilder::new().num_threads(1).start_handler(yielding);
        let pool = threads.thread_name(|_| "compile".to_owned()).build();
        Self { background: pool.map(Arc::new).ok(), ..self }
    }

    /// `wasm` compiled, or out of the cache.
    pub(super) fn component(&self, wasm: &[u8], digest: Digest) -> wasmtime::Result<Component> {
        // wasmtime would quote what it found instead, on many lines, and it may be a file that is nobody's business.
        if !wasm.starts_with(b"\0asm") {
            return Err(wasmtime::Error::msg("it does not begin as WebAssembly does"));
        }
        let compile = || match &self.background {
            Some(pool) => pool.install(|| Component::from_binary(&self.engine, wasm)),
            None => Component::from_binary(&self.engine, wasm),
        };
        match &self.cache {
            Some(cache) => cache.component(&self.engine, digest, compile),
            None => compile(),
        }
    }

    /// Its guests remember on `shelf`; without this, in memory, until the last of them is dropped.
    #[must_use]
    pub fn remembering(self, shelf: Arc<dyn Shelf>) -> Self {
        Self { shelf, ..self }
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

/// One thread for the engine's life moves its clock on. It holds the engine weakly, so it ends with it.
fn tick(engine: &Engine) {
    let weak = engine.weak();
    let ticker = move || {
        loop {
            thread::sleep(TICK);
            match weak.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    };
    // Without its clock no deadline would hold, so a host that cannot start a thread must not go on.
    thread::Builder::new().name("epoch".to_owned()).spawn(ticker).expect("the system starts no more threads");
}
