use crate::{Category, Context, Events, Kind, ObservableType, OriginEvents, Scope, Severity};

/// One normalized event of a batch, read in place.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    events: &'a Events,
    /// Where it came from.
    pub context: &'a Context,
    index: usize,
    /// First piece of the event's text.
    piece: usize,
    /// First entry of the event in the columns of observables.
    observable: usize,
}

/// One observable of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observable<'a> {
    /// What it is.
    pub kind: ObservableType,
    /// Whether it means anything outside the site.
    pub scope: Scope,
    /// Its value, refanged.
    pub value: &'a str,
}

/// Pieces behind an event's fields, observables and techniques: source, device id, dedup key, title, description.
const TAIL: usize = 5;

impl<'a> EventView<'a> {
    /// What sort of message it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.events.kind[self.index]
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.events.severity[self.index]
    }

    /// What part of the site it concerns.
    #[must_use]
    pub fn category(&self) -> Category {
        self.events.category[self.index]
    }

    /// When it happened, milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn timestamp_ms(&self) -> i64 {
        self.events.timestamp_ms[self.index]
    }

    /// Its fields, key and value, in the order in which they were written.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        let view = *self;
        (0..self.field_count()).map(move |i| (view.text(2 * i), view.text(2 * i + 1)))
    }

    /// The value of the field `key`.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&'a str> {
        self.fields().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Its observables, by position.
    pub fn observables(&self) -> impl ExactSizeIterator<Item = Observable<'a>> {
        let view = *self;
        (0..self.observable_count()).map(move |i| Observable {
            kind: view.events.observable_type[view.observable + i],
            scope: view.events.observable_scope[view.observable + i],
            value: view.text(2 * view.field_count() + i),
        })
    }

    /// Its MITRE ATT&CK technique ids.
    pub fn techniques(&self) -> impl ExactSizeIterator<Item = &'a str> {
        let view = *self;
        let first = 2 * self.field_count() + self.observable_count();
        (0..self.technique_count()).map(move |i| view.text(first + i))
    }

    /// The origin that it names itself; empty where it names none.
    #[must_use]
    pub fn own_source(&self) -> &'a str {
        self.tail(0)
    }

    /// The device that it names itself; empty where it names none.
    #[must_use]
    pub fn own_device_id(&self) -> &'a str {
        self.tail(1)
    }

    /// The origin that it names, else its context's.
    #[must_use]
    pub fn source(&self) -> &'a str {
        match self.own_source() {
            "" => &self.context.source,
            source => source,
        }
    }

    /// The device that it names, else its context's.
    #[must_use]
    pub fn device_id(&self) -> Option<&'a str> {
        match self.own_device_id() {
            "" => self.context.device_id.as_deref(),
            device => Some(device),
        }
    }

    /// Its deduplication key; empty for the host's default.
    #[must_use]
    pub fn dedup_key(&self) -> &'a str {
        self.tail(2)
    }

    /// Its title.
    #[must_use]
    pub fn title(&self) -> &'a str {
        self.tail(3)
    }

    /// Its description.
    #[must_use]
    pub fn description(&self) -> &'a str {
        self.tail(4)
    }

    fn field_count(&self) -> usize {
        self.events.fields[self.index] as usize
    }

    fn observable_count(&self) -> usize {
        self.events.observables[self.index] as usize
    }

    fn technique_count(&self) -> usize {
        self.events.techniques[self.index] as usize
    }

    fn pieces(&self) -> usize {
        2 * self.field_count() + self.observable_count() + self.technique_count() + TAIL
    }

    fn tail(&self, index: usize) -> &'a str {
        self.text(self.pieces() - TAIL + index)
    }

    /// The host checks UTF-8 and offsets before it hands events on; a batch made by hand may be anything, and text
    /// that is not UTF-8 then reads as empty.
    fn text(&self, piece: usize) -> &'a str {
        str::from_utf8(crate::piece(&self.events.text, &self.events.ends, self.piece + piece)).unwrap_or_default()
    }
}

impl OriginEvents {
    /// The events of the batch.
    pub fn iter(&self) -> impl Iterator<Item = EventView<'_>> {
        let (mut piece, mut observable) = (0, 0);
        (0..self.events.kind.len()).map(move |index| {
            let view = EventView {
                events: &self.events,
                context: &self.contexts[self.context[index] as usize],
                index,
                piece,
                observable,
            };
            piece += view.pieces();
            observable += view.observable_count();
            view
        })
    }
}
