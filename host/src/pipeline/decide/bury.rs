use std::sync::Arc;

use super::{Decider, Undecided};
use crate::{
    pipeline::{
        dead_letter::{DeadLetter, Effect},
        decided::{Decided, Outcome},
    },
    telemetry::Stage,
};

impl Decider {
    /// Makes a dead letter of the delivery at `index`, and nothing else.
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
    pub(super) fn bury_events(&self, decided: &mut Decided, stage: Stage, part: usize, undecided: Vec<Undecided>) {
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
}
