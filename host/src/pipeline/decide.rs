//! The three stages, run on one batch by one thread. No I/O, no clock but the batch's own: `aurora pipe`, the benches
//! and the lanes all decide here.

use std::{ops::Range, sync::Arc, time::Duration, time::Instant};

use super::{
    bisect::bisect,
    dead_letter::{DeadLetter, Effect},
    decided::{Decided, Outcome, Part},
};
use crate::{
    broker::jetstream::Subjects,
    event::{Context, Delivery},
    sandbox::{
        self, Caller, Category, Fault, Federation, Guest, Normalizer, OriginEvents, RawEvents, Router, World,
        answer::{Decisions, Normalized, Routes, Verdict},
        events::Events,
    },
    telemetry::{Metrics, Stage},
};

/// The guests of all stages, and what they may name.
#[derive(Clone, Debug)]
pub struct Stages {
    /// Raw to normalized.
    pub normalize: Arc<Guest<Normalizer>>,
    /// Which streams.
    pub route: Arc<Guest<Router>>,
    /// What leaves the site; none where nothing may.
    pub federate: Option<Arc<Guest<Federation>>>,
    /// The streams that a router may name.
    pub streams: Arc<[String]>,
    /// The subjects that a policy may name.
    pub subjects: Arc<Subjects>,
}

/// Streams that events go to when a router fails: the seed's rule.
const DEFAULT: &str = "aurora:alerts";
const DEFAULT_CPS: &str = "aurora:cps:alerts";

/// A part of the batch that is searched for a culprit gets its share of the deadline, but never less than this part.
const LEAST_SHARE: u32 = 4;

/// Decides batches. Owned by one thread.
#[derive(Debug)]
pub struct Decider {
    normalize: Caller<Normalizer>,
    route: Caller<Router>,
    federate: Option<Caller<Federation>>,
    streams: Arc<[String]>,
    subjects: Arc<Subjects>,
    retries: u32,
    metrics: Metrics,
}

impl Decider {
    /// Decides with `stages`; an event may be put off `retries` times.
    #[must_use]
    pub fn new(stages: &Stages, retries: u32, metrics: Metrics) -> Self {
        Self {
            normalize: Caller::new(Arc::clone(&stages.normalize)),
            route: Caller::new(Arc::clone(&stages.route)),
            federate: stages.federate.clone().map(Caller::new),
            streams: Arc::clone(&stages.streams),
            subjects: Arc::clone(&stages.subjects),
            retries,
            metrics,
        }
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
        self.normalize(&mut decided);
        let mut dead_letters = Vec::new();
        for index in 0..decided.parts.len() {
            let part = &decided.parts[index];
            let (contexts, context) = contexts(part.origin.iter().map(|&i| &decided.deliveries[i as usize]));
            let (routes, faults) = self.route(&part.events, &contexts, &context);
            dead_letters.extend(faults.into_iter().map(|(event, fault)| (Stage::Route, index, event, fault)));
            let (decisions, faults) = self.federate(&part.events, &contexts, &context);
            dead_letters.extend(faults.into_iter().map(|(event, fault)| (Stage::Federate, index, event, fault)));
            let part = &mut decided.parts[index];
            part.routes = routes;
            part.decisions = decisions;
        }
        for (stage, part, event, fault) in dead_letters {
            self.bury_event(&mut decided, stage, part, event, fault.to_string());
        }
        decided
    }

    fn normalize(&mut self, decided: &mut Decided) {
        let mut fit = Vec::with_capacity(decided.deliveries.len());
        for index in 0..decided.deliveries.len() {
            match decided.deliveries[index].unfit.take() {
                None => fit.push(index),
                Some(reason) => self.reject(decided, Stage::Source, index, reason),
            }
        }
        let clock = self.begin(Stage::Normalize, fit.len());
        let mut answers = Vec::with_capacity(1);
        let Self { normalize: caller, .. } = self;
        let (deadline, all) = (caller.guest().deadline(), fit.len());
        bisect(
            0..all,
            &mut |range| {
                let part = &fit[range.clone()];
                let deliveries = || part.iter().map(|&i| &decided.deliveries[i]);
                let (contexts, context) = contexts(deliveries());
                let mut received_ms = Vec::with_capacity(part.len());
                let mut ends = Vec::with_capacity(part.len());
                let mut payload = Vec::with_capacity(deliveries().map(|delivery| delivery.payload.len()).sum());
                for delivery in deliveries() {
                    received_ms.push(delivery.received_ms);
                    payload.extend_from_slice(&delivery.payload);
                    ends.push(payload.len() as u32);
                }
                let input = RawEvents {
                    contexts: &contexts,
                    context: &context,
                    received_ms: &received_ms,
                    ends: &ends,
                    payload: &payload,
                };
                let answer = caller.call(&input, share(deadline, range.len(), all))?;
                checked(caller, Normalized::check(answer, range.len()))
            },
            &mut |range, answer| answers.push((range, answer)),
        );
        for (range, answer) in answers {
            match answer {
                Ok(normalized) => self.take(decided, &fit[range], normalized),
                Err(fault) => self.reject(decided, Stage::Normalize, fit[range.start], fault.to_string()),
            }
        }
        let sent = decided.parts.iter().map(|part| part.events.len()).sum();
        self.end(Stage::Normalize, clock, sent);
    }

    /// Enters a checked answer for the deliveries `fit`.
    fn take(&self, decided: &mut Decided, fit: &[usize], normalized: Normalized) {
        let part = decided.parts.len();
        let (mut origin, mut position) = (Vec::with_capacity(fit.len()), Vec::with_capacity(fit.len()));
        let stage = self.metrics.stage(Stage::Normalize);
        for (&index, verdict) in fit.iter().zip(normalized.verdicts) {
            match verdict {
                Verdict::Accepted(events) => {
                    origin.extend(events.clone().map(|_| index as u32));
                    position.extend(0..events.len() as u32);
                    decided.outcomes[index] = Outcome::Accepted { part, events };
                }
                Verdict::Dropped(reason) => {
                    stage.dropped.inc();
                    decided.outcomes[index] = Outcome::Dropped(reason);
                }
                Verdict::RetryAfter { milliseconds, reason } => {
                    let attempts = decided.deliveries[index].attempts + 1;
                    decided.deliveries[index].attempts = attempts;
                    if attempts > self.retries {
                        let reason = format!("still put off after {attempts} attempts: {reason}");
                        self.reject(decided, Stage::Normalize, index, reason);
                    } else {
                        stage.retried.inc();
                        let wait = Duration::from_millis(u64::from(milliseconds));
                        decided.outcomes[index] = Outcome::RetryAfter { wait, reason };
                    }
                }
                Verdict::Rejected(reason) => self.reject(decided, Stage::Normalize, index, reason),
            }
        }
        let (routes, decisions) = (Routes::default(), Decisions::default());
        decided.parts.push(Part { events: normalized.events, origin, position, routes, decisions });
    }

    fn route(
        &mut self,
        events: &Events,
        contexts: &[sandbox::Context<'_>],
        context: &[u32],
    ) -> (Routes, Vec<(usize, Fault)>) {
        let clock = self.begin(Stage::Route, events.len());
        let Self { route: caller, streams, .. } = self;
        let (mut routes, mut faults) = (None::<Routes>, Vec::new());
        let deadline = caller.guest().deadline();
        bisect(
            0..events.len(),
            &mut |range| {
                let answer = of_part(events, contexts, context, range.clone(), |input| {
                    caller.call(input, share(deadline, range.len(), events.len()))
                })?;
                checked(caller, Routes::check(answer, range.len(), streams))
            },
            &mut |range, answer| match (answer, &mut routes) {
                (Ok(answer), None) => routes = Some(answer),
                (Ok(answer), Some(routes)) => routes.append(answer),
                (Err(fault), _) => {
                    let stream = default_stream(streams, events.get(range.start).category());
                    let reason = format!("default route, for the router failed: {fault}");
                    routes.get_or_insert_default().push(&[stream], reason);
                    faults.push((range.start, fault));
                }
            },
        );
        let routes = routes.unwrap_or_default();
        let unrouted = (0..routes.len()).filter(|&event| routes.streams(event).is_empty()).count();
        self.metrics.stage(Stage::Route).dropped.inc_by(unrouted as u64);
        self.end(Stage::Route, clock, events.len() - unrouted);
        (routes, faults)
    }

    fn federate(
        &mut self,
        events: &Events,
        contexts: &[sandbox::Context<'_>],
        context: &[u32],
    ) -> (Decisions, Vec<(usize, Fault)>) {
        let (mut decisions, mut faults) = (Decisions::default(), Vec::new());
        if self.federate.is_none() {
            (0..events.len()).for_each(|_| decisions.push_kept("nothing leaves: no [nats] is configured".to_owned()));
            return (decisions, faults);
        }
        let clock = self.begin(Stage::Federate, events.len());
        if let Self { federate: Some(caller), subjects, .. } = self {
            let deadline = caller.guest().deadline();
            bisect(
                0..events.len(),
                &mut |range| {
                    let answer = of_part(events, contexts, context, range.clone(), |input| {
                        caller.call(input, share(deadline, range.len(), events.len()))
                    })?;
                    let part = (range.len() < events.len()).then(|| events.slice(range));
                    let events = part.as_ref().unwrap_or(events);
                    checked(caller, Decisions::check(answer, events, |subject| subjects.allow(subject)))
                },
                &mut |range, answer| match answer {
                    Ok(answer) => decisions.append(answer),
                    Err(fault) => {
                        decisions.push_kept(format!("kept, for the policy failed: {fault}"));
                        faults.push((range.start, fault));
                    }
                },
            );
        }
        let shared = (0..decisions.len()).filter(|&event| decisions.share(event).is_some()).count();
        self.end(Stage::Federate, clock, shared);
        (decisions, faults)
    }

    fn reject(&self, decided: &mut Decided, stage: Stage, index: usize, reason: String) {
        decided.outcomes[index] = Outcome::Rejected(reason.clone());
        self.bury(decided, stage, index, reason);
    }

    /// A dead letter for the delivery of a normalized event that `stage` could not decide. One for each delivery,
    /// however many of its events there are: a letter holds the raw bytes.
    fn bury_event(&self, decided: &mut Decided, stage: Stage, part: usize, event: usize, reason: String) {
        let from = &decided.parts[part];
        let (delivery, position) = (from.origin[event] as usize, from.position[event]);
        let stands_in = from.routes.streams(event).iter().map(|&stream| self.streams[stream].clone());
        let stands_in: Vec<String> = if stage == Stage::Route { stands_in.collect() } else { Vec::new() };
        if !matches!(decided.dead_letters.last(), Some(last) if (last.stage, last.delivery) == (stage, delivery)) {
            self.bury(decided, stage, delivery, reason);
        }
        if let Some(letter) = decided.dead_letters.last_mut() {
            letter.positions.push(position);
            letter.streams.extend(stands_in);
        }
    }

    fn bury(&self, decided: &mut Decided, stage: Stage, index: usize, reason: String) {
        self.metrics.stage(stage).dead_lettered.inc();
        let (guest, effect) = match stage {
            Stage::Normalize => (Some(self.normalize.guest().digest_text()), Effect::NotPublished),
            Stage::Route => (Some(self.route.guest().digest_text()), Effect::DefaultRoute),
            Stage::Federate => (self.federate.as_ref().map(|caller| caller.guest().digest_text()), Effect::NotShared),
            _ => (None, Effect::NotPublished),
        };
        let fingerprint = decided.fingerprint(index);
        let delivery = &decided.deliveries[index];
        decided.dead_letters.push(DeadLetter {
            stage,
            reason,
            guest: guest.cloned(),
            effect,
            positions: Vec::new(),
            streams: Vec::new(),
            fingerprint,
            delivery: index,
            context: Arc::clone(&delivery.context),
            received_ms: delivery.received_ms,
            attempts: delivery.attempts.max(1),
            payload: delivery.payload.clone(),
        });
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

/// A call's deadline when it is for `part` of `all` events.
fn share(deadline: Duration, part: usize, all: usize) -> Duration {
    if part == all { deadline } else { (deadline.mul_f64(part as f64 / all as f64)).max(deadline / LEAST_SHARE) }
}

fn checked<W: World, T>(caller: &Caller<W>, answer: Result<T, String>) -> Result<T, Fault> {
    answer.map_err(|what| {
        caller.guest().count_garbage();
        Fault::Garbage(what)
    })
}

/// Hands `range` of `events` to `call`, without a copy where it is all of them.
fn of_part<T>(
    events: &Events,
    contexts: &[sandbox::Context<'_>],
    context: &[u32],
    range: Range<usize>,
    call: impl FnOnce(&OriginEvents<'_>) -> T,
) -> T {
    let part = (range.len() < events.len()).then(|| events.slice(range.clone()));
    let events = part.as_ref().unwrap_or(events).param();
    call(&OriginEvents { contexts, context: &context[range], events })
}

/// The distinct contexts of some deliveries, and for each delivery which of them is its own. Events of one device come
/// in runs, so the last ones are looked at first.
fn contexts<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> (Vec<sandbox::Context<'a>>, Vec<u32>) {
    let mut distinct: Vec<&Arc<Context>> = Vec::new();
    let index = deliveries
        .map(|delivery| {
            let known = distinct.iter().rposition(|context| Arc::ptr_eq(context, &delivery.context));
            known.unwrap_or_else(|| {
                distinct.push(&delivery.context);
                distinct.len() - 1
            }) as u32
        })
        .collect();
    let contexts = distinct.into_iter().map(|context| sandbox::Context {
        source: &context.source,
        format: &context.format,
        topic: context.topic.as_deref(),
        device_id: context.device_id.as_deref(),
        channel: context.channel.as_deref(),
        source_ip: context.source_ip.as_deref(),
    });
    (contexts.collect(), index)
}

/// Position of the stream that the seed's rule names. Both are always configured.
fn default_stream(streams: &[String], category: Category) -> usize {
    let name = if category == Category::Cps { DEFAULT_CPS } else { DEFAULT };
    streams.iter().position(|stream| stream == name).unwrap_or_default()
}
