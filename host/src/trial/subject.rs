use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Batch, Cost, Foreign, Task, batch::contexts, outcome};
use crate::{
    broker::{
        jetstream::{self, Subjects},
        redis_streams,
    },
    config::{self, Grants},
    intel::Told,
    sandbox::{
        self, Agent, Call, Digest, Fault, Federation, Guest, Inbound, Inspection, LoadError, Messages, Normalizer,
        NotAComponent, OriginEvents, RawEvents, Router, Sandbox, Settings,
        answer::{Decisions, Normalized, Routes},
        events::Events,
        judged,
    },
    telemetry::{Metrics, Stage},
};

/// The guest that is tried.
#[derive(Debug)]
pub enum Subject {
    /// A normalizer.
    Normalize(Guest<Normalizer>),
    /// A router.
    Route(Guest<Router>),
    /// A federation policy.
    Federate(Guest<Federation>),
    /// An agent.
    Task(Guest<Agent>),
    /// A judge of what other sites send.
    Inbound(Guest<Inbound>),
}

/// What surrounds a guest: its settings, and what the site lets it name.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Key to JSON text.
    pub settings: Arc<Settings>,
    /// What it remembers at the start of each call. What a call writes is gone after it.
    pub state: Arc<BTreeMap<String, Vec<u8>>>,
    /// What is told of observables.
    pub known: Arc<Told>,
    /// Streams that a router may name.
    pub streams: Vec<String>,
    /// Subjects that a policy may name.
    pub subjects: Vec<String>,
}

/// The guest cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no component.
    #[error("{} cannot be tried", path.display())]
    Component {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: NotAComponent,
    },
    /// It serves no stage.
    #[error("{} exports {exports}, which is no stage of Aurora", path.display())]
    Stage {
        /// Which file.
        path: std::path::PathBuf,
        /// What it exports.
        exports: String,
    },
    /// The host refuses it.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// What a guest made of a batch.
#[derive(Debug)]
pub struct Run {
    /// One for each event, or why there is no answer that can be used.
    pub outcomes: Result<Vec<Value>, Fault>,
    /// After a trap: the guest's functions, innermost first.
    pub functions: Vec<String>,
    /// What it said in the log.
    pub log: Vec<String>,
    /// What it cost.
    pub cost: Cost,
    /// How long the call took, the start of the instance included.
    pub took: Duration,
    /// How much CPU time that was.
    pub cpu: Duration,
}

impl Surroundings {
    /// Those of a site that changes nothing, with `settings` and what it has beside.
    #[must_use]
    pub fn new(settings: Arc<Settings>, streams: &[String], subjects: &[String]) -> Self {
        let (redis, nats) = (redis_streams::Config::default(), jetstream::Config::default());
        let stock = redis.routable().map(|(name, _)| name.clone());
        Self {
            settings,
            state: Arc::default(),
            known: Arc::default(),
            streams: stock.chain(streams.iter().cloned()).collect(),
            subjects: nats.subjects.iter().chain(subjects).cloned().collect(),
        }
    }
}

impl Subject {
    /// Loads the component at `path`, for the first stage that it serves.
    ///
    /// # Errors
    /// [`SubjectError`] says why it cannot be tried.
    pub fn load(sandbox: &Sandbox, path: &Path) -> Result<Self, SubjectError> {
        let wasm = std::fs::read(path).map_err(|source| SubjectError::Read { path: path.to_owned(), source })?;
        let inspection = Inspection::of(sandbox, &wasm)
            .map_err(|source| SubjectError::Component { path: path.to_owned(), source })?;
        // On its own a guest can hurt nobody: it gets what it asks for, and its report says what its site must grant.
        let grants = inspection.needs();
        let config = config::Guest { path: path.to_owned(), grants, ..config::Guest::default() };
        let metrics = Metrics::new();
        match inspection.stages().first() {
            Some(Stage::Normalize) => {
                Ok(Self::Normalize(Guest::load(sandbox, &config, &metrics.guest(Stage::Normalize))?))
            }
            Some(Stage::Route) => Ok(Self::Route(Guest::load(sandbox, &config, &metrics.guest(Stage::Route))?)),
            Some(Stage::Federate) => {
                Ok(Self::Federate(Guest::load(sandbox, &config, &metrics.guest(Stage::Federate))?))
            }
            Some(Stage::Inbound) => Ok(Self::Inbound(Guest::load(sandbox, &config, &metrics.guest(Stage::Inbound))?)),
            Some(Stage::Task) => Ok(Self::Task(Guest::load(sandbox, &config, &metrics.guest(Stage::Task))?)),
            _ => Err(SubjectError::Stage { path: path.to_owned(), exports: inspection.exports.join(", ") }),
        }
    }

    /// What it is granted here because it imports it, and what its site would have to grant.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        match self {
            Self::Normalize(guest) => guest.grants(),
            Self::Route(guest) => guest.grants(),
            Self::Federate(guest) => guest.grants(),
            Self::Task(guest) => guest.grants(),
            Self::Inbound(guest) => guest.grants(),
        }
    }

    /// The stage that it serves.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::Normalize(_) => Stage::Normalize,
            Self::Route(_) => Stage::Route,
            Self::Federate(_) => Stage::Federate,
            Self::Task(_) => Stage::Task,
            Self::Inbound(_) => Stage::Inbound,
        }
    }

    /// Which guest it is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Normalize(guest) => guest.digest(),
            Self::Route(guest) => guest.digest(),
            Self::Federate(guest) => guest.digest(),
            Self::Task(guest) => guest.digest(),
            Self::Inbound(guest) => guest.digest(),
        }
    }

    /// Its file's name without the ending.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Normalize(guest) => guest.name(),
            Self::Route(guest) => guest.name(),
            Self::Federate(guest) => guest.name(),
            Self::Task(guest) => guest.name(),
            Self::Inbound(guest) => guest.name(),
        }
    }

    /// Runs it on `batch` in a fresh instance. A batch of the other sort has no outcomes.
    #[must_use]
    pub fn run(&self, batch: &Batch, around: &Surroundings) -> Run {
        self.go(batch, around, true)
    }

    /// The same without a look at the answer: what is measured is the guest.
    #[must_use]
    pub fn pace(&self, batch: &Batch, around: &Surroundings) -> Run {
        self.go(batch, around, false)
    }

    fn go(&self, batch: &Batch, around: &Surroundings, look: bool) -> Run {
        match (self, batch) {
            (Self::Normalize(guest), Batch::Raw(events)) => {
                let (contexts, context) = contexts(events.iter().map(|event| &event.context));
                let received_ms: Vec<_> = events.iter().map(|event| event.received_ms).collect();
                let (mut payload, mut ends) = (Vec::new(), Vec::new());
                for event in events {
                    payload.extend_from_slice(&event.payload);
                    ends.push(payload.len() as u32);
                }
                let input = RawEvents {
                    contexts: &contexts,
                    context: &context,
                    received_ms: &received_ms,
                    ends: &ends,
                    payload: &payload,
                };
                finish(
                    guest.attempt(&around.settings, &around.state, &around.known, events.len(), &input),
                    events.len(),
                    look,
                    |answer| outcome::normalized(&Normalized::check(answer, events.len())?),
                )
            }
            (Self::Route(guest), Batch::Normalized(_)) => with_events(batch, |events, input| {
                finish(
                    guest.attempt(&around.settings, &around.state, &around.known, events.len(), input),
                    events.len(),
                    look,
                    |answer| {
                        let routes = Routes::check(answer, events.len(), &around.streams)?;
                        Ok(outcome::routes(&routes, &around.streams))
                    },
                )
            }),
            (Self::Federate(guest), Batch::Normalized(_)) => with_events(batch, |events, input| {
                finish(
                    guest.attempt(&around.settings, &around.state, &around.known, events.len(), input),
                    events.len(),
                    look,
                    |answer| {
                        let subjects = Subjects::new(&around.subjects);
                        let decisions = Decisions::check(answer, events, |subject| subjects.allow(subject))?;
                        Ok(outcome::decisions(&decisions, events))
                    },
                )
            }),
            (Self::Inbound(guest), Batch::Foreign(messages)) => with_messages(messages, |input| {
                let call = guest.attempt(&around.settings, &around.state, &around.known, messages.len(), input);
                finish(call, messages.len(), look, |answer| {
                    Ok(outcome::judged(&judged::check(answer, messages.len())?))
                })
            }),
            (Self::Task(guest), Batch::Tasks(tasks)) => {
                let attempt = |task: &Task| {
                    let input = sandbox::Task {
                        id: &task.id,
                        agent: &task.agent,
                        attempt: task.attempt,
                        attempts: task.attempts,
                        submitted_ms: task.now_ms,
                        now_ms: task.now_ms,
                        input: &task.input,
                    };
                    let call = guest.attempt(&around.settings, &around.state, &around.known, 1, &input);
                    finish(call, 1, look, outcome::attempted)
                };
                in_turn(tasks.iter().map(attempt))
            }
            _ => nothing(Err(Fault::Garbage("these events are not what the guest's stage takes".to_owned()))),
        }
    }
}

fn with_events(batch: &Batch, call: impl FnOnce(&Events, &OriginEvents<'_>) -> Run) -> Run {
    let Batch::Normalized(origins) = batch else { return nothing(Ok(Vec::new())) };
    match Events::of(origins.iter().map(|origin| &origin.event)) {
        Ok(events) => {
            let (contexts, context) = contexts(origins.iter().map(|origin| &origin.context));
            call(&events, &OriginEvents { contexts: &contexts, context: &context, events: events.param() })
        }
        Err(reason) => nothing(Err(Fault::Garbage(reason))),
    }
}

fn with_messages(messages: &[Foreign], call: impl FnOnce(&Messages<'_>) -> Run) -> Run {
    let events = match Events::of(messages.iter().map(|message| &message.origin.event)) {
        Ok(events) => events,
        Err(reason) => return nothing(Err(Fault::Garbage(reason))),
    };
    let (contexts, context) = contexts(messages.iter().map(|message| &message.origin.context));
    let (mut sites, mut streams, mut stream) = (vec![""; contexts.len()], Vec::<&str>::new(), Vec::new());
    for (message, &context) in messages.iter().zip(&context) {
        sites[context as usize] = &message.site;
        let known = streams.iter().position(|known| *known == message.stream);
        stream.push(known.unwrap_or(streams.len()) as u32);
        if known.is_none() {
            streams.push(&message.stream);
        }
    }
    let received_ms: Vec<_> = messages.iter().map(|message| message.received_ms).collect();
    let tlp: Vec<_> = messages.iter().map(|message| message.tlp).collect();
    call(&Messages {
        events: OriginEvents { contexts: &contexts, context: &context, events: events.param() },
        sites: &sites,
        received_ms: &received_ms,
        streams: &streams,
        stream: &stream,
        tlp: &tlp,
    })
}

fn finish<T>(call: Call<T>, events: usize, look: bool, check: impl FnOnce(T) -> Result<Vec<Value>, String>) -> Run {
    let checked = |answer| if look { check(answer).map_err(Fault::Garbage) } else { Ok(Vec::new()) };
    Run {
        took: call.took,
        cpu: call.cpu,
        outcomes: call.answer.and_then(checked),
        functions: call.functions,
        log: call.log,
        cost: Cost { events, fuel: call.fuel, memory: call.memory as u64, output: call.output },
    }
}

/// Calls one after the other, as one: up to the first that fails.
fn in_turn(runs: impl Iterator<Item = Run>) -> Run {
    let (mut all, mut outcomes) = (nothing(Ok(Vec::new())), Vec::new());
    for run in runs {
        all.log.extend(run.log);
        all.took += run.took;
        all.cpu += run.cpu;
        all.cost = Cost {
            events: all.cost.events + run.cost.events,
            fuel: all.cost.fuel + run.cost.fuel,
            memory: all.cost.memory.max(run.cost.memory),
            output: all.cost.output.max(run.cost.output),
        };
        match run.outcomes {
            Ok(more) => outcomes.extend(more),
            Err(fault) => return Run { outcomes: Err(fault), functions: run.functions, ..all },
        }
    }
    Run { outcomes: Ok(outcomes), ..all }
}

fn nothing(outcomes: Result<Vec<Value>, Fault>) -> Run {
    Run {
        outcomes,
        functions: Vec::new(),
        log: Vec::new(),
        cost: Cost::default(),
        took: Duration::ZERO,
        cpu: Duration::ZERO,
    }
}
