//! What a stage is asked about: events with their contexts, each context once.

use std::sync::Arc;

use super::checked;
use crate::{
    event::{Context, Delivery},
    pipeline::{
        seat::{Ruling, Seat},
        seats::Group,
    },
    sandbox::{self, OriginEvents, World, events::Events},
    state::Mark,
};

/// The events of a part, as the stages behind normalize are asked about them.
pub(super) struct About<'a> {
    pub events: &'a Events,
    /// Their distinct contexts, as the host has them and as guests see them, and of each event which is its own.
    pub distinct: &'a [&'a Arc<Context>],
    pub contexts: &'a [sandbox::Context<'a>],
    pub context: &'a [u32],
    /// By what an event is known when it comes again.
    pub mark: &'a dyn Fn(usize) -> Mark,
}

impl About<'_> {
    pub fn context_of(&self, event: usize) -> &Context {
        self.distinct[self.context[event] as usize]
    }

    pub fn contexts_of_events(&self) -> impl Iterator<Item = &Arc<Context>> {
        self.context.iter().map(|&context| self.distinct[context as usize])
    }

    /// Asks `seat` about those of `group`, without a copy where they are all.
    pub fn ask<W, T>(
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
