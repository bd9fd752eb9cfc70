//! Answers of guests, checked: what a guest returns is hostile until it has passed here.

use std::{ops::Range, time::Duration};

use super::{
    Scope, Tlp,
    bindings::exports::aurora::{
        federation::federate::Decisions as RawDecisions,
        normalizer::normalize::{Disposition, Normalized as RawNormalized},
        router::route::Routes as RawRoutes,
    },
    events::{Events, expect_length},
};

/// Longest wait that a guest may ask for, milliseconds.
const MAX_RETRY_AFTER_MS: u32 = 60_000;

/// Longest reason, bytes; a longer one is cut.
const MAX_REASON: usize = 2048;

/// What becomes of one raw event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These of the answer's events are its events.
    Accepted(Range<usize>),
    /// Dropped on purpose.
    Dropped(String),
    /// To be asked again.
    RetryAfter {
        /// In how many milliseconds.
        milliseconds: u32,
        /// Why.
        reason: String,
    },
    /// To be asked again, because the host cannot judge it now. No guest says so, and it may take as long as it takes.
    PutOff {
        /// In how long.
        wait: Duration,
        /// Why.
        reason: String,
    },
    /// Not understood.
    Rejected(String),
}

/// A normalizer's answer.
#[derive(Clone, Debug)]
pub struct Normalized {
    /// One for each raw event.
    pub verdicts: Vec<Verdict>,
    /// The events of all accepted ones.
    pub events: Events,
}

impl Normalized {
    /// Checks the answer to a batch of `raw_events`.
    ///
    /// # Errors
    /// What makes no sense in it.
    pub fn check(raw: RawNormalized, raw_events: usize) -> Result<Self, String> {
        expect_length("disposition", raw.disposition.len(), raw_events)?;
        expect_length("count", raw.count.len(), raw_events)?;
        let events = Events::check(raw.events)?;
        let (mut reasons, mut waits) = (raw.reasons.into_iter(), raw.retry_after_ms.into_iter());
        let mut reason = || reasons.next().map(cut).ok_or("fewer reasons than events that were not accepted");
        let mut next = 0;
        let mut verdicts = Vec::with_capacity(raw_events);
        for (disposition, &count) in raw.disposition.iter().zip(&raw.count) {
            let accepted = *disposition == Disposition::Accepted;
            if accepted != (count > 0) {
                return Err(format!("a raw event that is {disposition:?} has {count} normalized events"));
            }
            verdicts.push(match disposition {
                Disposition::Accepted => {
                    let end = next + count as usize;
                    let range = next..end;
                    next = end;
                    Verdict::Accepted(range)
                }
                Disposition::Dropped => Verdict::Dropped(reason()?),
                Disposition::Rejected => Verdict::Rejected(reason()?),
                Disposition::RetryAfter => {
                    let milliseconds = waits.next().ok_or("fewer retry-after-ms than retry-after")?;
                    Verdict::RetryAfter { milliseconds: milliseconds.min(MAX_RETRY_AFTER_MS), reason: reason()? }
                }
            });
        }
        expect_length("events", events.len(), next)?;
        if reasons.next().is_some() {
            return Err("more reasons than events that were not accepted".to_owned());
        }
        Ok(Self { verdicts, events })
    }
}

/// A router's answer. Streams are positions in the table of configured ones.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    reasons: Vec<String>,
    streams: Vec<usize>,
    events: Vec<(Range<usize>, usize)>,
}

impl Routes {
    /// Checks the answer for `events` events against the `configured` names of streams.
    ///
    /// # Errors
    /// What makes no sense in it, or a stream that is not configured.
    pub fn check(raw: RawRoutes, events: usize, configured: &[String]) -> Result<Self, String> {
        expect_length("count", raw.count.len(), events)?;
        expect_length("reason", raw.reason.len(), events)?;
        let known = |name: &String| {
            configured.iter().position(|stream| stream == name).ok_or_else(|| {
                format!("stream {name:?} is not configured; [redis.streams] has {}", configured.join(", "))
            })
        };
        let table: Vec<usize> = raw.streams.iter().map(known).collect::<Result<_, _>>()?;
        let streams = raw.stream.iter().map(|&i| at("stream", &table, i).copied()).collect::<Result<Vec<_>, _>>()?;
        let reasons: Vec<_> = raw.reasons.into_iter().map(cut).collect();
        let mut next = 0usize;
        let mut routed = Vec::with_capacity(events);
        for (&count, &reason) in raw.count.iter().zip(&raw.reason) {
            at("reason", &reasons, reason)?;
            let end = next + count as usize;
            routed.push((next..end, reason as usize));
            next = end;
        }
        expect_length("stream", streams.len(), next)?;
        for (range, _) in &routed {
            let named = &streams[range.clone()];
            // Few streams an event: comparing each with those before it beats any set.
            if let Some(twice) = (1..named.len()).find(|&i| named[..i].contains(&named[i])) {
                return Err(format!("stream {:?} is named twice for one event", configured[named[twice]]));
            }
        }
        Ok(Self { reasons, streams, events: routed })
    }

    /// Appends one event that goes to `streams` for `reason`.
    pub fn push(&mut self, streams: &[usize], reason: String) {
        let start = self.streams.len();
        self.streams.extend_from_slice(streams);
        self.reasons.push(reason);
        self.events.push((start..self.streams.len(), self.reasons.len() - 1));
    }

    /// Appends the events of another answer.
    pub fn append(&mut self, other: Self) {
        if self.events.is_empty() {
            *self = other;
            return;
        }
        let (streams, reasons) = (self.streams.len(), self.reasons.len());
        let shifted = other
            .events
            .into_iter()
            .map(|(range, reason)| (range.start + streams..range.end + streams, reason + reasons));
        self.events.extend(shifted);
        self.streams.extend(other.streams);
        self.reasons.extend(other.reasons);
    }

    /// Moves each event to the position that `order` has for it.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        self.events = reordered(std::mem::take(&mut self.events), order);
    }

    /// How many events it speaks of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it speaks of none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Streams of the event at `index`.
    #[must_use]
    pub fn streams(&self, index: usize) -> &[usize] {
        &self.streams[self.events[index].0.clone()]
    }

    /// Why the event at `index` goes there.
    #[must_use]
    pub fn reason(&self, index: usize) -> &str {
        &self.reasons[self.events[index].1]
    }
}

/// How one event is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// JetStream subject, within the configured ones.
    pub subject: String,
    /// Marking of the copy that leaves.
    pub tlp: Tlp,
    /// Positions among the event's own observables.
    pub observables: Vec<u32>,
    /// Keys of fields to remove.
    pub remove: Vec<String>,
    /// How many observables the policy chose beside these, whose scope is not public.
    pub scoped_out: u32,
    /// Texts that leave in another form than they have here.
    pub masked: Vec<(Piece, String)>,
    /// What the host cut of what the policy chose, for a person.
    pub cut: Vec<String>,
}

/// A text of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Its title.
    Title,
    /// Its description.
    Description,
    /// Name of its origin.
    Source,
    /// The device that it concerns.
    Device,
    /// The value of the field at this position.
    Field(usize),
    /// Why the policy shares it.
    Reason,
}

impl Share {
    /// How the text that is `own` here leaves.
    #[must_use]
    pub fn text<'a>(&'a self, piece: Piece, own: &'a str) -> &'a str {
        // Most often there is none.
        self.masked.iter().find(|(masked, _)| *masked == piece).map_or(own, |(_, text)| text)
    }
}

/// Nowhere, and as confidential as can be.
impl Default for Share {
    fn default() -> Self {
        Self {
            subject: String::new(),
            tlp: Tlp::Red,
            observables: Vec::new(),
            remove: Vec::new(),
            scoped_out: 0,
            masked: Vec::new(),
            cut: Vec::new(),
        }
    }
}

/// A federation policy's answer: for each event a reason, and how it is shared if it is.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    events: Vec<(Option<Share>, String)>,
}

impl Decisions {
    /// Checks the answer for `events`; `allowed` says whether a subject is within the configured ones.
    ///
    /// # Errors
    /// What makes no sense in it, or a subject that is not allowed.
    pub fn check(raw: RawDecisions, events: &Events, allowed: impl Fn(&str) -> bool) -> Result<Self, String> {
        expect_length("share", raw.share.len(), events.len())?;
        expect_length("reason", raw.reason.len(), events.len())?;
        let shared = raw.share.iter().filter(|&&share| share).count();
        let lengths = [
            ("subject", raw.subject.len()),
            ("tlp", raw.tlp.len()),
            ("observables", raw.observables.len()),
            ("removed", raw.removed.len()),
        ];
        for (column, length) in lengths {
            expect_length(column, length, shared)?;
        }
        if let Some(subject) = raw.subjects.iter().find(|subject| !allowed(subject)) {
            return Err(format!("subject {subject:?} is not one of [nats] subjects, or has a token that is not plain"));
        }
        let reasons: Vec<_> = raw.reasons.into_iter().map(cut).collect();
        let (mut observables, mut remove) = (raw.observable.iter(), raw.remove.iter());
        let mut next = 0;
        let mut decided = Vec::with_capacity(events.len());
        for (index, (&share, &reason)) in raw.share.iter().zip(&raw.reason).enumerate() {
            let reason = at("reason", &reasons, reason)?.clone();
            if !share {
                decided.push((None, reason));
                continue;
            }
            let event = events.get(index);
            let own = event.observable_count();
            let take = |count: u32, column: &mut std::slice::Iter<'_, u32>, name: &str| {
                let taken: Vec<u32> = column.by_ref().take(count as usize).copied().collect();
                expect_length(name, taken.len(), count as usize).map(|()| taken)
            };
            let mut chosen = take(raw.observables[next], &mut observables, "observable")?;
            if let Some(position) = chosen.iter().find(|&&position| position as usize >= own) {
                return Err(format!("observable {position} of an event that has {own}"));
            }
            // What means nothing elsewhere, or is the site's own, is not the policy's to share.
            // Once each, or it would be sent as often.
            chosen.sort_unstable();
            chosen.dedup();
            let all = chosen.len();
            chosen.retain(|&position| event.observable(position as usize).1 == Scope::Public);
            let public = chosen.len();
            let keys = take(raw.removed[next], &mut remove, "remove")?;
            let share = Share {
                subject: at("subject", &raw.subjects, raw.subject[next])?.clone(),
                tlp: raw.tlp[next],
                observables: chosen,
                remove: keys.into_iter().map(|key| at("key", &raw.keys, key).cloned()).collect::<Result<_, _>>()?,
                scoped_out: (all - public) as u32,
                ..Share::default()
            };
            decided.push((Some(share), reason));
            next += 1;
        }
        if observables.next().is_some() || remove.next().is_some() {
            return Err("columns observable or remove are longer than their counts".to_owned());
        }
        Ok(Self { events: decided })
    }

    /// Appends one event that is kept for `reason`.
    pub fn push_kept(&mut self, reason: String) {
        self.events.push((None, reason));
    }

    /// Appends one event that is shared for `reason`.
    #[cfg(test)]
    pub(crate) fn push_shared(&mut self, share: Share, reason: String) {
        self.events.push((Some(share), reason));
    }

    /// What is decided on the event at `index`, to be narrowed.
    pub(crate) fn event_mut(&mut self, index: usize) -> (&mut Option<Share>, &mut String) {
        let (share, reason) = &mut self.events[index];
        (share, reason)
    }

    /// Appends the events of another answer.
    pub fn append(&mut self, other: Self) {
        if self.events.is_empty() {
            *self = other;
            return;
        }
        self.events.extend(other.events);
    }

    /// Moves each event to the position that `order` has for it.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        self.events = reordered(std::mem::take(&mut self.events), order);
    }

    /// How many events it speaks of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it speaks of none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How the event at `index` is shared, if it is.
    #[must_use]
    pub fn share(&self, index: usize) -> Option<&Share> {
        self.events[index].0.as_ref()
    }

    /// Why the event at `index` is shared or kept.
    #[must_use]
    pub fn reason(&self, index: usize) -> &str {
        &self.events[index].1
    }
}

/// `items`, each at the position that `order` has for it.
pub(crate) fn reordered<T>(items: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut placed: Vec<_> = order.iter().zip(items).collect();
    placed.sort_unstable_by_key(|(position, _)| **position);
    placed.into_iter().map(|(_, item)| item).collect()
}

pub(super) fn at<'a, T>(column: &str, table: &'a [T], index: u32) -> Result<&'a T, String> {
    table.get(index as usize).ok_or_else(|| format!("{column} {index} of a table of {}", table.len()))
}

/// At most [`MAX_REASON`] bytes of a reason.
pub(super) fn cut(mut reason: String) -> String {
    if reason.len() > MAX_REASON {
        let end = (0..=MAX_REASON).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or_default();
        reason.truncate(end);
        reason.push('…');
    }
    reason
}
