//! What other sites get of an event: its own message, and one for each observable that is shared, in one set of subjects
//! or in both.

use super::{
    decided::DecidedEvent,
    record::{alert_json, attestation_json, ioc_json},
};
use crate::{
    broker::redis_streams::Message,
    config::Config,
    federation::{CAPITAL, Offer, Sendable},
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

    /// Which messages of `event` leave; none if it is not shared. The event's own comes first and has its id, which others
    /// have in front of theirs.
    pub(super) fn plan(&self, event: &DecidedEvent<'_>) -> Vec<Planned> {
        let Some(share) = event.share else { return Vec::new() };
        let offer = Offer::of(event.context);
        let is_attestation = offer.is_none() && event.event.kind().is_attestation();
        let kind = match offer {
            Some(offer) => offer.as_str(),
            None if is_attestation => "attestation",
            None => "alert",
        };
        let mut plan = vec![Planned { kind, subject: share.subject.clone(), suffix: String::new(), observable: None }];
        // Only alerts are in both sets.
        if offer.is_none() && !is_attestation && self.sendable.alerts && share.subject != CAPITAL[0] {
            plan.push(Planned { kind: "copy", subject: CAPITAL[0].to_owned(), suffix: again(""), observable: None });
        }
        for &observable in &share.observables {
            let (kind, ..) = event.event.observable(observable as usize);
            let of = |what: &'static str, subject: String, suffix: String| Planned {
                kind: what,
                subject,
                suffix,
                observable: Some(observable),
            };
            // Of what other sites tell they hear that it was seen here. Told anew it would seem to be known to one site
            // more, and live on by that.
            if event.matched.contains(&observable) {
                if self.sendable.sighting(kind) {
                    let subject = format!("aurora.intel.sighting.{}", kind.as_str());
                    plan.push(of("sighting", subject, format!(":sighting:{observable}")));
                }
                continue;
            }
            let (first, suffix) = (self.sendable.intel(kind), format!(":ioc:{observable}"));
            if first {
                plan.push(of("ioc", format!("aurora.intel.ioc.{}", kind.as_str()), suffix.clone()));
            }
            if self.sendable.sharing {
                plan.push(of("ioc", CAPITAL[1].to_owned(), if first { again(&suffix) } else { suffix }));
            }
        }
        plan
    }

    /// Hands each of these messages to `give`.
    pub fn each(&self, event: &DecidedEvent<'_>, provenance: &str, mut give: impl FnMut(&Message<'_>)) {
        let id = event.id.to_string();
        // The same in the second set comes right behind.
        let mut said: Option<(Option<u32>, Vec<u8>)> = None;
        for Planned { kind, subject, suffix, observable } in self.plan(event) {
            let data = match said.take() {
                Some((of, data)) if of == observable => data,
                _ => self.data(event, kind, observable),
            };
            give(&Message { subject: &subject, id: &format!("{id}{suffix}"), kind, data: &data, provenance });
            said = Some((observable, data));
        }
    }

    fn data(&self, event: &DecidedEvent<'_>, kind: &str, observable: Option<u32>) -> Vec<u8> {
        match (observable, event.share) {
            (Some(observable), Some(share)) => ioc_json(event, observable as usize, &self.site, share.tlp),
            _ if kind == "attestation" => attestation_json(event, &self.site),
            _ => alert_json(event, &self.site),
        }
    }
}

/// A message that leaves, but for what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    /// As in [`Message::kind`].
    pub kind: &'static str,
    /// JetStream subject.
    pub subject: String,
    /// What stands behind the event's id in its own.
    pub suffix: String,
    /// Which of the event's observables it is.
    observable: Option<u32>,
}

/// The id of the same in the second set, so that who reads both can tell a copy.
fn again(id: &str) -> String {
    format!("{id}{AGAIN}")
}

/// What such ids end in.
const AGAIN: &str = ":AURORA";

/// Whether a message with this id is the same as another one, in the second set.
pub(super) fn is_again(id: &str) -> bool {
    id.ends_with(AGAIN)
}
