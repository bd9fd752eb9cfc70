//! From fields to observables: which part of which field is handed to the extractor, and what is kept of the answer.

use aurora_guest::{EventWriter, ObservableType};

use crate::{
    keys::Treat,
    observables::{AllowList, Extractor, Found, Value},
};

/// Observables kept of one event. More are no longer a finding but a list; they stay in the fields.
const OBSERVABLES: usize = 512;

/// The extractor and its scratch, one for a batch.
#[derive(Debug)]
pub struct Observing<'o> {
    extractor: Extractor<'o>,
    found: Vec<Found>,
}

impl<'o> Observing<'o> {
    /// For one batch.
    #[must_use]
    pub fn new(allow: &'o AllowList) -> Self {
        Self { extractor: Extractor::new(allow), found: Vec::new() }
    }

    /// Appends the observables of the field at `index` to the event.
    pub fn look(&mut self, event: &mut EventWriter<'_>, index: usize, treat: Treat) {
        let value = event.value(index);
        match treat {
            Treat::Skip => {}
            Treat::Scan | Treat::Techniques => self.extractor.free_text(value, &mut self.found),
            Treat::As(kind) => self.extractor.typed(kind, value, &mut self.found),
            Treat::Hashes => {
                let mut start = 0;
                for part in value.split(',') {
                    self.hash(part, start);
                    start += part.len() + 1;
                }
            }
        }
        for found in self.found.drain(..) {
            if event.observable_count() >= OBSERVABLES {
                continue;
            }
            match found.value {
                Value::Span { start, end } => {
                    event.observable_in(found.kind, found.scope, index, start as usize, end as usize);
                }
                Value::Refanged { .. } => {
                    event.observable(found.kind, found.scope, self.extractor.value("", &found));
                }
            }
        }
        self.extractor.clear();
    }

    /// `SHA256=…` at `start` of the value. An import hash has the form of an MD5 and means something else.
    fn hash(&mut self, part: &str, start: usize) {
        let Some((name, digits)) = part.split_once('=') else { return };
        let kind = match name.trim() {
            "MD5" => ObservableType::HashMd5,
            "SHA1" => ObservableType::HashSha1,
            "SHA256" => ObservableType::HashSha256,
            _ => return,
        };
        let before = self.found.len();
        self.extractor.typed(kind, digits, &mut self.found);
        let shift = start + name.len() + 1;
        for found in &mut self.found[before..] {
            if let Value::Span { start, end } = &mut found.value {
                *start += shift as u32;
                *end += shift as u32;
            }
        }
    }
}
