//! What other sites get of an event: its own message, and one for each observable that is shared, in one set of subjects
//! or in both.

use std::fmt;

use super::{
    decided::DecidedEvent,
    record::{alert_json, attestation_json, ioc_json},
};
use crate::{
    broker::redis_streams::Message,
    config::Config,
    federation::{CAPITAL, Offer, Sendable},
    intel::Tell,
};

/// Makes the messages of events.
#[derive(Clone, Debug)]
pub struct Leaving {
    site: String,
    sendable: Sendable,
}

impl Leaving {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { site: config.site.id.clone(), sendable: Sendable::new(config) }
    }

    /// Which messages of `event` leave; none if it is not shared. The event's own comes first.
    pub(crate) fn plan<'a>(&'a self, event: &DecidedEvent<'a>) -> Vec<Planned<'a>> {
        let Some(share) = event.share else { return Vec::new() };
        let offer = Offer::of(event.context);
        let is_attestation = offer.is_none() && event.event.kind().is_attestation();
        let kind = match offer {
            Some(offer) => offer.as_str(),
            None if is_attestation => "attestation",
            None => "alert",
        };
        let planned = |kind, subject, part, is_again| Planned { kind, subject, name: Name { part, is_again } };
        let mut plan = Vec::with_capacity(1 + share.observables.len());
        plan.push(planned(kind, &share.subject, Part::Event, false));
        // Only alerts are in both sets.
        if offer.is_none() && !is_attestation && self.sendable.alerts && share.subject != CAPITAL[0] {
            plan.push(planned("copy", CAPITAL[0], Part::Event, true));
        }
        for &observable in &share.observables {
            let (kind, ..) = event.event.observable(observable as usize);
            match event.tells(observable) {
                Tell::Indicator => {}
                Tell::Nothing => continue,
                Tell::Sighting => {
                    if let Some(subject) = self.sendable.sighting(kind) {
                        plan.push(planned("sighting", subject, Part::Sighting(observable), false));
                    }
                    continue;
                }
            }
            let (first, part) = (self.sendable.intel(kind), Part::Indicator(observable));
            if let Some(subject) = first {
                plan.push(planned("ioc", subject, part, false));
            }
            if self.sendable.sharing {
                plan.push(planned("ioc", CAPITAL[1], part, first.is_some()));
            }
        }
        plan
    }

    /// Hands each message of `plan`, which is of `event`, to `give`.
    pub(crate) fn each(
        &self,
        event: &DecidedEvent<'_>,
        plan: &[Planned<'_>],
        provenance: &str,
        mut give: impl FnMut(&Message<'_>),
    ) {
        // The same in the second set comes right behind.
        let mut said: Option<(Part, Vec<u8>)> = None;
        for &Planned { kind, subject, name } in plan {
            let data = match said.take() {
                Some((of, data)) if of == name.part => data,
                _ => self.data(event, kind, name.part),
            };
            give(&Message { subject, id: &format!("{}{name}", event.id), kind, data: &data, provenance });
            said = Some((name.part, data));
        }
    }

    fn data(&self, event: &DecidedEvent<'_>, kind: &str, part: Part) -> Vec<u8> {
        match (part, event.share) {
            (Part::Indicator(observable) | Part::Sighting(observable), Some(share)) => {
                ioc_json(event, observable as usize, &self.site, share.tlp)
            }
            _ if kind == "attestation" => attestation_json(event, &self.site),
            _ => alert_json(event, &self.site),
        }
    }
}

/// A message that leaves, but for what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned<'a> {
    /// As in [`Message::kind`].
    pub kind: &'static str,
    /// JetStream subject.
    pub subject: &'a str,
    /// Which of the event's it is.
    pub name: Name,
}

/// Which message of an event one is: as text, what stands behind the event's id in its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    part: Part,
    /// Whether it is the same in the second set, so that who reads both can tell a copy.
    is_again: bool,
}

/// What of an event a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it.
    Event,
    /// That this one of its observables is an indicator.
    Indicator(u32),
    /// That this one, which other sites told of, was seen here.
    Sighting(u32),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Event => {}
            Part::Indicator(observable) => write!(f, ":ioc:{observable}")?,
            Part::Sighting(observable) => write!(f, ":sighting:{observable}")?,
        }
        f.write_str(if self.is_again { AGAIN } else { "" })
    }
}

/// What the ids of copies in the second set end in.
const AGAIN: &str = ":AURORA";

/// Whether a message with this id is the same as another one, in the second set.
pub(super) fn is_again(id: &str) -> bool {
    id.ends_with(AGAIN)
}
