//! Payloads that hold lines of pairs or of a Zeek log.

use aurora_guest::Normalizing;

use super::{Batch, Refusal};
use crate::{
    detect::{self, Found},
    draft::Draft,
    fault::Fault,
    kv,
    meaning::About,
    products, time,
    zeek_tsv::Columns,
};

impl Batch<'_> {
    pub(super) fn pairs(
        &mut self,
        text: &str,
        at: usize,
        about: &About<'_>,
        out: &mut Normalizing,
    ) -> Result<(), Refusal> {
        let mut event = Draft::new(out.event(), &mut self.notes);
        self.words.clear();
        // A time may stand before the pairs.
        let before = text[..at].trim();
        let header_ms = time::read(before, about.clock);
        let about = &About { header_ms, ..*about };
        if !before.is_empty() {
            event.plain("timestamp", before);
        }
        if kv::whole(text, at, &mut event)? == 0 {
            return Err(Fault::new(at, "`key=value`").into());
        }
        let meaning = kv::meaning(&mut event, about, None, &mut self.words);
        Ok(event.finish(meaning, &self.words, &mut self.observing)?)
    }

    /// Whether the payload is a record behind a Zeek header of its context.
    pub(super) fn is_zeek_line(&self, text: &str, about: &About<'_>) -> bool {
        let context = std::ptr::from_ref(about.context).addr();
        matches!(about.context.format.as_str(), "auto" | "")
            && self
                .zeek
                .iter()
                .any(|(owner, columns)| *owner == context && (text.starts_with('#') || columns.fits(text)))
    }

    /// Lines of a Zeek log: one, or a whole file.
    pub(super) fn zeek(&mut self, text: &str, about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
        // A log that Zeek writes as JSON is JSON, however it is declared.
        if let Found::Json(at) = detect::find(text) {
            return self.json(text, at, about, out);
        }
        let context = std::ptr::from_ref(about.context).addr();
        let known = self.zeek.iter().position(|(owner, _)| *owner == context);
        let slot = known.unwrap_or_else(|| {
            self.zeek.push((context, Columns::default()));
            self.zeek.len() - 1
        });
        let (mut any, mut at) = (false, 0);
        for line in text.split('\n') {
            let start = at;
            at += line.len() + 1;
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.starts_with('#') {
                self.zeek[slot].1.header(line);
                continue;
            }
            if line.is_empty() {
                continue;
            }
            let columns = &self.zeek[slot].1;
            if !columns.known() {
                return Err(Fault::new(start, "a Zeek header (#fields) earlier in the batch").into());
            }
            let mut event = Draft::new(out.event(), &mut self.notes);
            self.words.clear();
            columns.read(line, start, &mut event)?;
            let meaning = products::zeek(&mut event, about, &mut self.words);
            event.finish(meaning, &self.words, &mut self.observing)?;
            any = true;
        }
        if any { Ok(()) } else { Err(Refusal::Drop("a line of a Zeek header")) }
    }
}
