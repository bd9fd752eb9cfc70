//! The verdict of a lane's batch, in the lane's thread: between what the normalizer says and what route and federate see.
//!
//! The lane waits for Redis, which is one round trip, or two, for a batch that has answers in it, and nothing for any
//! other. While Redis is away answers are put off and the rest of the batch goes on; the lane asks again after a while, and
//! not for each batch.

use std::{
    iter,
    time::{Duration, Instant},
};

use tokio::runtime;

use super::{
    Heard, Judge,
    judge::{Ask, Judged},
    notice::NOTICES,
    rewrite::rewrite,
    silence,
};
use crate::{
    event::{Delivery, Identity},
    pipeline::Fingerprint,
    sandbox::{
        Kind,
        answer::{Normalized, Verdict as Disposition},
        events::{Draft, Events},
    },
    telemetry::{AttestationMetrics, Chain},
};

/// Longest wait of a lane for Redis.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long answers are put off while Redis is away: at first, and at most.
const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(5);

/// Judges what a lane's normalizer calls an answer, and notes heartbeats. One for each lane.
#[derive(Clone)]
pub struct Attestor {
    judge: Judge,
    heard: Heard,
    metrics: AttestationMetrics,
    runtime: runtime::Handle,
    /// While Redis is away: when it is asked again, and the wait before that.
    away: Option<(Instant, Duration)>,
}

impl std::fmt::Debug for Attestor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attestor").field("away", &self.away).finish_non_exhaustive()
    }
}

impl Attestor {
    /// For lanes that run beside `runtime`.
    #[must_use]
    pub fn new(judge: Judge, heard: Heard, metrics: AttestationMetrics, runtime: runtime::Handle) -> Self {
        Self { judge, heard, metrics, runtime, away: None }
    }

    /// Whether there are answers or heartbeats among `events`. Most batches have neither, and this is all that it costs
    /// them.
    #[must_use]
    pub fn concern(events: &Events) -> bool {
        events.iter().any(|event| matches!(event.kind(), Kind::Attestation | Kind::Status))
    }

    /// What a normalizer said of `deliveries`, with verdicts in place of what it said of answers.
    #[must_use]
    pub fn pass(&mut self, normalized: Normalized, deliveries: &[&Delivery]) -> Normalized {
        self.note_heartbeats(&normalized, deliveries);
        let answers = normalized.events.iter().any(|event| event.kind() == Kind::Attestation);
        if answers { self.judge(normalized, deliveries) } else { normalized }
    }

    /// Of devices that their topics name: what an event says of itself anybody could say.
    fn note_heartbeats(&self, normalized: &Normalized, deliveries: &[&Delivery]) {
        let of = |(verdict, delivery): (&Disposition, &&Delivery)| match verdict {
            Disposition::Accepted(range) => {
                let beats = range.clone().any(|event| normalized.events.get(event).kind() == Kind::Status);
                beats.then_some(()).and(delivery.context.device_id.clone().map(|id| (id, delivery.received_ms)))
            }
            _ => None,
        };
        let beats: Vec<(String, i64)> = normalized.verdicts.iter().zip(deliveries).filter_map(of).collect();
        self.heard.note(beats.iter().map(|(device, at)| (device.as_str(), *at)));
    }

    fn judge(&mut self, normalized: Normalized, deliveries: &[&Delivery]) -> Normalized {
        let is_answer = |verdict: &Disposition| match verdict {
            Disposition::Accepted(range) => {
                range.clone().any(|event| normalized.events.get(event).kind() == Kind::Attestation)
            }
            _ => false,
        };
        let answers: Vec<usize> =
            normalized.verdicts.iter().enumerate().filter(|(_, verdict)| is_answer(verdict)).map(|(i, _)| i).collect();
        let asks: Vec<Ask<'_>> = answers.iter().map(|&index| ask(deliveries[index])).collect();
        let outcome = self.ask(&asks);
        let Normalized { verdicts, events: said } = normalized;
        let (mut events, mut rewritten) = (Events::none(), Vec::with_capacity(verdicts.len()));
        let mut answers = answers.into_iter().zip(outcome).peekable();
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let Disposition::Accepted(range) = verdict else {
                rewritten.push(verdict);
                continue;
            };
            let first = events.len();
            let judged = answers.next_if(|(answer, _)| *answer == index).map(|(_, judged)| judged);
            let judged = match judged {
                None => {
                    events.append(&said, range);
                    rewritten.push(Disposition::Accepted(first..events.len()));
                    continue;
                }
                Some(Err((wait, reason))) => {
                    rewritten.push(Disposition::PutOff { wait, reason });
                    continue;
                }
                Some(Ok(judged)) => judged,
            };
            let drafts: Vec<Draft> = range.map(|event| Draft::from(said.get(event))).collect();
            let drafts = self.retold(judged, drafts, deliveries[index]);
            rewritten.push(match drafts.and_then(|drafts| Events::of(&drafts).map_err(Disposition::Rejected)) {
                Ok(made) => {
                    events.append(&made, 0..made.len());
                    Disposition::Accepted(first..events.len())
                }
                Err(disposition) => disposition,
            });
        }
        Normalized { verdicts: rewritten, events }
    }

    /// What becomes of `drafts`, which the normalizer made of an answer.
    fn retold(&self, judged: Judged, mut drafts: Vec<Draft>, delivery: &Delivery) -> Result<Vec<Draft>, Disposition> {
        let (verdict, before) = match judged {
            Judged::Verdict(verdict) => (verdict, None),
            Judged::First(verdict, before) => (verdict, Some(before)),
            Judged::Repeated(verdict, why) => {
                self.metrics.count(&verdict);
                return Err(Disposition::Dropped(why));
            }
            Judged::Turned(notice) => {
                silence::rewrite(&mut drafts, &notice, delivery.received_ms);
                return Ok(drafts);
            }
            Judged::Nothing(why) => return Err(Disposition::Dropped(why.to_owned())),
        };
        self.metrics.count(&verdict);
        rewrite(&mut drafts, &verdict, before.as_ref(), delivery);
        Ok(drafts)
    }

    /// Verdicts; or for each how long it is put off, and why.
    fn ask(&mut self, asks: &[Ask<'_>]) -> Vec<Result<Judged, (Duration, String)>> {
        let put_off = |wait: Duration| {
            let reason = "no verdict while Redis does not say what is known of the device".to_owned();
            iter::repeat_n(Err((wait, reason)), asks.len()).collect()
        };
        if let Some((again, wait)) = self.away
            && again > Instant::now()
        {
            return put_off(wait);
        }
        let judge = &self.judge;
        let judged = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, judge.judge(asks)).await });
        let error = match judged {
            Ok(Ok(judged)) => {
                self.away = None;
                return judged.into_iter().map(Ok).collect();
            }
            Ok(Err(error)) => Chain(&error).to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        let wait = match self.away {
            None => {
                tracing::warn!(error, answers = asks.len(), "no verdict on answers of devices, they wait");
                FIRST
            }
            Some((_, wait)) => (wait * 2).min(MOST),
        };
        self.away = Some((Instant::now() + wait, wait));
        put_off(wait)
    }
}

fn ask(delivery: &Delivery) -> Ask<'_> {
    Ask {
        context: &delivery.context,
        payload: &delivery.payload,
        received_ms: delivery.received_ms,
        // A collector may call itself as it likes, and what it sends has another identity.
        is_notice: delivery.context.source == NOTICES && matches!(delivery.identity, Identity::Once(_)),
        delivery: Fingerprint::of(&delivery.context, delivery.identity, &delivery.payload).delivery(),
        host: match delivery.identity {
            Identity::Packet { client, .. } => format!("mqtt {client:016x}"),
            // Of a client or a stream that hosts share: delivered to one of them.
            Identity::Request { .. } => "http".to_owned(),
            Identity::Entry(_) => "raw".to_owned(),
            Identity::Offer(..) => "offer".to_owned(),
            Identity::Message { .. } => "federation".to_owned(),
            Identity::Letter(_) => "letter".to_owned(),
            Identity::Once(_) => "once".to_owned(),
        },
    }
}
