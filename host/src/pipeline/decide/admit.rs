//! What other sites send, on its way in: read, judged by the guest of `inbound` where a site has one, and turned into
//! events with an origin.
//!
//! Fails closed: what is not judged is not stored, but becomes a dead letter of stage `inbound`, which a replay has judged
//! anew.

use std::{borrow::Cow, sync::Arc};

use super::{
    Decider,
    about::{contexts, distinct},
    checked,
};
use crate::{
    event::Delivery,
    federation::inbound::{Message, site_of},
    pipeline::{
        decided::{Decided, Maker, Makers, Outcome},
        identity::mark_of,
        seat::Ruling,
    },
    sandbox::{
        Messages, OriginEvents,
        answer::{Decisions, Routes},
        events::{Draft, Events},
        judged::{self, Judgement},
    },
    telemetry::Stage,
};

/// A sound message, and whose it is.
struct Sound {
    /// Which delivery.
    index: usize,
    message: Message,
    /// Position of the stream that it goes to, and why; none: it is recorded and no event.
    stream: Option<(usize, String)>,
}

impl Sound {
    fn delivery<'a>(&self, decided: &'a Decided) -> &'a Delivery {
        &decided.deliveries[self.index]
    }
}

/// What is thought of a message.
enum Opinion {
    /// Nobody was asked.
    Unasked,
    /// This guest has judged it.
    Judged(Judgement, Maker),
    /// The guest with this digest was to judge it and did not.
    Undecided(Option<Arc<str>>, String),
}

impl Decider {
    /// Makes events of the messages of other sites that are the deliveries `inbound`. All is decided on them with that: no
    /// other guest has to say where they go, and they never leave again.
    pub(super) fn take_in(&mut self, decided: &mut Decided, inbound: &[usize]) {
        let mut sound = Vec::with_capacity(inbound.len());
        for &index in inbound {
            let Delivery { context, payload, received_ms, .. } = &decided.deliveries[index];
            match self.inbound.read(context, payload, *received_ms) {
                Ok(message) => {
                    let stream = message.event.as_ref().map(|event| self.inbound.stream(context, event.category));
                    sound.push(Sound { index, message, stream });
                }
                Err(reason) => self.reject(decided, Stage::Source, index, None, reason),
            }
        }
        let opinions = self.judge(decided, &sound);
        let (mut drafts, mut origin, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        let (mut routes, mut decisions, mut judges) = (Routes::default(), Decisions::default(), Makers::default());
        for (Sound { index, message, stream }, opinion) in sound.into_iter().zip(opinions) {
            let (verdict, judge) = match opinion {
                Opinion::Unasked => (None, None),
                Opinion::Judged(Judgement::Accepted { severity, reason }, judge) => {
                    (Some((severity, reason)), Some(judge))
                }
                Opinion::Judged(Judgement::Dropped(reason), _) => {
                    self.metrics.stage(Stage::Inbound).dropped.inc();
                    decided.outcomes[index] = Outcome::Dropped(reason);
                    continue;
                }
                Opinion::Judged(Judgement::Refused(reason), judge) => {
                    let reason = format!("refused: {reason}");
                    self.reject(decided, Stage::Inbound, index, Some(&judge.digest), reason);
                    continue;
                }
                Opinion::Undecided(guest, reason) => {
                    self.reject(decided, Stage::Inbound, index, guest.as_ref(), reason);
                    continue;
                }
            };
            // An indicator is no event; it is recorded when this is stored.
            let (Some(mut draft), Some((stream, mut why))) = (message.event, stream) else {
                decided.outcomes[index] = Outcome::Accepted { part: 0, events: 0..0 };
                continue;
            };
            if let Some((severity, reason)) = verdict {
                if severity != draft.severity {
                    why += &format!("; {} instead of {}", severity.as_str(), draft.severity.as_str());
                }
                why += &format!("; {reason}");
                draft.severity = severity;
            }
            routes.push(&[stream], why);
            decisions.push_kept(format!("it came from {} and never leaves again", message.origin.site));
            drafts.push(draft);
            judges.add(drafts.len(), judge.as_ref());
            origin.push(index as u32);
            origins.push(message.origin);
        }
        if drafts.is_empty() {
            return;
        }
        match Events::of(&drafts) {
            Ok(events) => {
                let part = decided.place_inbound(events, origin.clone(), origins, (routes, decisions, judges));
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

    /// What the guest of `inbound` thinks of `sound` messages, one opinion for each, in order.
    fn judge(&mut self, decided: &Decided, sound: &[Sound]) -> Vec<Opinion> {
        let mut opinions: Vec<Opinion> = sound.iter().map(|_| Opinion::Unasked).collect();
        if self.judge.is_none() || sound.is_empty() {
            return opinions;
        }
        let clock = self.begin(Stage::Inbound, sound.len());
        let all = match shown(sound.iter().map(|sound| &sound.message)) {
            Ok(all) => all,
            Err(reason) => {
                opinions.fill_with(|| Opinion::Undecided(None, reason.clone()));
                return opinions;
            }
        };
        if let Self { judge: Some(seats), streams, .. } = self {
            let streams: &[String] = streams;
            for group in seats.groups(sound.iter().map(|sound| &sound.delivery(decided).context)) {
                let (seat, slot) = seats.at(group.seat);
                let members: Vec<usize> = (0..group.members().map_or(sound.len(), <[usize]>::len))
                    .map(|member| group.event(member))
                    .collect();
                let rulings = seat.ask(members.len(), |caller, range, deadline| {
                    let part: Vec<&Sound> = members[range.clone()].iter().map(|&at| &sound[at]).collect();
                    let events = all.pick(&members[range]);
                    let (distinct, context) = distinct(part.iter().map(|sound| sound.delivery(decided)));
                    let sites = distinct.iter().map(|context| site_of(context));
                    let sites: Vec<&str> = sites.map(Option::unwrap_or_default).collect();
                    let (named, stream) = streams_of(&part, streams);
                    let received_ms: Vec<i64> = part.iter().map(|sound| sound.delivery(decided).received_ms).collect();
                    let tlp: Vec<_> = part.iter().map(|sound| sound.message.origin.tlp).collect();
                    let input = Messages {
                        events: OriginEvents {
                            contexts: &contexts(&distinct),
                            context: &context,
                            events: events.param(),
                        },
                        sites: &sites,
                        received_ms: &received_ms,
                        streams: &named,
                        stream: &stream,
                        tlp: &tlp,
                    };
                    caller.about(part.iter().map(|sound| mark_of(sound.delivery(decided), 0)));
                    let answer = caller.call(&input, deadline)?;
                    checked(caller, judged::check(answer, part.len()))
                });
                for Ruling { range, guest, answer } in rulings {
                    match answer {
                        Ok(judgements) => {
                            for (&at, judgement) in members[range].iter().zip(judgements) {
                                let maker = Maker { slot: slot.clone(), digest: Arc::clone(&guest) };
                                opinions[at] = Opinion::Judged(judgement, maker);
                            }
                        }
                        Err(reason) => {
                            for &at in &members[range] {
                                opinions[at] = Opinion::Undecided(Some(Arc::clone(&guest)), reason.clone());
                            }
                        }
                    }
                }
            }
        }
        let is_in = |opinion: &&Opinion| matches!(opinion, Opinion::Judged(Judgement::Accepted { .. }, _));
        self.end(Stage::Inbound, clock, opinions.iter().filter(is_in).count());
        opinions
    }
}

/// The messages as the guest sees them: what is no event is shown as one, with its indicator as its only observable.
fn shown<'a>(messages: impl Iterator<Item = &'a Message>) -> Result<Events, String> {
    let drafts: Vec<Cow<'_, Draft>> = messages.map(Message::shown).collect();
    Events::of(drafts.iter().map(|draft| &**draft))
}

/// The names of the streams that `part` goes to, each once, and which of them each message goes to.
fn streams_of<'a>(part: &[&Sound], streams: &'a [String]) -> (Vec<&'a str>, Vec<u32>) {
    let mut named: Vec<&str> = Vec::new();
    let index = part.iter().map(|sound| {
        let name = sound.stream.as_ref().map_or("", |(stream, _)| streams[*stream].as_str());
        let known = named.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            named.push(name);
            named.len() - 1
        }) as u32
    });
    let index = index.collect();
    (named, index)
}
