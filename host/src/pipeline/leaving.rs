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
    sandbox::answer::Share,
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

    /// Hands each message of `event` to `give`; none if it is not shared. The event's own comes first and has its id,
    /// which others have in front of theirs.
    pub fn each(&self, event: &DecidedEvent<'_>, provenance: &str, mut give: impl FnMut(&Message<'_>)) {
        let Some(share) = event.share else { return };
        let id = event.id.to_string();
        let (offer, subject) = (Offer::of(event.context), share.subject.as_str());
        let is_attestation = offer.is_none() && event.event.kind().is_attestation();
        let (kind, data) = match offer {
            Some(offer) => (offer.as_str(), alert_json(event, &self.site)),
            None if is_attestation => ("attestation", attestation_json(event, &self.site)),
            None => ("alert", alert_json(event, &self.site)),
        };
        give(&Message { subject, id: &id, kind, data: &data, provenance });
        // Only alerts are in both sets.
        if offer.is_none() && !is_attestation && self.sendable.alerts && subject != CAPITAL[0] {
            give(&Message { subject: CAPITAL[0], id: &again(&id), kind: "copy", data: &data, provenance });
        }
        for &observable in &share.observables {
            if event.matched.contains(&observable) {
                self.sighting(event, share, observable, &id, provenance, &mut give);
                continue;
            }
            let id = format!("{id}:ioc:{observable}");
            self.observable(event, share, observable as usize, |subject, is_again, data| {
                let id = if is_again { again(&id) } else { id.clone() };
                give(&Message { subject, id: &id, kind: "ioc", data, provenance });
            });
        }
    }

    /// Of what other sites tell they hear that it was seen here. Told anew it would seem to be known to one site more, and
    /// live on by that.
    fn sighting(
        &self,
        event: &DecidedEvent<'_>,
        share: &Share,
        observable: u32,
        id: &str,
        provenance: &str,
        give: &mut impl FnMut(&Message<'_>),
    ) {
        let (kind, ..) = event.event.observable(observable as usize);
        if self.sendable.sighting(kind) {
            let (subject, id) =
                (format!("aurora.intel.sighting.{}", kind.as_str()), format!("{id}:sighting:{observable}"));
            let data = ioc_json(event, observable as usize, &self.site, share.tlp);
            give(&Message { subject: &subject, id: &id, kind: "sighting", data: &data, provenance });
        }
    }

    fn observable(
        &self,
        event: &DecidedEvent<'_>,
        share: &Share,
        observable: usize,
        mut give: impl FnMut(&str, bool, &[u8]),
    ) {
        let data = ioc_json(event, observable, &self.site, share.tlp);
        let (kind, ..) = event.event.observable(observable);
        let first = self.sendable.intel(kind);
        if first {
            give(&format!("aurora.intel.ioc.{}", kind.as_str()), false, &data);
        }
        if self.sendable.sharing {
            give(CAPITAL[1], first, &data);
        }
    }
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
