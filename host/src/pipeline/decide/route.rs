use std::sync::Arc;

use super::{About, Decider, Undecided};
use crate::{
    pipeline::{
        decided::{Maker, Makers},
        seat::Ruling,
        seats::order,
    },
    sandbox::{Category, answer::Routes, events::Events},
    telemetry::Stage,
};

/// Streams that events go to when a router fails: the seed's rule.
const DEFAULT: &str = "aurora:alerts";
const DEFAULT_CPS: &str = "aurora:cps:alerts";

impl Decider {
    /// Which streams. What its guests fail on goes to the default streams.
    pub(super) fn route(&mut self, about: &About<'_>) -> (Routes, Makers, Vec<Undecided>) {
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
}

/// The routes of entries that are in their streams already.
pub(super) fn nowhere(events: usize) -> (Routes, Makers, Vec<Undecided>) {
    let mut routes = Routes::default();
    (0..events).for_each(|_| routes.push(&[], "it is in its stream already".to_owned()));
    (routes, Makers::default(), Vec::new())
}

/// Position of the stream that the seed's rule names. Both are always configured.
fn default_stream(streams: &[String], category: Category) -> usize {
    let name = if category == Category::Cps { DEFAULT_CPS } else { DEFAULT };
    streams.iter().position(|stream| stream == name).unwrap_or_default()
}
