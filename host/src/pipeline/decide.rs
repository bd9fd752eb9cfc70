//! The stages, run on one batch by one thread. What other sites send goes its own way, in `admit`. No I/O, but for the
//! verdict on answers of devices and the look for shared indicators, where a site wants them; no clock but the batch's own,
//! and the breakers': `aurora pipe`, the benches and the lanes all decide here.

use std::{sync::Arc, time::Duration, time::Instant};

use super::{
    dead_letter::{DeadLetter, Effect},
    decided::{Decided, Maker, Makers, Outcome},
    identity::mark_of,
    recognise::recognise,
    seat::{Ruling, Seat},
    seats::{Group, Seats, order},
    stages::Stages,
};
use crate::{
    attestation::Attestor,
    broker::jetstream::Subjects,
    event::{Context, Delivery},
    federation::{
        Ceiling, Offer,
        inbound::{self, site_of},
    },
    intel::Matcher,
    sandbox::{
        self, Caller, Category, Fault, Federation, Inbound, Normalizer, OriginEvents, RawEvents, Router, World,
        answer::{Decisions, Normalized, Routes, Verdict},
        events::Events,
    },
    state::Mark,
    telemetry::{Metrics, Stage},
};

/// Streams that events go to when a router fails: the seed's rule.
const DEFAULT: &str = "aurora:alerts";
const DEFAULT_CPS: &str = "aurora:cps:alerts";

/// Decides batches. Owned by one thread.
#[derive(Debug)]
pub struct Decider {
    normalize: Seats<Normalizer>,
    route: Seats<Router>,
    federate: Option<Seats<Federation>>,
    pub(super) streams: Arc<[String]>,
    subjects: Arc<Subjects>,
    ceiling: Arc<Ceiling>,
    pub(super) inbound: Arc<inbound::Rules>,
    /// Who judges what other sites send; none: whatever is sound comes in.
    pub(super) judge: Option<Seats<Inbound>>,
    retries: u32,
    pub(super) metrics: Metrics,
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

    fn normalize(&mut self, decided: &mut Decided) {
        let (mut fit, mut offered, mut inbound) =
            (Vec::with_capacity(decided.deliveries.len()), Vec::new(), Vec::new());
        for index in 0..decided.deliveries.len() {
            match decided.deliveries[index].unfit.take() {
                None => match Offer::of(&decided.deliveries[index].context) {
                    None if site_of(&decided.deliveries[index].context).is_some() => inbound.push(index),
                    None => fit.push(index),
                    Some(offer) => offered.push((index, offer)),
                },
                Some(reason) => self.reject(decided, Stage::Source, index, None, reason),
            }
        }
        let clock = self.begin(Stage::Normalize, fit.len());
        for group in self.normalize.groups(fit.iter().map(|&i| &decided.deliveries[i].context)) {
            self.normalize_group(decided, &group.of(&fit), group.seat);
        }
        let sent = decided.parts.iter().map(|part| part.events.len()).sum();
        self.end(Stage::Normalize, clock, sent);
        self.offer(decided, &offered);
        self.take_in(decided, &inbound);
    }

    /// Makes events of entries of streams that are offered to other sites.
    fn offer(&self, decided: &mut Decided, offered: &[(usize, Offer)]) {
        let (mut drafts, mut origin) = (Vec::with_capacity(offered.len()), Vec::with_capacity(offered.len()));
        for &(index, offer) in offered {
            let delivery = &decided.deliveries[index];
            match offer.event(&delivery.payload, delivery.received_ms) {
                Ok(draft) => {
                    drafts.push(draft);
                    origin.push(index as u32);
                }
                Err(reason) => self.reject(decided, Stage::Source, index, None, reason),
            }
        }
        if drafts.is_empty() {
            return;
        }
        match Events::of(&drafts) {
            Ok(events) => {
                let part = decided.place_offered(events, origin.clone());
                for (event, index) in origin.into_iter().enumerate() {
                    decided.outcomes[index as usize] = Outcome::Accepted { part, events: event..event + 1 };
                }
            }
            Err(reason) => {
                for index in origin {
                    self.reject(decided, Stage::Source, index as usize, None, reason.clone());
                }
            }
        }
    }

    /// Asks the seat at `seat` about the deliveries `fit`.
    fn normalize_group(&mut self, decided: &mut Decided, fit: &[usize], seat: usize) {
        let deliveries = &decided.deliveries;
        let (seat, slot) = self.normalize.at(seat);
        let rulings = seat.ask(fit.len(), |caller, range, deadline| {
            let part = &fit[range];
            let deliveries = || part.iter().map(|&i| &deliveries[i]);
            let (distinct, context) = distinct(deliveries());
            let mut received_ms = Vec::with_capacity(part.len());
            let mut ends = Vec::with_capacity(part.len());
            let mut payload = Vec::with_capacity(deliveries().map(|delivery| delivery.payload.len()).sum());
            for delivery in deliveries() {
                received_ms.push(delivery.received_ms);
                payload.extend_from_slice(&delivery.payload);
                ends.push(payload.len() as u32);
            }
            let input = RawEvents {
                contexts: &contexts(&distinct),
                context: &context,
                received_ms: &received_ms,
                ends: &ends,
                payload: &payload,
            };
            caller.about(part.iter().map(|&i| mark_of(&decided.deliveries[i], 0)));
            let answer = caller.call(&input, deadline)?;
            checked(caller, Normalized::check(answer, part.len()))
        });
        for Ruling { range, guest, answer } in rulings {
            match answer {
                Ok(normalized) => {
                    let normalized = match &mut self.attestor {
                        Some(attestor) if Attestor::concern(&normalized.events) => {
                            let deliveries: Vec<_> =
                                fit[range.clone()].iter().map(|&index| &decided.deliveries[index]).collect();
                            attestor.pass(normalized, &deliveries)
                        }
                        _ => normalized,
                    };
                    let maker = Maker { slot: slot.clone(), digest: guest };
                    self.take(decided, &fit[range], &maker, normalized);
                }
                Err(reason) => {
                    for &index in &fit[range] {
                        self.reject(decided, Stage::Normalize, index, Some(&guest), reason.clone());
                    }
                }
            }
        }
    }

    /// Enters a checked answer of `maker` for the deliveries `fit`.
    fn take(&self, decided: &mut Decided, fit: &[usize], maker: &Maker, normalized: Normalized) {
        let Normalized { verdicts, events } = normalized;
        let (part, base) = decided.place(events, maker);
        let guest = &maker.digest;
        let (mut origin, mut position) = (Vec::with_capacity(fit.len()), Vec::with_capacity(fit.len()));
        let stage = self.metrics.stage(Stage::Normalize);
        for (&index, verdict) in fit.iter().zip(verdicts) {
            match verdict {
                Verdict::Accepted(events) => {
                    origin.extend(events.clone().map(|_| index as u32));
                    position.extend(0..events.len() as u32);
                    let events = base + events.start..base + events.end;
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
                        self.reject(decided, Stage::Normalize, index, Some(guest), reason);
                    } else {
                        stage.retried.inc();
                        let wait = Duration::from_millis(u64::from(milliseconds));
                        decided.outcomes[index] = Outcome::RetryAfter { wait, reason };
                    }
                }
                Verdict::PutOff { wait, reason } => {
                    stage.retried.inc();
                    decided.outcomes[index] = Outcome::RetryAfter { wait, reason };
                }
                Verdict::Rejected(reason) => self.reject(decided, Stage::Normalize, index, Some(guest), reason),
            }
        }
        let part = &mut decided.parts[part];
        part.origin.append(&mut origin);
        part.position.append(&mut position);
    }

    fn route(&mut self, about: &About<'_>) -> (Routes, Makers, Vec<Undecided>) {
        let clock = self.begin(Stage::Route, about.events.len());
        let (mut routes, mut makers, mut undecided) = (Routes::default(), Makers::default(), Vec::new());
        let groups = self.route.groups(about.contexts_of_events());
        for group in &groups {
            let (seat, slot) = self.route.at(group.seat);
            let streams = &self.streams;
            let check = |answer, events: &Events| Routes::check(answer, events.len(), streams);
            for Ruling { range, guest, answer } in about.ask(seat, group, check) {
                let maker = answer.is_ok().then(|| Maker { slot: slot.clone(), digest: Arc::clone(&guest) });
                makers.add(makers.len() + range.len(), maker.as_ref());
                match answer {
                    Ok(answer) => routes.append(answer),
                    Err(reason) => {
                        let events: Vec<usize> = range.map(|index| group.event(index)).collect();
                        for &event in &events {
                            let stream = default_stream(streams, about.events.get(event).category());
                            routes.push(&[stream], format!("default route, for the router failed: {reason}"));
                        }
                        undecided.push((events, guest, reason));
                    }
                }
            }
        }
        if let Some(order) = order(&groups) {
            routes.reorder(&order);
            makers.reorder(&order);
        }
        let unrouted = (0..routes.len()).filter(|&event| routes.streams(event).is_empty()).count();
        self.metrics.stage(Stage::Route).dropped.inc_by(unrouted as u64);
        self.end(Stage::Route, clock, about.events.len() - unrouted);
        (routes, makers, undecided)
    }

    fn federate(&mut self, about: &About<'_>) -> (Decisions, Makers, Vec<Undecided>) {
        let (mut decisions, mut makers, mut undecided) = (Decisions::default(), Makers::default(), Vec::new());
        let events = about.events;
        if self.federate.is_none() {
            (0..events.len()).for_each(|_| decisions.push_kept("nothing leaves: no [nats] is configured".to_owned()));
            return (decisions, makers, undecided);
        }
        let clock = self.begin(Stage::Federate, events.len());
        if let Self { federate: Some(seats), subjects, .. } = self {
            let check = |answer, events: &Events| Decisions::check(answer, events, |subject| subjects.allow(subject));
            let groups = seats.groups(about.contexts_of_events());
            for group in &groups {
                let (seat, slot) = seats.at(group.seat);
                for Ruling { range, guest, answer } in about.ask(seat, group, check) {
                    let maker = answer.is_ok().then(|| Maker { slot: slot.clone(), digest: Arc::clone(&guest) });
                    makers.add(makers.len() + range.len(), maker.as_ref());
                    match answer {
                        Ok(answer) => decisions.append(answer),
                        Err(reason) => {
                            let kept = format!("kept, for the policy failed: {reason}");
                            range.clone().for_each(|_| decisions.push_kept(kept.clone()));
                            undecided.push((range.map(|index| group.event(index)).collect(), guest, reason));
                        }
                    }
                }
            }
            if let Some(order) = order(&groups) {
                decisions.reorder(&order);
                makers.reorder(&order);
            }
        }
        self.ceiling.narrow(&mut decisions, events, |event| about.context_of(event), &self.metrics);
        let shared = (0..decisions.len()).filter(|&event| decisions.share(event).is_some()).count();
        self.end(Stage::Federate, clock, shared);
        (decisions, makers, undecided)
    }

    pub(super) fn reject(
        &self,
        decided: &mut Decided,
        stage: Stage,
        index: usize,
        guest: Option<&Arc<str>>,
        reason: String,
    ) {
        decided.outcomes[index] = Outcome::Rejected(reason.clone());
        self.bury(decided, stage, index, guest, reason);
    }

    /// Dead letters for the deliveries of the normalized events that `stage` could not decide. One for each delivery,
    /// however many of its events there are: a letter holds the raw bytes.
    fn bury_events(&self, decided: &mut Decided, stage: Stage, part: usize, undecided: Vec<Undecided>) {
        for (events, guest, reason) in undecided {
            for event in events {
                let from = &decided.parts[part];
                let (delivery, position) = (from.origin[event] as usize, from.position[event]);
                let stands_in = from.routes.streams(event).iter().map(|&stream| self.streams[stream].clone());
                let stands_in: Vec<String> = if stage == Stage::Route { stands_in.collect() } else { Vec::new() };
                if !matches!(decided.dead_letters.last(), Some(last) if (last.stage, last.delivery) == (stage, delivery))
                {
                    self.bury(decided, stage, delivery, Some(&guest), reason.clone());
                }
                if let Some(letter) = decided.dead_letters.last_mut() {
                    letter.positions.push(position);
                    letter.streams.extend(stands_in);
                }
            }
        }
    }

    fn bury(&self, decided: &mut Decided, stage: Stage, index: usize, guest: Option<&Arc<str>>, reason: String) {
        self.metrics.stage(stage).dead_lettered.inc();
        let effect = match stage {
            Stage::Route => Effect::DefaultRoute,
            Stage::Federate => Effect::NotShared,
            _ => Effect::NotPublished,
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

    pub(super) fn begin(&self, stage: Stage, events: usize) -> Instant {
        let metrics = self.metrics.stage(stage);
        metrics.received.inc_by(events as u64);
        metrics.batch.observe(events as f64);
        Instant::now()
    }

    pub(super) fn end(&self, stage: Stage, begun: Instant, sent: usize) {
        let metrics = self.metrics.stage(stage);
        metrics.sent.inc_by(sent as u64);
        metrics.seconds.observe(begun.elapsed().as_secs_f64());
    }
}

/// An answer that holds counts, and so does what its guest wrote on the way to it.
pub(super) fn checked<W: World, T>(caller: &mut Caller<W>, answer: Result<T, String>) -> Result<T, Fault> {
    match answer {
        Ok(answer) => {
            caller.keep();
            Ok(answer)
        }
        Err(what) => {
            caller.guest().count_garbage();
            Err(Fault::Garbage(what))
        }
    }
}

/// The events of a part, as the stages behind normalize are asked about them.
struct About<'a> {
    events: &'a Events,
    /// Their distinct contexts, as the host has them and as guests see them, and of each event which is its own.
    distinct: &'a [&'a Arc<Context>],
    contexts: &'a [sandbox::Context<'a>],
    context: &'a [u32],
    /// By what an event is known when it comes again.
    mark: &'a dyn Fn(usize) -> Mark,
}

impl About<'_> {
    fn context_of(&self, event: usize) -> &Context {
        self.distinct[self.context[event] as usize]
    }

    fn contexts_of_events(&self) -> impl Iterator<Item = &Arc<Context>> {
        self.context.iter().map(|&context| self.distinct[context as usize])
    }

    /// Asks `seat` about those of `group`, without a copy where they are all.
    fn ask<W, T>(
        &self,
        seat: &mut Seat<W>,
        group: &Group,
        check: impl Fn(W::Answer, &Events) -> Result<T, String>,
    ) -> Vec<Ruling<T>>
    where
        W: for<'a> World<Input<'a> = &'a OriginEvents<'a>>,
    {
        let picked = group.members().map(|members| self.events.pick(members));
        let (events, context) = (picked.as_ref().unwrap_or(self.events), group.of(self.context));
        seat.ask(events.len(), |caller, range, deadline| {
            let part = (range.len() < events.len()).then(|| events.slice(range.clone()));
            let part = part.as_ref().unwrap_or(events);
            caller.about(range.clone().map(|index| (self.mark)(group.event(index))));
            let input = OriginEvents { contexts: self.contexts, context: &context[range], events: part.param() };
            let answer = caller.call(&input, deadline)?;
            checked(caller, check(answer, part))
        })
    }
}

/// The routes of entries that are in their streams already.
fn nowhere(events: usize) -> (Routes, Makers, Vec<Undecided>) {
    let mut routes = Routes::default();
    (0..events).for_each(|_| routes.push(&[], "it is in its stream already".to_owned()));
    (routes, Makers::default(), Vec::new())
}

/// The distinct contexts of some deliveries, and for each delivery which of them is its own. Events of one device come
/// in runs, so the last ones are looked at first.
pub(super) fn distinct<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> (Vec<&'a Arc<Context>>, Vec<u32>) {
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
    (distinct, index)
}

/// As guests see them.
pub(super) fn contexts<'a>(distinct: &[&'a Arc<Context>]) -> Vec<sandbox::Context<'a>> {
    let seen = |context: &&'a Arc<Context>| sandbox::Context {
        source: &context.source,
        format: &context.format,
        topic: context.topic.as_deref(),
        device_id: context.device_id.as_deref(),
        channel: context.channel.as_deref(),
        source_ip: context.source_ip.as_deref(),
    };
    distinct.iter().map(seen).collect()
}

/// Position of the stream that the seed's rule names. Both are always configured.
fn default_stream(streams: &[String], category: Category) -> usize {
    let name = if category == Category::Cps { DEFAULT_CPS } else { DEFAULT };
    streams.iter().position(|stream| stream == name).unwrap_or_default()
}
