use super::Decider;
use crate::{
    federation::Offer,
    pipeline::decided::{Decided, Outcome},
    sandbox::events::Events,
    telemetry::Stage,
};

impl Decider {
    /// Makes events of entries of streams that are offered to other sites.
    pub(super) fn offer(&self, decided: &mut Decided, offered: &[(usize, Offer)]) {
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
}
