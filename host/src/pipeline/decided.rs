//! A batch on which everything is decided, and its events as the stages behind see them.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::{dead_letter::DeadLetter, identity::Fingerprint};
use crate::{
    event::{Context, Delivery},
    sandbox::{
        answer::{Decisions, Routes, Share},
        events::{EventRef, Events},
    },
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

/// Events of one answer of the normalizer. There is more than one only after a search for a culprit.
#[derive(Debug)]
pub(super) struct Part {
    pub events: Events,
    /// Digest of the normalizer.
    pub guest: Arc<str>,
    /// Per event: which delivery it came from.
    pub origin: Vec<u32>,
    /// Per event: its position among those of its delivery.
    pub position: Vec<u32>,
    pub routes: Routes,
    pub routed_by: Makers,
    pub decisions: Decisions,
    pub decided_by: Makers,
}

/// Which guest decided which events. Most often one did all, so it is written down by runs.
#[derive(Debug, Default)]
pub(super) struct Makers(Vec<(usize, Option<Arc<str>>)>);

impl Makers {
    /// The next events, up to `end`, are by `guest`; none where the host decided.
    pub(super) fn add(&mut self, end: usize, guest: Option<&Arc<str>>) {
        match self.0.last_mut() {
            Some((last, known)) if known.as_ref() == guest => *last = end,
            _ => self.0.push((end, guest.cloned())),
        }
    }

    fn of(&self, event: usize) -> Option<&Arc<str>> {
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
    /// How it is shared, if it is.
    pub share: Option<&'a Share>,
    /// Why it is shared or kept.
    pub share_reason: &'a str,
    /// Digest of the normalizer that made it.
    pub normalized_by: &'a Arc<str>,
    /// Digest of the router that chose its streams; none where the default route did.
    pub routed_by: Option<&'a Arc<str>>,
    /// Digest of the policy that shared or kept it; none where the host kept it.
    pub federated_by: Option<&'a Arc<str>>,
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
}

impl Decided {
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
        let position = part.position[index];
        DecidedEvent {
            id: fingerprint.event_id(position),
            position,
            fingerprint,
            event: part.events.get(index),
            context: &delivery.context,
            payload: &delivery.payload,
            received_ms: delivery.received_ms,
            streams: part.routes.streams(index),
            route_reason: part.routes.reason(index),
            share: part.decisions.share(index),
            share_reason: part.decisions.reason(index),
            normalized_by: &part.guest,
            routed_by: part.routed_by.of(index),
            federated_by: part.decided_by.of(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_the_guest_of_its_run() {
        let (old, new): (Arc<str>, Arc<str>) = ("old".into(), "new".into());
        let mut makers = Makers::default();
        for (end, guest) in [(2, Some(&new)), (3, Some(&new)), (4, None), (9, Some(&old))] {
            makers.add(end, guest);
        }
        let of: Vec<_> = (0..10).map(|event| makers.of(event).map_or("", |guest| guest)).collect();
        assert_eq!(of, ["new", "new", "new", "", "old", "old", "old", "old", "old", ""]);
        assert_eq!(makers.0.len(), 3);
    }
}
