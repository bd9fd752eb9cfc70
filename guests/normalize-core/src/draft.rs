//! One event under construction: its fields, with unique keys, and a note of where observables may be.

use aurora_guest::{Category, EventWriter, Kind, ObservableType, Severity, Summary, Text, Utf8};

use crate::{
    keys::{self, Treat},
    observing::Observing,
    techniques,
};

/// More fields than this make no event that anybody reads: the raw event is rejected, and its bytes are kept.
pub const FIELDS: usize = 4096;

/// Longest key, dots included. With [`FIELDS`] it bounds what a small input can grow to.
pub const KEY_BYTES: usize = 1024;

/// What is remembered of an event's fields; one for a batch, so that its memory is taken once.
#[derive(Debug)]
pub struct Notes {
    /// Open-addressed table of the fields by the hash of their key. A slot counts only in its own event.
    seen: Vec<Seen>,
    event: u32,
    /// Fields to look at for observables or techniques.
    look: Vec<(u32, Treat)>,
    marks: u32,
    overflow: Option<&'static str>,
    renamed: String,
    /// Event, hash of the key, and last number given to a repeated key, by the low bits of its hash: a key repeated a
    /// thousand times must not try a thousand numbers each time.
    repeated: [(u32, u32, u32); 64],
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            seen: vec![Seen::default(); 256],
            event: 0,
            look: Vec::with_capacity(64),
            marks: 0,
            overflow: None,
            renamed: String::new(),
            repeated: [(0, 0, 0); 64],
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    event: u32,
    hash: u32,
    field: u32,
}

/// An event's fields as they are written.
#[derive(Debug)]
pub struct Draft<'a> {
    out: EventWriter<'a>,
    notes: &'a mut Notes,
}

/// Text for a person, reused from event to event.
#[derive(Debug, Default)]
pub struct Words {
    /// One line.
    pub title: Utf8,
    /// More.
    pub description: Utf8,
}

impl Words {
    /// For the next event.
    pub fn clear(&mut self) {
        self.title.clear();
        self.description.clear();
    }
}

/// What an event means.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// What sort of message it is.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What part of the site it concerns.
    pub category: Category,
    /// When it happened.
    pub timestamp_ms: i64,
    /// The field that names the device, where the context does not.
    pub device: Option<usize>,
}

impl<'a> Draft<'a> {
    /// An event without fields.
    pub fn new(out: EventWriter<'a>, notes: &'a mut Notes) -> Self {
        notes.event += 1;
        notes.look.clear();
        notes.marks = 0;
        notes.overflow = None;
        Self { out, notes }
    }

    /// Appends a field, whose value is searched for observables. A key that the event has already gets `.1`, `.2`, …
    #[inline]
    pub fn field(&mut self, key: &str, value: &str) {
        let hash = keys::hash(key);
        if let Some(index) = self.write(key, hash, |out, key| out.field(key, value)) {
            self.note(key, hash, index, worth_a_look(value));
        }
    }

    /// Appends a field whose value is written by `value`.
    pub fn field_with(&mut self, key: &str, value: impl FnOnce(&mut Utf8)) {
        let hash = keys::hash(key);
        if let Some(index) = self.write(key, hash, |out, key| out.field_with(key, value)) {
            self.note(key, hash, index, worth_a_look(self.out.value(index)));
        }
    }

    /// Appends a field that cannot hold an observable.
    pub fn plain(&mut self, key: &str, value: &str) {
        let hash = keys::hash(key);
        if let Some(index) = self.write(key, hash, |out, key| out.field(key, value)) {
            self.note(key, hash, index, false);
        }
    }

    /// Appends a field with the value of the field at `index`.
    pub fn again(&mut self, key: &str, index: usize) {
        self.write(key, keys::hash(key), |out, key| out.field_again(key, index));
    }

    /// Keeps the source's own spelling of the severity, found in the field `key`.
    pub fn keep_severity(&mut self, key: &str) {
        if let Some(index) = self.index(key) {
            self.again("severity.source_value", index);
        }
    }

    /// Position of the field `key`.
    #[must_use]
    pub fn index(&self, key: &str) -> Option<usize> {
        let hash = keys::hash(key);
        let mut slot = hash as usize;
        loop {
            slot &= self.notes.seen.len() - 1;
            let seen = self.notes.seen[slot];
            if seen.event != self.notes.event {
                return None;
            }
            if seen.hash == hash && self.out.key_is(seen.field as usize, key) {
                return Some(seen.field as usize);
            }
            slot += 1;
        }
    }

    /// The value of the field `key`, unless it is missing or empty.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.index(key).map(|index| self.out.value(index)).filter(|value| !value.is_empty())
    }

    /// The first of `keys` that has a value.
    #[must_use]
    pub fn first(&self, keys: &[&'static str]) -> Option<&str> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// The value of the field `prefix` + `key`, unless it is missing or empty.
    #[must_use]
    pub fn under(&self, prefix: &str, key: &str) -> Option<&str> {
        if prefix.is_empty() {
            return self.get(key);
        }
        let mut whole = String::with_capacity(prefix.len() + key.len());
        whole.push_str(prefix);
        whole.push_str(key);
        self.get(&whole)
    }

    /// Every field, key and value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.out.field_count()).map(|index| (self.out.key(index), self.out.value(index)))
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.field_count()
    }

    /// The field at `index`, key and value.
    #[must_use]
    pub fn at(&self, index: usize) -> (&str, &str) {
        (self.out.key(index), self.out.value(index))
    }

    /// Whether a key that betrays one of these [`keys::marks`] was written.
    #[must_use]
    pub fn has(&self, marks: u32) -> bool {
        self.notes.marks & marks != 0
    }

    /// Completes the event.
    ///
    /// # Errors
    /// If it has too many fields, or a key too long.
    pub fn finish(
        mut self,
        meaning: Meaning,
        words: &Words,
        observing: &mut Observing<'_>,
    ) -> Result<(), &'static str> {
        if let Some(overflow) = self.notes.overflow {
            return Err(overflow);
        }
        // Collectors of Windows events put their own name there; elsewhere it may be the server of a request.
        let reporter = if self.has(keys::marks::WINDOWS) { self.index("host") } else { None };
        for &(field, treat) in &self.notes.look {
            if reporter == Some(field as usize) {
                continue;
            }
            observing.look(&mut self.out, field as usize, treat);
        }
        for &(field, treat) in &self.notes.look {
            if treat == Treat::Techniques {
                techniques::note(&mut self.out, field as usize);
            }
        }
        let device = match meaning.device {
            Some(index) => Text::Field(index),
            None => Text::Str(""),
        };
        self.out.finish(&Summary {
            kind: meaning.kind,
            severity: meaning.severity,
            category: meaning.category,
            timestamp_ms: meaning.timestamp_ms,
            source: Text::Str(""),
            device_id: device,
            dedup_key: Text::Str(""),
            title: Text::Str(words.title.as_str()),
            description: Text::Str(words.description.as_str().trim()),
        });
        Ok(())
    }

    /// Writes a field under a free key, and answers its position.
    #[inline]
    fn write(&mut self, key: &str, hash: u32, write: impl FnOnce(&mut EventWriter<'a>, &str)) -> Option<usize> {
        let index = self.out.field_count();
        if index >= FIELDS || key.len() > KEY_BYTES {
            self.notes.overflow =
                Some(if index >= FIELDS { "more than 4096 fields" } else { "a key longer than 1024 bytes" });
            return None;
        }
        if self.claim(key, hash, index) {
            write(&mut self.out, key);
            return Some(index);
        }
        self.write_again(key, index, write);
        Some(index)
    }

    /// Writes a field whose key the event has already, under the next free `key.1`, `key.2`, …
    #[cold]
    fn write_again(&mut self, key: &str, index: usize, write: impl FnOnce(&mut EventWriter<'a>, &str)) {
        let mut renamed = std::mem::take(&mut self.notes.renamed);
        let hash = keys::hash(key);
        let slot = hash as usize % self.notes.repeated.len();
        let first = match self.notes.repeated[slot] {
            (event, known, last) if event == self.notes.event && known == hash => last + 1,
            _ => 1,
        };
        for number in first.. {
            self.notes.repeated[slot] = (self.notes.event, hash, number);
            renamed.clear();
            renamed.push_str(key);
            renamed.push('.');
            push_number(&mut renamed, u64::from(number));
            if self.claim(&renamed, keys::hash(&renamed), index) {
                break;
            }
        }
        write(&mut self.out, &renamed);
        self.notes.renamed = renamed;
    }

    /// Takes up a key; false if the event has it already.
    #[inline]
    fn claim(&mut self, key: &str, hash: u32, index: usize) -> bool {
        if index * 2 >= self.notes.seen.len() {
            self.grow();
        }
        let mask = self.notes.seen.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let seen = self.notes.seen[slot];
            if seen.event != self.notes.event {
                self.notes.seen[slot] = Seen { event: self.notes.event, hash, field: index as u32 };
                return true;
            }
            if seen.hash == hash && self.out.key_is(seen.field as usize, key) {
                return false;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let larger = vec![Seen::default(); self.notes.seen.len() * 2];
        let mask = larger.len() - 1;
        let smaller = std::mem::replace(&mut self.notes.seen, larger);
        for seen in smaller.into_iter().filter(|seen| seen.event == self.notes.event) {
            let mut slot = seen.hash as usize & mask;
            while self.notes.seen[slot].event == self.notes.event {
                slot = (slot + 1) & mask;
            }
            self.notes.seen[slot] = seen;
        }
    }

    /// Remembers what the key tells, and to look at the value if it is `worth` it.
    fn note(&mut self, key: &str, hash: u32, index: usize, worth: bool) {
        let known =
            keys::known(key, hash).or_else(|| element_of(key).and_then(|array| keys::known(array, keys::hash(array))));
        let treat = match known {
            Some(known) => {
                self.notes.marks |= known.mark;
                known.treat
            }
            None if worth && keys::names_techniques(key) => Treat::Techniques,
            None if worth && keys::names_version(key) => Treat::Skip,
            None if worth && keys::names_user(key) => Treat::As(ObservableType::Email),
            None if worth && keys::names_id(key) && keys::is_opaque(self.out.value(index)) => Treat::Skip,
            None => Treat::Scan,
        };
        if worth && treat != Treat::Skip {
            self.notes.look.push((index as u32, treat));
        }
    }
}

/// The key of the array that `key` is an element of: `tags` of `tags.3`.
fn element_of(key: &str) -> Option<&str> {
    if !key.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    key.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix('.')
}

/// No observable is shorter than `a.co` or `::1/`, and none is a mere number.
fn worth_a_look(value: &str) -> bool {
    value.len() > 3 && value.bytes().any(|byte| !byte.is_ascii_digit())
}

/// Appends a decimal number.
pub fn push_number(text: &mut impl std::fmt::Write, number: u64) {
    // Writing to memory does not fail.
    let _ = write!(text, "{number}");
}
