//! The stages, run on one batch by one thread. What other sites send goes its own way, in `admit`. No I/O, but for the
//! verdict on answers of devices and the look for shared indicators, where a site wants them; no clock but the batch's own,
//! and the breakers': `aurora pipe`, the benches and the lanes all decide here.

mod about;
mod normalize;
mod offer;
mod admit;
mod route;
mod federate;
mod bury;

use std::{sync::Arc, time::Instant};

use self::{
    about::{About, contexts, distinct},
    route::nowhere,
};
use super::{
    decided::{Decided, Outcome},
    identity::mark_of,
    recognise::recognise,
    seats::Seats,
    stages::Stages,
};
use crate::{
    attestation::Attestor,
    broker::jetstream::Subjects,
    event::Delivery,
    federation::{Ceiling, inbound},
    intel::Matcher,
    sandbox::{Caller, Fault, Federation, Inbound, Normalizer, Router, World},
    telemetry::{Metrics, Stage},
};

/// Decides batches. Owned by one thread.
#[derive(Debug)]
pub struct Decider {
    normalize: Seats<Normalizer>,
    route: Seats<Router>,
    federate: Option<Seats<Federation>>,
    streams: Arc<[String]>,
    subjects: Arc<Subjects>,
    ceiling: Arc<Ceiling>,
    inbound: Arc<inbound::Rules>,
    /// Who judges what other sites send; none: whatever is sound comes in.
    judge: Option<Seats<Inbound>>,
    retries: u32,
    metrics: Metrics,
    /// Whose verdict an answer to a challenge gets; none: it is judged by its form alone.
    attestor: Option<Attestor>,
    /// Who finds shared indicators; none: nobody looks.
    matcher: Option<Matcher>,
}

/// Events that no guest decided, the guest that was at fault or not called, and why.
type Undecided = (Vec<usize>, Arc<str>, String);

impl Decider {
    /// Decides with `stages`; an event may be put off `retries` times.
    #[must_use]
    pub fn new(stages: &Stages, retries: u32, metrics: Metrics) -> Self {
        Self {
            normalize: Seats::new(&stages.normalize),
            route: Seats::new(&stages.route),
            federate: stages.federate.as_ref().map(Seats::new),
            streams: Arc::clone(&stages.streams),
            subjects: Arc::clone(&stages.subjects),
            ceiling: Arc::clone(&stages.ceiling),
            inbound: Arc::clone(&stages.inbound),
            judge: stages.judge.as_ref().map(Seats::new),
            retries,
            metrics,
            attestor: None,
            matcher: None,
        }
    }

    /// Answers to challenges get the verdict of `attestor`, which reaches out to Redis.
    #[must_use]
    pub fn attested_by(self, attestor: Option<Attestor>) -> Self {
        Self { attestor, ..self }
    }

    /// Events are looked up by `matcher`, which reaches out to Redis.
    #[must_use]
    pub fn matched_by(self, matcher: Option<Matcher>) -> Self {
        Self { matcher, ..self }
    }

    /// Runs the stages on `deliveries`. Never fails: whatever cannot be decided is a dead letter of the answer.
    #[must_use]
    pub fn decide(&mut self, deliveries: Vec<Delivery>) -> Decided {
        let mut decided = Decided {
            outcomes: vec![Outcome::Dropped(String::new()); deliveries.len()],
            dead_letters: Vec::new(),
            parts: Vec::with_capacity(1),
            deliveries,
        };
        self.normalize.begin();
        self.route.begin();
        if let Some(federate) = &mut self.federate {
            federate.begin();
        }
        if let Some(judge) = &mut self.judge {
            judge.begin();
        }
        self.normalize(&mut decided);
        if let Some(matcher) = &mut self.matcher {
            recognise(matcher, &mut decided);
        }
        for index in 0..decided.parts.len() {
            let part = &decided.parts[index];
            if !part.origins.is_empty() {
                continue;
            }
            let (distinct, context) = distinct(part.origin.iter().map(|&i| &decided.deliveries[i as usize]));
            let mark = |event: usize| mark_of(&decided.deliveries[part.origin[event] as usize], part.position[event]);
            let asked = About {
                events: &part.events,
                contexts: &contexts(&distinct),
                distinct: &distinct,
                context: &context,
                mark: &mark,
            };
            let (routes, routed_by, unrouted) =
                if part.is_offered { nowhere(asked.events.len()) } else { self.route(&asked) };
            let (decisions, decided_by, kept) = self.federate(&asked);
            let part = &mut decided.parts[index];
            (part.routes, part.routed_by, part.decisions, part.decided_by) = (routes, routed_by, decisions, decided_by);
            self.bury_events(&mut decided, Stage::Route, index, unrouted);
            self.bury_events(&mut decided, Stage::Federate, index, kept);
        }
        decided
    }

    fn begin(&self, stage: Stage, events: usize) -> Instant {
        let metrics = self.metrics.stage(stage);
        metrics.received.inc_by(events as u64);
        metrics.batch.observe(events as f64);
        Instant::now()
    }

    fn end(&self, stage: Stage, begun: Instant, sent: usize) {
        let metrics = self.metrics.stage(stage);
        metrics.sent.inc_by(sent as u64);
        metrics.seconds.observe(begun.elapsed().as_secs_f64());
    }
}

/// An answer that holds counts, and so does what its guest wrote on the way to it.
fn checked<W: World, T>(caller: &mut Caller<W>, answer: Result<T, String>) -> Result<T, Fault> {
    match answer {
        Ok(answer) => {
            caller.keep();
            Ok(answer)
        }
        Err(what) => {
            let fault = Fault::Garbage(what);
            caller.count(&fault);
            Err(fault)
        }
    }
}
