//! Compiling what somebody else wrote, in a process of its own.
//!
//! Nobody can tell from a component how long it takes to compile, or how much memory: a hundred kilobytes can be made
//! that take all of both. So this program executes itself again, as `aurora compile-guest`, which bounds itself before it
//! reads a byte ([`child`]), takes the component from standard input, and writes the code to standard output. It has no
//! environment, no files, the lowest claim to memory, ends with us, and ends at its limits: of address space, of CPU
//! time, and of time on the clock. Then the guest is refused, and nothing else has happened.
//!
//! What comes back is code that the host runs. So this bounds what compiling costs; it is no wall against a compiler that
//! was led astray, and the child could not be held to less than the host trusts the compiler with anyway.

mod child;

use std::{
    env,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    num::NonZero,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use bytesize::ByteSize;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};
use wasmtime::{Engine, component::Component};

pub use child::{CompileJob, compile_in_child};

use super::import::printable;
use crate::config;

/// How guests are compiled.
#[derive(Clone, Debug)]
pub(super) struct Compiler {
    /// None: in this process.
    program: Option<&'static str>,
    limits: config::Compile,
    /// How much less the child counts than the lanes, as `nice` has it.
    nice: i32,
    /// What the engine was made with, for the child to make its own.
    pub(super) memory: usize,
    pub(super) counts_fuel: bool,
}

/// Ourselves, also after the file was replaced by an update.
const PROGRAM: &str = "/proc/self/exe";

/// Of a child beside lanes at work: they get nine tenths of a core that both want. With less than the rest a busy host
/// would never be done.
const BACKGROUND: i32 = 10;

/// By which Cranelift's threads are counted.
const THREADS: &str = "RAYON_NUM_THREADS";
const MOST_THREADS: usize = 4;

/// How much longer than its CPU time a child may take: on a busy machine it gets a tenth of a core, or less.
const PATIENCE: u32 = 10;

/// Most that is kept of what the child says.
const WORDS: u64 = 4096;

/// A component cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is none, or one that this engine does not run.
    #[error("it is not a component that this host runs: {0}")]
    Refused(String),
    /// Compiling it takes too long.
    #[error("compiling it takes more than {time:?}; guests.compile.time allows more")]
    Time {
        /// What is allowed.
        time: Duration,
    },
    /// Compiling it takes too much memory.
    #[error("compiling it takes more than {memory} of address space; guests.compile.memory allows more")]
    Memory {
        /// What is allowed.
        memory: ByteSize,
    },
    /// The child cannot be started or heard.
    #[error("the process that compiles guests cannot be run")]
    Run(#[source] io::Error),
    /// It ended otherwise.
    #[error("the process that compiles guests broke down ({status}){words}")]
    Broken {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        words: String,
    },
    /// The engine does not take the code.
    #[error("its code cannot be loaded: {0:#}")]
    Load(wasmtime::Error),
}

/// What of an engine's settings decides whether code fits it.
pub(super) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Code that is ready to be called.
///
/// # Safety
/// `code` is what [`Compiler::compile`] gave back, unchanged: it runs with all of the host's rights.
#[allow(unsafe_code)]
pub(super) unsafe fn load(engine: &Engine, code: &[u8]) -> Result<Component, CompileError> {
    // SAFETY: the caller's.
    unsafe { Component::deserialize(engine, code) }.map_err(CompileError::Load)
}

impl Compiler {
    pub(super) fn new(limits: &config::Compile, memory: usize, counts_fuel: bool) -> Self {
        Self { program: Some(PROGRAM), limits: *limits, nice: 0, memory, counts_fuel }
    }

    /// In this process, which need not be `aurora`, without limits.
    pub(super) fn here(self) -> Self {
        Self { program: None, ..self }
    }

    /// Yielding to the lanes.
    pub(super) fn in_background(self) -> Self {
        Self { nice: BACKGROUND, ..self }
    }

    /// The code of `wasm` for `engine`.
    pub(super) fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let Some(program) = self.program else {
            return engine.precompile_component(wasm).map_err(|error| CompileError::Refused(format!("{error:#}")));
        };
        let job = CompileJob {
            memory: self.limits.memory.as_u64(),
            seconds: self.limits.time.as_secs().max(1),
            nice: self.nice,
            parent: getpid().as_raw_pid(),
            guest_memory: self.memory,
            counts_fuel: self.counts_fuel,
            compatibility: compatibility(engine),
        };
        let child = Command::new(program)
            .arg0("aurora")
            .args(job.arguments())
            .env_clear()
            .env(THREADS, self.threads().to_string())
            .env("MALLOC_ARENA_MAX", "4")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(CompileError::Run)?;
        self.converse(child, wasm)
    }

    /// How many threads compile. Each has a stack and an arena, and a machine of many cores must not use up its address
    /// space with those. Beside lanes at work it is one; whoever started us may have allowed us fewer as well.
    fn threads(&self) -> usize {
        if self.nice > 0 {
            return 1;
        }
        let told = env::var(THREADS).ok().and_then(|told| told.parse().ok()).filter(|told| *told > 0);
        told.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get)).min(MOST_THREADS)
    }

    /// Hands the component over and takes the code, until the child has ended.
    fn converse(&self, mut child: Child, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let id = Pid::from_child(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (ended, guard) = mpsc::channel::<()>();
        let limit = self.limits.time.saturating_mul(PATIENCE);
        let most = self.limits.memory.as_u64();
        let (code, words, is_late) = thread::scope(|scope| {
            // It may end before it has read everything; why, it says itself.
            scope.spawn(move || stdin.is_some_and(|mut stdin| stdin.write_all(wasm).is_ok()));
            let words = scope.spawn(move || stderr.map(hear).unwrap_or_default());
            let is_late = scope.spawn(move || {
                let is_late = guard.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                if is_late {
                    // Nobody has waited for it yet, so its number is still its own.
                    let _ = kill_process(id, Signal::KILL);
                }
                is_late
            });
            let mut code = Vec::new();
            let heard = match stdout {
                Some(stdout) => stdout.take(most).read_to_end(&mut code).map(|_| ()),
                None => Ok(()),
            };
            // Its end without reaping it: the guard may still have to kill it, by its number.
            let over = waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            drop(ended);
            let is_late = is_late.join().unwrap_or_default();
            let words = words.join().unwrap_or_default();
            (heard.and(over.map(|_| ()).map_err(io::Error::from)).map(|()| code), words, is_late)
        });
        let status = child.wait().map_err(CompileError::Run)?;
        let code = code.map_err(CompileError::Run)?;
        if is_late {
            return Err(CompileError::Time { time: limit });
        }
        self.judge(status, words).map(|()| code)
    }

    /// Why it ended.
    fn judge(&self, status: ExitStatus, words: String) -> Result<(), CompileError> {
        let config::Compile { memory, time } = self.limits;
        let lacks_memory = ["memory allocation of", "Cannot allocate memory"];
        if status.success() {
            return Ok(());
        }
        if status.signal() == Some(Signal::XCPU.as_raw()) {
            return Err(CompileError::Time { time });
        }
        if lacks_memory.iter().any(|text| words.contains(text)) {
            return Err(CompileError::Memory { memory });
        }
        if status.code() == Some(child::REFUSED) {
            return Err(CompileError::Refused(words));
        }
        let words = if words.is_empty() { words } else { format!(": {words}") };
        Err(CompileError::Broken { status, words })
    }
}

/// The beginning of what it says, on one line; the rest is heard, for it must not wait for us, and forgotten.
fn hear(mut stderr: impl Read) -> String {
    let mut words = Vec::new();
    let _ = stderr.by_ref().take(WORDS).read_to_end(&mut words);
    let _ = io::copy(&mut stderr, &mut io::sink());
    printable(String::from_utf8_lossy(&words).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(time: Duration) -> Compiler {
        Compiler::new(&config::Compile { memory: ByteSize::kib(64), time }, 1 << 20, false)
    }

    fn child(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_child_that_does_not_end_is_ended() {
        let error = compiler(Duration::from_millis(1)).converse(child("exec sleep 600"), b"").unwrap_err();
        assert!(matches!(error, CompileError::Time { .. }), "{error}");
        // It has closed its output and lives on.
        let error = compiler(Duration::from_millis(1)).converse(child("exec >&- 2>&-; exec sleep 600"), b"");
        assert!(matches!(error, Err(CompileError::Time { .. })));
    }

    #[test]
    fn what_a_child_says_and_gives_is_bounded() {
        let script = "head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 1";
        let error = compiler(LONG).converse(child(script), b"").unwrap_err();
        assert!(matches!(&error, CompileError::Refused(words) if words.len() as u64 == WORDS), "{error}");
        let error = compiler(LONG).converse(child("exec cat /dev/zero"), b"").unwrap_err();
        assert!(matches!(error, CompileError::Broken { .. }), "{error}");
    }

    #[test]
    fn how_a_child_ended_is_told() {
        let told = |script| compiler(LONG).converse(child(script), &[0; 1 << 20]);
        assert_eq!(told("cat >/dev/null; printf code").unwrap(), b"code");
        assert!(matches!(told("echo no >&2; exit 1"), Err(CompileError::Refused(words)) if words == "no"));
        assert!(matches!(told("kill -XCPU $$"), Err(CompileError::Time { .. })));
        let aborts = told("echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$");
        assert!(matches!(aborts, Err(CompileError::Memory { .. })));
        let steers = told("printf 'a\\033[2Jb' >&2; exit 7");
        assert!(matches!(steers, Err(CompileError::Broken { words, .. }) if words == ": a\\u{1b}[2Jb"));
    }
}
