use wasmtime::{Trap, WasmBacktrace};

use super::{import::MemoryExceeded, wasi::Exited};

/// Why a call of a guest gave no answer. Every one of them costs the guest's instance, and the event at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It trapped: a panic, an access out of bounds, a stack overflow.
    #[error("trap: {0}")]
    Trap(String),
    /// It did not end in time.
    #[error("no answer within {0} ms")]
    Deadline(u128),
    /// It did not end within its fuel, where that is counted.
    #[error("no answer within its fuel")]
    Fuel,
    /// It wanted more memory than it may have.
    #[error("memory: {0}")]
    Memory(String),
    /// It returned, or passed to the host, more than it may.
    #[error("output of more than {0} bytes")]
    Output(u64),
    /// It returned something that makes no sense.
    #[error("answer that fails a check: {0}")]
    Garbage(String),
    /// It said so itself.
    #[error("failure: {0}")]
    Failure(String),
}

impl Fault {
    /// The reason's name in metrics, out of a closed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Deadline(_) | Self::Fuel => "deadline",
            Self::Memory(_) => "memory",
            Self::Output(_) => "output",
            Self::Garbage(_) => "garbage",
            Self::Failure(_) => "failure",
        }
    }

    /// Adds what the guest said in the log right before it trapped: a panic's place and text, where its author has
    /// panics say so.
    pub(super) fn add_last_words(&mut self, words: Option<String>) {
        if let (Self::Trap(text), Some(words)) = (self, words) {
            text.push_str("; it said: ");
            text.extend(words.chars().take(LAST_WORDS));
        }
    }

    /// What wasmtime's error means. `deadline_ms` and `output` are the limits that were set for the call.
    pub(super) fn of(error: &wasmtime::Error, deadline_ms: u128, output: u64) -> Self {
        if let Some(memory) = error.downcast_ref::<MemoryExceeded>() {
            return Self::Memory(memory.to_string());
        }
        if let Some(exited) = error.downcast_ref::<Exited>() {
            return Self::Trap(with_functions(error, &exited.to_string()));
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return match trap {
                Trap::Interrupt => Self::Deadline(deadline_ms),
                Trap::OutOfFuel => Self::Fuel,
                _ => Self::Trap(with_functions(error, &trap.to_string())),
            };
        }
        let text = error.root_cause().to_string();
        // wasmtime gives this refusal (`set_hostcall_fuel`) no type of its own.
        if text.contains("too much data is being copied") {
            return Self::Output(output);
        }
        // Everything else that wasmtime refuses is an answer that does not fit its type: bad UTF-8, an enum's
        // discriminant out of range, a list outside memory.
        Self::Garbage(text)
    }
}

/// Most characters of a guest's last words in its fault.
const LAST_WORDS: usize = 300;

/// The trap with the innermost functions of the guest, which is what its author needs.
fn with_functions(error: &wasmtime::Error, trap: &str) -> String {
    let names = error.downcast_ref::<WasmBacktrace>().map(functions).unwrap_or_default();
    let trap = trap.strip_prefix("wasm trap: ").unwrap_or(trap);
    if names.is_empty() {
        trap.to_owned()
    } else {
        format!("{trap} in {}", names[..names.len().min(SHOWN)].join(" < "))
    }
}

/// How many functions stand in a fault's one line.
const SHOWN: usize = 4;

/// The guest's functions on its stack, innermost first, as their author wrote them: without what Rust puts between a
/// panic and its place, and one that calls itself once, with its count.
pub(super) fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    // wasmtime demangles names only in its text, `  0: 0x1f - module!function` for each frame.
    let text = backtrace.to_string();
    let names = text.lines().filter_map(|line| line.split_once(" - ")).map(|(_, frame)| plain(frame));
    let names: Vec<_> = names.filter(|name| !is_way_to_panic(name)).collect();
    let runs = names.chunk_by(|a, b| a == b);
    let written = |run: &[String]| match run {
        [name] => name.clone(),
        _ => format!("{} ({} times)", run[0], run.len()),
    };
    runs.map(written).collect()
}

/// `core::panicking::panic_fmt`, `core::option::unwrap_failed`, `core::slice::index::slice_index_fail`, …
fn is_way_to_panic(name: &str) -> bool {
    let of_rust = ["core::", "std::", "alloc::"].iter().any(|library| name.starts_with(library));
    name.contains("panic")
        || name.starts_with("rust_")
        || name.contains("__rust")
        || (of_rust && name.contains("_fail"))
}

/// A function without its module, and without the hashes that Rust puts into and behind its name.
fn plain(frame: &str) -> String {
    let name = frame.split_once('!').map_or(frame, |(_, name)| name);
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if is_hash(hash) => name,
        _ => name,
    };
    // `core[c5930c85a12de822]::option::unwrap_failed`
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('[') {
        plain.push_str(before);
        rest = match behind.split_once(']') {
            Some((hash, behind)) if is_hash(hash) => behind,
            _ => {
                plain.push('[');
                behind
            }
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::{is_way_to_panic, plain};

    #[test]
    fn a_function_keeps_its_name_and_loses_its_hashes() {
        assert_eq!(plain("hostile.wasm!hostile::deeds::common::h611f86386104a428"), "hostile::deeds::common");
        assert_eq!(plain("acme.wasm!acme::handle::header"), "acme::handle::header");
        assert_eq!(plain("a!<[u8] as acme[c5930c85a12de822]::Parse>::parse"), "<[u8] as acme::Parse>::parse");
        assert_eq!(plain("<unknown>!<wasm function 7>"), "<wasm function 7>");
    }

    #[test]
    fn what_rust_puts_before_a_panic_is_told_from_what_an_author_wrote() {
        for rusts in ["core::panicking::panic_fmt", "core::option::unwrap_failed", "rust_begin_unwind"] {
            assert!(is_way_to_panic(rusts), "{rusts}");
        }
        for authors in ["acme::login_failed", "core::fmt::write", "acme::normalize"] {
            assert!(!is_way_to_panic(authors), "{authors}");
        }
    }
}
