use std::time::Duration;

use super::{
    Decider,
    about::{contexts, distinct},
    checked,
};
use crate::{
    attestation::Attestor,
    federation::{Offer, inbound::site_of},
    pipeline::{
        decided::{Decided, Maker, Outcome},
        identity::mark_of,
        seat::Ruling,
    },
    sandbox::{
        RawEvents,
        answer::{Normalized, Verdict},
    },
    telemetry::Stage,
};

impl Decider {
    /// Raw to normalized. What no guest of this stage has to see goes its own way.
    pub(super) fn normalize(&mut self, decided: &mut Decided) {
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
}
