use std::{collections::BTreeSet, ops::Range};

use crate::{Category, Events, Kind, ObservableType, Scope, Severity, Utf8, utf8::same_bytes};

/// What became of one raw event. As `aurora:normalizer/normalize.disposition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Understood; one or more events follow.
    Accepted,
    /// Understood and not worth keeping.
    Dropped,
    /// To be asked again later.
    RetryAfter,
    /// Not understood.
    Rejected,
}

/// A normalizer's answer. As `aurora:normalizer/normalize.normalized`, without needing its bindings.
#[derive(Clone, Debug)]
pub struct Normalized {
    /// A disposition for each raw event.
    pub disposition: Vec<Disposition>,
    /// Number of events of each raw event.
    pub count: Vec<u32>,
    /// One for each raw event that was not accepted.
    pub reasons: Vec<String>,
    /// One for each [`Disposition::RetryAfter`].
    pub retry_after_ms: Vec<u32>,
    /// The events of all accepted ones.
    pub events: Events,
}

/// Writes a normalizer's answer, raw event by raw event, straight into the columns that cross to the host.
///
/// For each raw event call one of [`accept`](Self::accept), [`drop_event`](Self::drop_event),
/// [`retry_after`](Self::retry_after) and [`reject`](Self::reject). Events begun before `accept` belong to it; any
/// other verdict takes them back, so a parser may write fields as it goes and give up half-way.
#[derive(Debug)]
pub struct Normalizing {
    done: Normalized,
    /// The column `text`, held as text so that what is read back needs no second check of its UTF-8.
    text: Utf8,
    /// Where the raw event under work began.
    mark: Mark,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    events: usize,
    observables: usize,
    ends: usize,
    text: usize,
}

impl Normalizing {
    /// An answer to a batch of `raw_events` events and `bytes` bytes in all: the columns are sized once.
    #[must_use]
    pub fn with_capacity(raw_events: usize, bytes: usize) -> Self {
        Self {
            done: Normalized {
                disposition: Vec::with_capacity(raw_events),
                count: Vec::with_capacity(raw_events),
                reasons: Vec::new(),
                retry_after_ms: Vec::new(),
                events: Events {
                    kind: Vec::with_capacity(raw_events),
                    severity: Vec::with_capacity(raw_events),
                    category: Vec::with_capacity(raw_events),
                    timestamp_ms: Vec::with_capacity(raw_events),
                    fields: Vec::with_capacity(raw_events),
                    observables: Vec::with_capacity(raw_events),
                    techniques: Vec::with_capacity(raw_events),
                    observable_type: Vec::with_capacity(4 * raw_events),
                    observable_scope: Vec::with_capacity(4 * raw_events),
                    ends: Vec::with_capacity(48 * raw_events),
                    text: Vec::new(),
                },
            },
            text: Utf8::with_capacity(2 * bytes + 256),
            mark: Mark::default(),
        }
    }

    /// Begins an event of the raw event under work. Nothing of it counts before [`EventWriter::finish`].
    pub fn event(&mut self) -> EventWriter<'_> {
        let events = &mut self.done.events;
        let (first_piece, first_byte, first_observable) =
            (events.ends.len(), self.text.len(), events.observable_type.len());
        EventWriter {
            events,
            text: &mut self.text,
            first_piece,
            first_byte,
            first_observable,
            fields: 0,
            techniques: 0,
            many: BTreeSet::new(),
            finished: false,
        }
    }

    /// The raw event is understood; the events finished since the last verdict are its events.
    ///
    /// # Panics
    /// If no event was finished: a raw event that gives none is dropped, with a reason.
    pub fn accept(&mut self) {
        let count = self.done.events.kind.len() - self.mark.events;
        assert!(count > 0, "accepted a raw event without any normalized event");
        self.verdict(Disposition::Accepted, count);
    }

    /// The raw event is understood and not worth keeping.
    pub fn drop_event(&mut self, reason: impl Into<String>) {
        self.take_back();
        self.done.reasons.push(reason.into());
        self.verdict(Disposition::Dropped, 0);
    }

    /// The raw event cannot be decided now.
    pub fn retry_after(&mut self, milliseconds: u32, reason: impl Into<String>) {
        self.take_back();
        self.done.reasons.push(reason.into());
        self.done.retry_after_ms.push(milliseconds);
        self.verdict(Disposition::RetryAfter, 0);
    }

    /// The raw event is not understood. Say what was expected, and at which byte.
    pub fn reject(&mut self, reason: impl Into<String>) {
        self.take_back();
        self.done.reasons.push(reason.into());
        self.verdict(Disposition::Rejected, 0);
    }

    /// The answer.
    #[must_use]
    pub fn finish(mut self) -> Normalized {
        self.done.events.text = self.text.into_bytes();
        self.done
    }

    fn verdict(&mut self, disposition: Disposition, count: usize) {
        self.done.disposition.push(disposition);
        self.done.count.push(count as u32);
        let events = &self.done.events;
        self.mark = Mark {
            events: events.kind.len(),
            observables: events.observable_type.len(),
            ends: events.ends.len(),
            text: self.text.len(),
        };
    }

    fn take_back(&mut self) {
        let (events, mark) = (&mut self.done.events, self.mark);
        events.kind.truncate(mark.events);
        events.severity.truncate(mark.events);
        events.category.truncate(mark.events);
        events.timestamp_ms.truncate(mark.events);
        events.fields.truncate(mark.events);
        events.observables.truncate(mark.events);
        events.techniques.truncate(mark.events);
        events.observable_type.truncate(mark.observables);
        events.observable_scope.truncate(mark.observables);
        events.ends.truncate(mark.ends);
        self.text.truncate(mark.text);
    }
}

/// Writes one event: fields first, then observables, then techniques, then [`finish`](Self::finish). Dropped without
/// `finish`, it leaves nothing behind.
#[derive(Debug)]
pub struct EventWriter<'a> {
    events: &'a mut Events,
    text: &'a mut Utf8,
    first_piece: usize,
    first_byte: usize,
    first_observable: usize,
    fields: u32,
    techniques: u32,
    /// The observables so far, once they are more than [`FEW`].
    many: BTreeSet<(u8, String)>,
    finished: bool,
}

/// Up to so many observables are compared one by one, which is faster than any index. A hostile event has a hundred
/// thousand of them, and must not take quadratic time.
const FEW: usize = 64;

/// Text of an event's tail: either a string of the guest's, or the value of a field already written, copied in place.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// This string.
    Str(&'a str),
    /// The value of the field at this position.
    Field(usize),
}

/// What is known of an event once its fields are read.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// What sort of message it is.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What part of the site it concerns.
    pub category: Category,
    /// When it happened, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The origin; empty for the context's.
    pub source: Text<'a>,
    /// The device; empty for the context's.
    pub device_id: Text<'a>,
    /// The deduplication key; empty for the host's default.
    pub dedup_key: Text<'a>,
    /// One line for a person.
    pub title: Text<'a>,
    /// More, for a person.
    pub description: Text<'a>,
}

impl EventWriter<'_> {
    /// Appends a field. Keys must be unique within the event.
    pub fn field(&mut self, key: &str, value: &str) {
        debug_assert!(self.events.observable_type.len() == self.first_observable && self.techniques == 0);
        self.piece(key);
        self.piece(value);
        self.fields += 1;
    }

    /// Appends a field by letting `value` write it to the end of the text itself, without a copy.
    pub fn field_with(&mut self, key: &str, value: impl FnOnce(&mut Utf8)) {
        self.piece(key);
        value(self.text);
        self.events.ends.push(self.text.len() as u32);
        self.fields += 1;
    }

    /// Appends a field whose value is that of the field at `index`.
    pub fn field_again(&mut self, key: &str, index: usize) {
        self.piece(key);
        let range = self.range(self.first_piece + 2 * index + 1);
        self.piece_within(range);
        self.fields += 1;
    }

    /// Number of fields so far.
    #[must_use]
    pub fn field_count(&self) -> usize {
        self.fields as usize
    }

    /// Key of the field at `index`.
    #[must_use]
    pub fn key(&self, index: usize) -> &str {
        self.text(self.first_piece + 2 * index)
    }

    /// Value of the field at `index`.
    #[must_use]
    pub fn value(&self, index: usize) -> &str {
        self.text(self.first_piece + 2 * index + 1)
    }

    /// Whether the field at `index` has the key `key`: [`key`](Self::key)` == key`, sooner known.
    #[inline]
    #[must_use]
    pub fn key_is(&self, index: usize, key: &str) -> bool {
        same_bytes(&self.text.as_bytes()[self.range(self.first_piece + 2 * index)], key.as_bytes())
    }

    /// Position of the field `key`.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<usize> {
        (0..self.field_count()).find(|&index| self.key_is(index, key))
    }

    /// Appends an observable, unless the event has it already. All fields come before the first observable.
    pub fn observable(&mut self, kind: ObservableType, scope: Scope, value: &str) {
        if !self.observed(kind, value) {
            self.piece(value);
            self.observe(kind, scope);
        }
    }

    /// Appends an observable that is a part of the value of the field at `index`, unless the event has it already.
    ///
    /// # Panics
    /// If `start..end` is no part of that value.
    pub fn observable_in(&mut self, kind: ObservableType, scope: Scope, index: usize, start: usize, end: usize) {
        if !self.observed(kind, &self.value(index)[start..end]) {
            let field = self.range(self.first_piece + 2 * index + 1).start;
            self.piece_within(field + start..field + end);
            self.observe(kind, scope);
        }
    }

    /// Number of observables so far.
    #[must_use]
    pub fn observable_count(&self) -> usize {
        self.events.observable_type.len() - self.first_observable
    }

    fn observed(&self, kind: ObservableType, value: &str) -> bool {
        if !self.many.is_empty() {
            return self.many.contains(&(kind as u8, value.to_owned()));
        }
        let first = self.first_piece + 2 * self.fields as usize;
        let known = self.events.observable_type[self.first_observable..].iter().enumerate();
        known
            .into_iter()
            .any(|(i, &k)| k == kind && same_bytes(&self.text.as_bytes()[self.range(first + i)], value.as_bytes()))
    }

    /// Enters the observable whose value is the last piece.
    fn observe(&mut self, kind: ObservableType, scope: Scope) {
        self.events.observable_type.push(kind);
        self.events.observable_scope.push(scope);
        let first = self.first_piece + 2 * self.fields as usize;
        let count = self.observable_count();
        if count == FEW || !self.many.is_empty() {
            let unlisted = if count == FEW { 0 } else { count - 1 };
            for i in unlisted..count {
                let kind = self.events.observable_type[self.first_observable + i];
                self.many.insert((kind as u8, self.text(first + i).to_owned()));
            }
        }
    }

    /// Appends a MITRE ATT&CK technique id. All observables come before the first one.
    pub fn technique(&mut self, id: &str) {
        let first = self.events.ends.len() - self.techniques as usize;
        if (first..self.events.ends.len()).any(|piece| self.text(piece) == id) {
            return;
        }
        self.piece(id);
        self.techniques += 1;
    }

    /// Completes the event.
    pub fn finish(mut self, summary: &Summary<'_>) {
        for text in [summary.source, summary.device_id, summary.dedup_key, summary.title, summary.description] {
            match text {
                Text::Str(text) => self.piece(text),
                Text::Field(index) => {
                    let range = self.range(self.first_piece + 2 * index + 1);
                    self.piece_within(range);
                }
            }
        }
        let events = &mut *self.events;
        events.kind.push(summary.kind);
        events.severity.push(summary.severity);
        events.category.push(summary.category);
        events.timestamp_ms.push(summary.timestamp_ms);
        events.fields.push(self.fields);
        events.observables.push((events.observable_type.len() - self.first_observable) as u32);
        events.techniques.push(self.techniques);
        self.finished = true;
    }

    #[inline]
    fn piece(&mut self, text: &str) {
        self.text.push_str(text);
        self.events.ends.push(self.text.len() as u32);
    }

    fn piece_within(&mut self, range: Range<usize>) {
        self.text.extend_from_within(range);
        self.events.ends.push(self.text.len() as u32);
    }

    #[inline]
    fn range(&self, piece: usize) -> Range<usize> {
        let start = if piece == 0 { 0 } else { self.events.ends[piece - 1] as usize };
        start..self.events.ends[piece] as usize
    }

    #[inline]
    fn text(&self, piece: usize) -> &str {
        &self.text.as_str()[self.range(piece)]
    }
}

impl Drop for EventWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.events.observable_type.truncate(self.first_observable);
            self.events.observable_scope.truncate(self.first_observable);
            self.events.ends.truncate(self.first_piece);
            self.text.truncate(self.first_byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary<'static> {
        Summary {
            kind: Kind::Alert,
            severity: Severity::Low,
            category: Category::Network,
            timestamp_ms: 0,
            source: Text::Str(""),
            device_id: Text::Str(""),
            dedup_key: Text::Str(""),
            title: Text::Str("t"),
            description: Text::Str(""),
        }
    }

    #[test]
    fn an_event_has_each_observable_once_however_many_there_are() {
        for distinct in [1, FEW - 1, FEW, FEW + 1, 3 * FEW] {
            let mut out = Normalizing::with_capacity(1, 0);
            let mut event = out.event();
            for _ in 0..2 {
                for i in 0..distinct {
                    event.observable(ObservableType::Domain, Scope::Public, &format!("h{i}.example.org"));
                    event.observable(ObservableType::Url, Scope::Public, &format!("h{i}.example.org"));
                }
            }
            event.finish(&summary());
            out.accept();
            assert_eq!(out.finish().events.observables, [2 * distinct as u32]);
        }
    }

    #[test]
    fn a_rejected_event_leaves_nothing_behind() {
        let mut out = Normalizing::with_capacity(2, 0);
        let mut event = out.event();
        event.field("a", "b");
        event.observable(ObservableType::Cve, Scope::Public, "CVE-2021-44228");
        event.finish(&summary());
        out.reject("no");
        let mut half = out.event();
        half.field("c", "d");
        drop(half);
        let mut event = out.event();
        event.field("e", "f");
        event.finish(&summary());
        out.accept();
        let done = out.finish();
        assert_eq!(
            (done.disposition.as_slice(), done.count.as_slice()),
            (&[Disposition::Rejected, Disposition::Accepted][..], &[0, 1][..])
        );
        assert_eq!(String::from_utf8(done.events.text).unwrap(), "eft");
    }
}
