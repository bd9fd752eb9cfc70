//! A guest called on its own, with what the call cost: how `aurora guest test` and `bench` look at it. On an engine of
//! their own, for counting fuel costs a guest a tenth of its speed.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{Store, WasmBacktrace};

use super::{
    Fault, Guest, Sandbox, SetupError, World,
    bindings::{
        aurora::event::types::Failure,
        exports::aurora::{
            federation::federate::Decisions,
            inbound::judge::Verdicts,
            normalizer::normalize::Normalized,
            router::route::Routes,
            task::run::{Failure as TaskFailure, Outcome},
        },
    },
    deadline::cpu_time,
    fault::functions,
    import::{Settings, State, printable},
};
use crate::{
    config::Guests,
    intel::{LOOKUPS, Lookup, Told},
    state::{Draft, Local, Mark, Table, Value},
};

/// A call of a guest, and what it cost.
#[derive(Debug)]
pub struct Call<T> {
    /// The answer, not yet checked.
    pub answer: Result<T, Fault>,
    /// After a trap: the guest's functions, innermost first.
    pub functions: Vec<String>,
    /// Units of wasmtime's fuel, about one for each instruction; the start of the instance included.
    pub fuel: u64,
    /// Most linear memory, bytes.
    pub memory: usize,
    /// Bytes of the answer.
    pub output: u64,
    /// What it said in the log.
    pub log: Vec<String>,
    /// How long it took, the start of the instance included.
    pub took: Duration,
    /// How much CPU time that was.
    pub cpu: Duration,
}

/// What a guest says in a call.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Its lines are kept here and not in the host's log.
    pub lines: Option<Vec<String>>,
    /// Its last line at level error, or its last ones on standard error: a panic or an exception, where it says so, comes
    /// right before the trap.
    pub last_words: VecDeque<String>,
}

/// How many lines are last words.
const LAST_LINES: usize = 3;

impl Hearing {
    pub(super) fn add_last_words(&mut self, line: &str) {
        if self.last_words.len() == LAST_LINES {
            self.last_words.pop_front();
        }
        self.last_words.push_back(printable(line));
    }

    /// What it said last, if anything.
    pub(super) fn take_last_words(&mut self) -> Option<String> {
        let words = std::mem::take(&mut self.last_words);
        (!words.is_empty()).then(|| words.into_iter().collect::<Vec<_>>().join(" / "))
    }
}

/// Most fuel of a call: a guest that spins ends after the same instruction on every machine, in about two seconds.
const FUEL: u64 = 4_000_000_000;

/// For what fuel does not count: the host's own work for a guest.
const DEADLINE: Duration = Duration::from_secs(60);

impl Sandbox {
    /// An engine that counts fuel, for one call at a time.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn for_trials(cache: Option<&Path>) -> Result<Self, SetupError> {
        let config = Guests { cache: cache.map(Path::to_owned), ..Guests::default() };
        Self::with(&config, 1, Some(FUEL))
    }
}

impl<W: World> Guest<W> {
    /// Calls it once about so many `events` in a fresh instance, with `settings` instead of its own, with `state` as what it
    /// remembers, and `known` as what is told of observables. What it writes is gone.
    #[must_use]
    pub fn attempt(
        &self,
        settings: &Arc<Settings>,
        state: &BTreeMap<String, Vec<u8>>,
        known: &Arc<Told>,
        events: usize,
        input: W::Input<'_>,
    ) -> Call<W::Answer> {
        let mut call = Call {
            answer: Err(Fault::Garbage(String::new())),
            functions: Vec::new(),
            fuel: 0,
            memory: 0,
            output: 0,
            log: Vec::new(),
            took: Duration::ZERO,
            cpu: Duration::ZERO,
        };
        let (begun, spent_before) = (Instant::now(), cpu_time());
        let failed = |error: wasmtime::Error, call: &mut Call<W::Answer>| {
            call.functions = error.downcast_ref::<WasmBacktrace>().map(functions).unwrap_or_default();
            call.answer = Err(Fault::of(&error, DEADLINE.as_millis(), self.output()));
        };
        let (mut store, exports) = match self.instance_with(Arc::clone(settings), DEADLINE) {
            Ok(instance) => instance,
            Err(error) => {
                failed(error, &mut call);
                return call;
            }
        };
        store.data_mut().hearing.lines = Some(Vec::new());
        store.data_mut().set_time(W::time(input));
        store.data_mut().draft = self.table.as_ref().map(|table| draft(table, state, events));
        store.data_mut().lookup = self.lookup.as_ref().map(|_| (Arc::clone(known) as Arc<dyn Lookup>, LOOKUPS));
        let done = W::call(&exports, &mut store, input);
        call.took = begun.elapsed();
        call.cpu = cpu_time().saturating_sub(spent_before);
        match done {
            Ok(Ok(answer)) => {
                call.output = W::bytes(&answer);
                call.answer = Ok(answer);
            }
            Ok(Err(Failure::InvalidSettings(text))) => {
                call.answer = Err(Fault::Failure(format!("invalid settings: {text}")));
            }
            Ok(Err(Failure::Other(text))) => call.answer = Err(Fault::Failure(text)),
            Err(error) => failed(error, &mut call),
        }
        store.data_mut().flush();
        if let Err(fault) = &mut call.answer {
            fault.add_last_words(store.data_mut().hearing.take_last_words());
        }
        call.fuel = spent(&store);
        let state = store.data_mut();
        call.memory = state.memory_peak;
        call.log = state.hearing.lines.take().unwrap_or_default();
        call
    }
}

/// Over a table of its own in which no time passes, so that the same call gives the same answer.
fn draft(table: &Table, state: &BTreeMap<String, Vec<u8>>, events: usize) -> Draft {
    let shelf = Local::at_rest();
    for (key, value) in state {
        shelf.set(&table.slot, key, Value::Bytes(value.clone()));
    }
    let marks = (0..events as u64).map(|event| Mark { id: event.to_be_bytes(), may_repeat: false });
    Draft::new(&Table { shelf: Arc::new(shelf), ..table.clone() }, marks.collect())
}

fn spent(store: &Store<State>) -> u64 {
    store.get_fuel().map_or(0, |left| FUEL.saturating_sub(left))
}

/// Bytes that cross to the host.
pub trait Weigh {
    /// Of this answer.
    fn bytes(&self) -> u64;
}

impl Weigh for Normalized {
    fn bytes(&self) -> u64 {
        let events = &self.events;
        let enums = events.kind.len()
            + events.severity.len()
            + events.category.len()
            + events.observable_type.len()
            + events.observable_scope.len()
            + self.disposition.len();
        let counts = events.fields.len()
            + events.observables.len()
            + events.techniques.len()
            + events.ends.len()
            + self.count.len()
            + self.retry_after_ms.len();
        (enums + 4 * counts + 8 * events.timestamp_ms.len() + events.text.len() + strings(&self.reasons)) as u64
    }
}

impl Weigh for Routes {
    fn bytes(&self) -> u64 {
        let counts = self.count.len() + self.stream.len() + self.reason.len();
        (strings(&self.streams) + strings(&self.reasons) + 4 * counts) as u64
    }
}

impl Weigh for Decisions {
    fn bytes(&self) -> u64 {
        let counts = self.reason.len()
            + self.subject.len()
            + self.observables.len()
            + self.observable.len()
            + self.removed.len()
            + self.remove.len();
        let texts = strings(&self.reasons) + strings(&self.subjects) + strings(&self.keys);
        (texts + self.share.len() + self.tlp.len() + 4 * counts) as u64
    }
}

impl Weigh for Verdicts {
    fn bytes(&self) -> u64 {
        (strings(&self.reasons) + self.disposition.len() + self.severity.len() + 4 * self.reason.len()) as u64
    }
}

impl Weigh for Result<Outcome, TaskFailure> {
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Ok(outcome) => outcome.output.len() + outcome.summary.len(),
            Err(TaskFailure::Retry(again)) => again.reason.len(),
            Err(TaskFailure::Permanent(reason) | TaskFailure::InvalidSettings(reason)) => reason.len(),
        };
        bytes as u64
    }
}

/// A list of strings: pointer and length of each, and its text.
fn strings(list: &[String]) -> usize {
    list.iter().map(|text| 8 + text.len()).sum()
}
