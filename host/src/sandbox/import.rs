//! What a guest may ask of the host: a line in the log, and its own settings. And the count of its memory, which
//! wasmtime asks us about.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use wasmtime::{
    Engine, ResourceLimiter,
    component::{HasSelf, Linker},
};

use super::{
    bindings::aurora::{
        event::{log, lookup, settings},
        state::state,
    },
    trial::Hearing,
    wasi::{self, Wasi},
};
use crate::{
    config::{Grant, Grants},
    intel::Lookup,
    state::Draft,
    telemetry::Stage,
};

/// A guest's settings, key to JSON text.
pub type Settings = BTreeMap<String, String>;

/// Whether anybody hears what a guest says. What has an effect outside of its answer must ask this first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Voice {
    /// It decides in earnest.
    #[default]
    Live,
    /// It is rehearsed: its lines are marked, and what it would keep is discarded.
    Rehearsed,
    /// It is there for comparison: nobody hears it.
    Mute,
}

/// What belongs to one instance.
pub struct State {
    pub(super) stage: Stage,
    pub(super) guest: Arc<str>,
    pub(super) settings: Arc<Settings>,
    pub(super) voice: Voice,
    /// Log lines still allowed in this call.
    pub(super) lines_left: u32,
    /// Log lines of this call that were not written.
    pub(super) lines_suppressed: u32,
    /// CPU time of this thread when the call began, and how much the call may take.
    pub(super) begun: Duration,
    pub(super) budget: Duration,
    /// Most bytes of linear memory.
    pub(super) memory_limit: usize,
    /// Most bytes that it has had.
    pub(super) memory_peak: usize,
    /// What it has said.
    pub(super) hearing: Hearing,
    /// When its batch was received, milliseconds since 1970.
    pub(super) now: i64,
    /// What it has of WASI, once it has asked for it.
    pub(super) wasi: Option<Box<Wasi>>,
    /// What it reads and writes of what it remembers, in a call of a guest that does.
    pub(super) draft: Option<Draft>,
    /// Where it looks observables up, in a call of a guest that does, and how many more.
    pub(super) lookup: Option<(Arc<dyn Lookup>, usize)>,
}

/// A guest wanted more memory than it may have. Travels through wasmtime as the reason of a trap.
#[derive(Debug, thiserror::Error)]
#[error("wants {wanted} bytes of memory, its limit is {limit}")]
pub(super) struct MemoryExceeded {
    wanted: usize,
    limit: usize,
}

/// Most characters of a log line.
pub(super) const LINE: usize = 4096;

/// Most bytes of a key that a guest may ask settings for.
const KEY: usize = 1024;

impl State {
    /// Offers what is granted, and nothing else.
    pub(super) fn linker(engine: &Engine, grants: &Grants) -> wasmtime::Result<Linker<Self>> {
        let mut linker = Linker::new(engine);
        settings::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        for grant in grants.iter() {
            match grant {
                Grant::Log => log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?,
                Grant::Wasi => wasi::add_to(&mut linker)?,
                Grant::Lookup => lookup::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?,
                Grant::State => state::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?,
            }
        }
        Ok(linker)
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        if level == log::Level::Error {
            self.hearing.last_words.clear();
            self.hearing.add_last_words(&message);
        }
        self.say(level, &message);
    }
}

impl State {
    /// Writes a line to the host's log.
    pub(super) fn say(&mut self, level: log::Level, message: &str) {
        if self.lines_left == 0 {
            self.lines_suppressed = self.lines_suppressed.saturating_add(1);
            return;
        }
        self.lines_left -= 1;
        let (guest, stage, message) = (&*self.guest, self.stage.as_str(), printable(message));
        if let Some(lines) = &mut self.hearing.lines {
            lines.push(message);
            return;
        }
        if self.voice == Voice::Mute {
            return;
        }
        // Shown only where there is one.
        let rehearsal = (self.voice == Voice::Rehearsed).then_some(true);
        match level {
            log::Level::Trace => tracing::trace!(target: "guest", guest, stage, rehearsal, "{message}"),
            log::Level::Debug => tracing::debug!(target: "guest", guest, stage, rehearsal, "{message}"),
            log::Level::Info => tracing::info!(target: "guest", guest, stage, rehearsal, "{message}"),
            log::Level::Warn => tracing::warn!(target: "guest", guest, stage, rehearsal, "{message}"),
            log::Level::Error => tracing::error!(target: "guest", guest, stage, rehearsal, "{message}"),
        }
    }
}

/// A guest's text is shown to a person at a terminal, so it must not steer that terminal.
pub(crate) fn printable(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(LINE));
    for c in message.chars().take(LINE) {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

impl settings::Host for State {
    fn get(&mut self, key: String) -> Option<String> {
        if key.len() > KEY { None } else { self.settings.get(&key).cloned() }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.memory_limit {
            // An error, not `Ok(false)`: a guest that is told "no more" runs into a panic whose message hides the cause.
            return Err(MemoryExceeded { wanted: desired, limit: self.memory_limit }.into());
        }
        self.memory_peak = self.memory_peak.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 20_000)
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_log_line_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable(&"x".repeat(10_000)).len(), 4096);
    }
}
