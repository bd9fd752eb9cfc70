use wasmtime::Trap;

use super::import::MemoryExceeded;

/// Why a call of a guest gave no answer. Every one of them costs the guest's instance, and the event at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It trapped: a panic, an access out of bounds, a stack overflow.
    #[error("trap: {0}")]
    Trap(String),
    /// It did not end in time.
    #[error("no answer within {0} ms")]
    Deadline(u128),
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
            Self::Deadline(_) => "deadline",
            Self::Memory(_) => "memory",
            Self::Output(_) => "output",
            Self::Garbage(_) => "garbage",
            Self::Failure(_) => "failure",
        }
    }

    /// What wasmtime's error means. `deadline_ms` and `output` are the limits that were set for the call.
    pub(super) fn of(error: &wasmtime::Error, deadline_ms: u128, output: u64) -> Self {
        if let Some(memory) = error.downcast_ref::<MemoryExceeded>() {
            return Self::Memory(memory.to_string());
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return match trap {
                Trap::Interrupt => Self::Deadline(deadline_ms),
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

/// The trap with the innermost functions of the guest, which is what its author needs.
fn with_functions(error: &wasmtime::Error, trap: &str) -> String {
    let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() else { return trap.to_owned() };
    let names: Vec<_> = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name())
        .filter(|name| !name.contains("panic") && !name.starts_with("rust_"))
        .take(4)
        .map(|name| name.split("::h").next().unwrap_or(name).to_owned())
        .collect();
    if names.is_empty() { trap.to_owned() } else { format!("{trap} in {}", names.join(" < ")) }
}
