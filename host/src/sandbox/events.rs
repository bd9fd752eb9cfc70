//! Normalized events as a normalizer returned them and the host has checked them.

use std::ops::Range;

use super::{
    bindings::aurora::event::types::{EventsParam, EventsResult},
    {Category, Kind, ObservableType, Scope, Severity},
};

/// N normalized events, checked: every column has its length, every offset and index is within range, all text is
/// UTF-8.
#[derive(Clone, Debug)]
pub struct Events {
    columns: EventsResult,
    /// `columns.text`, which is empty.
    text: String,
    /// First piece of each event, and first entry in the columns of observables; and one past the last event.
    starts: Vec<Start>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Start {
    piece: usize,
    observable: usize,
}

/// A normalized event made by hand: for trials of routers and policies, and where the host has something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the column of the same name in `wit/event/event.wit`")]
pub struct Draft {
    pub kind: Kind,
    pub severity: Severity,
    pub category: Category,
    pub timestamp_ms: i64,
    pub fields: Vec<(String, String)>,
    pub observables: Vec<(ObservableType, Scope, String)>,
    pub techniques: Vec<String>,
    pub source: String,
    pub device_id: String,
    pub dedup_key: String,
    pub title: String,
    pub description: String,
}

/// Pieces behind an event's fields, observables and techniques: source, device id, dedup key, title, description.
const TAIL: usize = 5;

impl Events {
    /// Checks what a guest returned.
    pub(super) fn check(mut columns: EventsResult) -> Result<Self, String> {
        let count = columns.kind.len();
        let lengths = [
            ("severity", columns.severity.len()),
            ("category", columns.category.len()),
            ("timestamp-ms", columns.timestamp_ms.len()),
            ("fields", columns.fields.len()),
            ("observables", columns.observables.len()),
            ("techniques", columns.techniques.len()),
        ];
        for (column, length) in lengths {
            expect_length(column, length, count)?;
        }
        let text = String::from_utf8(std::mem::take(&mut columns.text))
            .map_err(|error| format!("text is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))?;
        let mut before = 0;
        for (piece, &end) in columns.ends.iter().enumerate() {
            let end = end as usize;
            if end < before || !text.is_char_boundary(end) {
                return Err(format!(
                    "piece {piece} ends at byte {end}: before its start, past the text or in a letter"
                ));
            }
            before = end;
        }
        let mut starts = Vec::with_capacity(count + 1);
        let mut at = Start::default();
        for i in 0..count {
            starts.push(at);
            let observables = columns.observables[i] as usize;
            at.piece += 2 * columns.fields[i] as usize + observables + columns.techniques[i] as usize + TAIL;
            at.observable += observables;
        }
        starts.push(at);
        expect_length("ends", columns.ends.len(), at.piece)?;
        expect_length("observable-type", columns.observable_type.len(), at.observable)?;
        expect_length("observable-scope", columns.observable_scope.len(), at.observable)?;
        Ok(Self { columns, text, starts })
    }

    /// Events made by hand, which hold what a guest could have returned.
    ///
    /// # Errors
    /// If there is more text than 4 GiB.
    pub fn of<'a>(drafts: impl IntoIterator<Item = &'a Draft>) -> Result<Self, String> {
        let mut columns = EventsResult {
            kind: Vec::new(),
            severity: Vec::new(),
            category: Vec::new(),
            timestamp_ms: Vec::new(),
            fields: Vec::new(),
            observables: Vec::new(),
            techniques: Vec::new(),
            observable_type: Vec::new(),
            observable_scope: Vec::new(),
            ends: Vec::new(),
            text: Vec::new(),
        };
        let mut text = String::new();
        let mut piece = |piece: &str, ends: &mut Vec<u32>| {
            text.push_str(piece);
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        };
        for draft in drafts {
            columns.kind.push(draft.kind);
            columns.severity.push(draft.severity);
            columns.category.push(draft.category);
            columns.timestamp_ms.push(draft.timestamp_ms);
            columns.fields.push(draft.fields.len() as u32);
            columns.observables.push(draft.observables.len() as u32);
            columns.techniques.push(draft.techniques.len() as u32);
            for (key, value) in &draft.fields {
                piece(key, &mut columns.ends);
                piece(value, &mut columns.ends);
            }
            for (kind, scope, value) in &draft.observables {
                columns.observable_type.push(*kind);
                columns.observable_scope.push(*scope);
                piece(value, &mut columns.ends);
            }
            draft.techniques.iter().for_each(|id| piece(id, &mut columns.ends));
            let tail = [&draft.source, &draft.device_id, &draft.dedup_key, &draft.title, &draft.description];
            tail.into_iter().for_each(|text| piece(text, &mut columns.ends));
        }
        columns.text = text.into_bytes();
        Self::check(columns)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.kind.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.kind.is_empty()
    }

    /// The event at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> EventRef<'_> {
        EventRef { events: self, index }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// As it goes into a guest, without a copy.
    pub(crate) fn param(&self) -> EventsParam<'_> {
        let columns = &self.columns;
        EventsParam {
            kind: &columns.kind,
            severity: &columns.severity,
            category: &columns.category,
            timestamp_ms: &columns.timestamp_ms,
            fields: &columns.fields,
            observables: &columns.observables,
            techniques: &columns.techniques,
            observable_type: &columns.observable_type,
            observable_scope: &columns.observable_scope,
            ends: &columns.ends,
            text: self.text.as_bytes(),
        }
    }

    /// A copy of some of them, for the search for a culprit.
    #[must_use]
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let mut slice = Self::none();
        slice.append(self, range);
        slice
    }

    /// A copy of those at `chosen`, in this order.
    #[must_use]
    pub(crate) fn pick(&self, chosen: &[usize]) -> Self {
        let mut picked = Self::none();
        for run in chosen.chunk_by(|one, next| one + 1 == *next) {
            picked.append(self, run[0]..run[0] + run.len());
        }
        picked
    }

    /// Appends copies of some of `other`. Together they must have less than 4 GiB of text.
    pub(crate) fn append(&mut self, other: &Self, range: Range<usize>) {
        let (first, last) = (other.starts[range.start], other.starts[range.end]);
        let pieces = first.piece..last.piece;
        let observables = first.observable..last.observable;
        let bytes = other.end_before(first.piece)..other.end_before(last.piece);
        let (shift, base) = (self.text.len(), self.starts.last().copied().unwrap_or_default());
        let (columns, from) = (&mut self.columns, &other.columns);
        columns.kind.extend_from_slice(&from.kind[range.clone()]);
        columns.severity.extend_from_slice(&from.severity[range.clone()]);
        columns.category.extend_from_slice(&from.category[range.clone()]);
        columns.timestamp_ms.extend_from_slice(&from.timestamp_ms[range.clone()]);
        columns.fields.extend_from_slice(&from.fields[range.clone()]);
        columns.observables.extend_from_slice(&from.observables[range.clone()]);
        columns.techniques.extend_from_slice(&from.techniques[range.clone()]);
        columns.observable_type.extend_from_slice(&from.observable_type[observables.clone()]);
        columns.observable_scope.extend_from_slice(&from.observable_scope[observables]);
        columns.ends.extend(from.ends[pieces].iter().map(|end| end - bytes.start as u32 + shift as u32));
        self.text.push_str(&other.text[bytes]);
        self.starts.extend(other.starts[range.start + 1..=range.end].iter().map(|start| Start {
            piece: start.piece - first.piece + base.piece,
            observable: start.observable - first.observable + base.observable,
        }));
    }

    /// Bytes of all texts.
    #[must_use]
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// No events, for others to be appended.
    pub(crate) fn none() -> Self {
        let columns = EventsResult {
            kind: Vec::new(),
            severity: Vec::new(),
            category: Vec::new(),
            timestamp_ms: Vec::new(),
            fields: Vec::new(),
            observables: Vec::new(),
            techniques: Vec::new(),
            observable_type: Vec::new(),
            observable_scope: Vec::new(),
            ends: Vec::new(),
            text: Vec::new(),
        };
        Self { columns, text: String::new(), starts: vec![Start::default()] }
    }

    fn end_before(&self, piece: usize) -> usize {
        if piece == 0 { 0 } else { self.columns.ends[piece - 1] as usize }
    }

    fn piece(&self, piece: usize) -> &str {
        &self.text[self.end_before(piece)..self.columns.ends[piece] as usize]
    }
}

impl From<EventRef<'_>> for Draft {
    fn from(event: EventRef<'_>) -> Self {
        Self {
            kind: event.kind(),
            severity: event.severity(),
            category: event.category(),
            timestamp_ms: event.timestamp_ms(),
            fields: event.fields().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            observables: event.observables().map(|(kind, scope, value)| (kind, scope, value.to_owned())).collect(),
            techniques: event.techniques().map(str::to_owned).collect(),
            source: event.source().to_owned(),
            device_id: event.device_id().to_owned(),
            dedup_key: event.dedup_key().to_owned(),
            title: event.title().to_owned(),
            description: event.description().to_owned(),
        }
    }
}

pub(super) fn expect_length(column: &str, found: usize, expected: usize) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("column {column} has {found} entries instead of {expected}")) }
}

/// One event of [`Events`].
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    events: &'a Events,
    index: usize,
}

impl<'a> EventRef<'a> {
    /// What sort of message it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.events.columns.kind[self.index]
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        self.events.columns.severity[self.index]
    }

    /// What part of the site it concerns.
    #[must_use]
    pub fn category(self) -> Category {
        self.events.columns.category[self.index]
    }

    /// When it happened, milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn timestamp_ms(self) -> i64 {
        self.events.columns.timestamp_ms[self.index]
    }

    /// Key and value of each field.
    pub fn fields(self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        let first = self.start().piece;
        (0..self.field_count()).map(move |i| (self.events.piece(first + 2 * i), self.events.piece(first + 2 * i + 1)))
    }

    /// Type, scope and value of each observable.
    pub fn observables(self) -> impl ExactSizeIterator<Item = (ObservableType, Scope, &'a str)> {
        (0..self.observable_count()).map(move |i| self.observable(i))
    }

    /// The observable at `index` of this event.
    #[must_use]
    pub fn observable(self, index: usize) -> (ObservableType, Scope, &'a str) {
        let Start { piece, observable } = self.start();
        (
            self.events.columns.observable_type[observable + index],
            self.events.columns.observable_scope[observable + index],
            self.events.piece(piece + 2 * self.field_count() + index),
        )
    }

    /// MITRE ATT&CK technique ids.
    pub fn techniques(self) -> impl ExactSizeIterator<Item = &'a str> {
        let first = self.start().piece + 2 * self.field_count() + self.observable_count();
        (0..self.events.columns.techniques[self.index] as usize).map(move |i| self.events.piece(first + i))
    }

    /// The origin that it names; empty for its context's.
    #[must_use]
    pub fn source(self) -> &'a str {
        self.tail(0)
    }

    /// The device that it names; empty for its context's.
    #[must_use]
    pub fn device_id(self) -> &'a str {
        self.tail(1)
    }

    /// Its deduplication key; empty for the default.
    #[must_use]
    pub fn dedup_key(self) -> &'a str {
        self.tail(2)
    }

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'a str {
        self.tail(3)
    }

    /// Its description.
    #[must_use]
    pub fn description(self) -> &'a str {
        self.tail(4)
    }

    /// All of its texts one behind the other, keys of fields included: where something is not in here, it is in none.
    pub(crate) fn text(self) -> &'a str {
        let events = self.events;
        let ends = [self.index, self.index + 1].map(|index| events.end_before(events.starts[index].piece));
        &events.text[ends[0]..ends[1]]
    }

    /// How many observables it has.
    #[must_use]
    pub fn observable_count(self) -> usize {
        self.events.columns.observables[self.index] as usize
    }

    fn field_count(self) -> usize {
        self.events.columns.fields[self.index] as usize
    }

    fn start(self) -> Start {
        self.events.starts[self.index]
    }

    fn tail(self, index: usize) -> &'a str {
        self.events.piece(self.events.starts[self.index + 1].piece - TAIL + index)
    }
}
