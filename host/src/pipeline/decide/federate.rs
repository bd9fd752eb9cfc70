use std::sync::Arc;

use super::{About, Decider, Undecided};
use crate::{
    pipeline::{
        decided::{Maker, Makers},
        seat::Ruling,
        seats::order,
    },
    sandbox::{answer::Decisions, events::Events},
    telemetry::Stage,
};

impl Decider {
    /// What leaves the site. What its guests fail on stays.
    pub(super) fn federate(&mut self, about: &About<'_>) -> (Decisions, Makers, Vec<Undecided>) {
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
}
