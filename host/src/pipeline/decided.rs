//! A batch on which everything is decided, and its events as the stages behind see them.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::{dead_letter::DeadLetter, identity::Fingerprint};
use crate::{
    event::{Context, Delivery},
    federation::inbound::Origin,
    intel::{Match, Matched, Tell},
    sandbox::{
        answer::{Decisions, Routes, Share, reordered},
        events::{EventRef, Events},
    },
    telemetry::SlotName,
};

/// A batch on which everything is decided and nothing is stored.
#[derive(Debug)]
pub struct Decided {
    /// The raw events, each with its duty.
    pub deliveries: Vec<Delivery>,
    /// What became of each.
    pub outcomes: Vec<Outcome>,
    /// What could not be processed.
    pub dead_letters: Vec<DeadLetter>,
    pub(super) parts: Vec<Part>,
}

/// What became of one raw event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These events of this part.
    Accepted {
        /// Which answer of the normalizer they are in.
        part: usize,
        /// Which of its events.
        events: Range<usize>,
    },
    /// Dropped on purpose.
    Dropped(String),
    /// To be decided again later.
    RetryAfter {
        /// In how long.
        wait: Duration,
        /// Why.
        reason: String,
    },
    /// Not understood, or not decided by a faulty guest. It is among the dead letters.
    Rejected(String),
}

/// Events of the normalizers' answers; there is more than one only where they are large.
#[derive(Debug)]
pub(super) struct Part {
    pub events: Events,
    pub normalized_by: Makers,
    /// Per event: which delivery it came from.
    pub origin: Vec<u32>,
    /// Per event: its position among those of its delivery.
    pub position: Vec<u32>,
    pub routes: Routes,
    pub routed_by: Makers,
    pub decisions: Decisions,
    pub decided_by: Makers,
    /// Whether they are entries of streams of this site, which are only to be shared.
    pub is_offered: bool,
    /// Per event: where it comes from, where all of them come from other sites; else none.
    pub origins: Vec<Origin>,
    /// Which observables of which events are shared indicators.
    pub matched: Matched,
}

impl Part {
    /// Whether its events are what guests made of what this site's sources delivered.
    pub(super) fn is_ours(&self) -> bool {
        !self.is_offered && self.origins.is_empty()
    }

    fn of(events: Events) -> Self {
        Self {
            events,
            normalized_by: Makers::default(),
            origin: Vec::new(),
            position: Vec::new(),
            routes: Routes::default(),
            routed_by: Makers::default(),
            decisions: Decisions::default(),
            decided_by: Makers::default(),
            is_offered: false,
            origins: Vec::new(),
            matched: Matched::new(),
        }
    }
}

/// The guest that decided something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Its place.
    pub slot: SlotName,
    /// Its digest, `sha256:…`.
    pub digest: Arc<str>,
}

/// Which guest decided which events. Most often one did all, so it is written down by runs.
#[derive(Debug, Default)]
pub(super) struct Makers(Vec<(usize, Option<Maker>)>);

impl Makers {
    /// The next events, up to `end`, are by `guest`; none where the host decided.
    pub(super) fn add(&mut self, end: usize, guest: Option<&Maker>) {
        match self.0.last_mut() {
            Some((last, known)) if known.as_ref() == guest => *last = end,
            _ => self.0.push((end, guest.cloned())),
        }
    }

    /// Up to where it is known.
    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |(end, _)| *end)
    }

    /// Moves each event to the position that `order` has for it.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        let known = std::mem::take(self);
        let events = reordered((0..order.len()).collect(), order);
        for (position, event) in events.into_iter().enumerate() {
            self.add(position + 1, known.of(event));
        }
    }

    fn of(&self, event: usize) -> Option<&Maker> {
        let run = self.0.partition_point(|(end, _)| *end <= event);
        self.0.get(run).and_then(|(_, guest)| guest.as_ref())
    }
}

/// A normalized event with everything that was decided on it.
#[derive(Clone, Copy, Debug)]
pub struct DecidedEvent<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its position among the events of its delivery.
    pub position: u32,
    /// Digests of its delivery.
    pub fingerprint: Fingerprint,
    /// What it says.
    pub event: EventRef<'a>,
    /// Where it came from.
    pub context: &'a Context,
    /// The raw bytes.
    pub payload: &'a Bytes,
    /// When the host received it.
    pub received_ms: i64,
    /// Positions of its streams in [`Stages::streams`](super::Stages::streams).
    pub streams: &'a [usize],
    /// Why it goes there.
    pub route_reason: &'a str,
    /// Its observables that are shared indicators, if any is.
    pub matched: Option<&'a Match>,
    /// How it is shared, if it is.
    pub share: Option<&'a Share>,
    /// Why it is shared or kept.
    pub share_reason: &'a str,
    /// The normalizer that made it; of another site's, the guest that has let it in.
    pub normalized_by: Option<&'a Maker>,
    /// The router that chose its streams; none where the default route did.
    pub routed_by: Option<&'a Maker>,
    /// The policy that shared or kept it; none where the host kept it.
    pub federated_by: Option<&'a Maker>,
    /// The site that it comes from, where that is another one.
    pub origin: Option<&'a Origin>,
}

impl<'a> DecidedEvent<'a> {
    /// Name of its origin.
    #[must_use]
    pub fn source(&self) -> &'a str {
        match self.event.source() {
            "" => &self.context.source,
            source => source,
        }
    }

    /// The device that it concerns.
    #[must_use]
    pub fn device_id(&self) -> Option<&'a str> {
        match self.event.device_id() {
            "" => self.context.device_id.as_deref(),
            device => Some(device),
        }
    }

    /// What other sites hear of its observable at this position, where that is shared.
    #[must_use]
    pub fn tells(&self, observable: u32) -> Tell {
        self.matched.map_or(Tell::Indicator, |matched| matched.tells(observable))
    }
}

/// Most text of a part to which another answer is still added, bytes. As much as a batch of usual size has; a guest is
/// not asked about more at once only because several normalizers answered.
const TOGETHER: usize = 1 << 20;

impl Decided {
    /// Takes in events of `maker`. Returns their part, and the position of the first in it.
    pub(super) fn place(&mut self, events: Events, maker: &Maker) -> (usize, usize) {
        let first = match self.parts.last_mut().filter(|last| last.is_ours()) {
            Some(last) if last.events.text_len() + events.text_len() <= TOGETHER => {
                let first = last.events.len();
                last.events.append(&events, 0..events.len());
                first
            }
            _ => {
                self.parts.push(Part::of(events));
                0
            }
        };
        let index = self.parts.len() - 1;
        let part = &mut self.parts[index];
        part.normalized_by.add(part.events.len(), Some(maker));
        (index, first)
    }

    /// Takes in events that the host made of entries of streams, those of the deliveries `origin`. Returns their part.
    pub(super) fn place_offered(&mut self, events: Events, origin: Vec<u32>) -> usize {
        let position = vec![0; origin.len()];
        self.parts.push(Part { is_offered: true, origin, position, ..Part::of(events) });
        self.parts.len() - 1
    }

    /// Takes in events of other sites, those of the deliveries `origin`, which go to `routes` and which the guests behind
    /// them have let in. Returns their part.
    pub(super) fn place_inbound(
        &mut self,
        events: Events,
        origin: Vec<u32>,
        origins: Vec<Origin>,
        (routes, decisions, normalized_by): (Routes, Decisions, Makers),
    ) -> usize {
        let position = vec![0; origin.len()];
        self.parts.push(Part { origin, position, origins, routes, decisions, normalized_by, ..Part::of(events) });
        self.parts.len() - 1
    }

    /// Digests of the delivery at `index`.
    #[must_use]
    pub fn fingerprint(&self, index: usize) -> Fingerprint {
        let delivery = &self.deliveries[index];
        Fingerprint::of(&delivery.context, delivery.identity, &delivery.payload)
    }

    /// The events of the delivery at `index`, whose digests are `fingerprint`.
    pub fn events_of(&self, index: usize, fingerprint: Fingerprint) -> impl Iterator<Item = DecidedEvent<'_>> {
        let (part, range) = match &self.outcomes[index] {
            Outcome::Accepted { part, events } => (*part, events.clone()),
            _ => (0, 0..0),
        };
        range.map(move |event| self.event(&self.parts[part], event, fingerprint))
    }

    fn event<'a>(&'a self, part: &'a Part, index: usize, fingerprint: Fingerprint) -> DecidedEvent<'a> {
        let delivery = &self.deliveries[part.origin[index] as usize];
        let (position, origin) = (part.position[index], part.origins.get(index));
        DecidedEvent {
            // Sites speak of one event by one id.
            id: origin.map_or_else(|| fingerprint.event_id(position), |origin| origin.id),
            position,
            fingerprint,
            event: part.events.get(index),
            context: &delivery.context,
            payload: &delivery.payload,
            received_ms: delivery.received_ms,
            streams: part.routes.streams(index),
            route_reason: part.routes.reason(index),
            matched: part.matched.get(&index),
            share: part.decisions.share(index),
            share_reason: part.decisions.reason(index),
            normalized_by: part.normalized_by.of(index),
            routed_by: part.routed_by.of(index),
            federated_by: part.decided_by.of(index),
            origin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Stage;

    fn maker(digest: &str) -> Maker {
        Maker { slot: Stage::Route.into(), digest: digest.into() }
    }

    fn digests(makers: &Makers, events: usize) -> Vec<&str> {
        (0..events).map(|event| makers.of(event).map_or("", |guest| &guest.digest)).collect()
    }

    #[test]
    fn each_event_has_the_guest_of_its_run() {
        let (old, new) = (maker("old"), maker("new"));
        let mut makers = Makers::default();
        for (end, guest) in [(2, Some(&new)), (3, Some(&new)), (4, None), (9, Some(&old))] {
            makers.add(end, guest);
        }
        assert_eq!(digests(&makers, 10), ["new", "new", "new", "", "old", "old", "old", "old", "old", ""]);
        assert_eq!((makers.0.len(), makers.len()), (3, 9));
    }

    #[test]
    fn guests_go_where_their_events_go() {
        let mut makers = Makers::default();
        makers.add(2, Some(&maker("a")));
        makers.add(4, Some(&maker("b")));
        makers.reorder(&[0, 3, 1, 2]);
        assert_eq!(digests(&makers, 4), ["a", "b", "b", "a"]);
    }
}
