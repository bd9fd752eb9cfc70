//! Payloads that hold objects: JSON and Windows XML.

use aurora_guest::Normalizing;

use super::{Batch, Refusal};
use crate::{draft::Draft, fault::Fault, json, meaning::About, mqtt, products, syslog, winxml};

impl Batch<'_> {
    /// One object, or an array of them, each an event.
    pub(super) fn json(
        &mut self,
        text: &str,
        at: usize,
        about: &About<'_>,
        out: &mut Normalizing,
    ) -> Result<(), Refusal> {
        let bytes = text.as_bytes();
        if let Some(list) = json::records(text, at) {
            // Only a list in an object stands there, so what follows the list is the object's end.
            let end = self.objects(text, list, about, out)?;
            return whole(bytes, json::skip_space(bytes, end) + 1);
        }
        if bytes[at] == b'{' {
            let end = self.object(text, at, about, None, out)?;
            return whole(bytes, end);
        }
        let first = json::skip_space(bytes, at + 1);
        if bytes.get(first) == Some(&b']') {
            whole(bytes, first + 1)?;
            return Err(Refusal::Drop("an empty array"));
        }
        let end = self.objects(text, at, about, out)?;
        whole(bytes, end)
    }

    /// The objects of the array at `at`, and where it ends.
    pub(super) fn objects(
        &mut self,
        text: &str,
        at: usize,
        about: &About<'_>,
        out: &mut Normalizing,
    ) -> Result<usize, Refusal> {
        let bytes = text.as_bytes();
        let mut at = json::skip_space(bytes, at + 1);
        loop {
            if bytes.get(at) != Some(&b'{') {
                return Err(Fault::new(at, "an object in the array").into());
            }
            at = json::skip_space(bytes, self.object(text, at, about, None, out)?);
            match bytes.get(at) {
                Some(b',') => at = json::skip_space(bytes, at + 1),
                Some(b']') => return Ok(at + 1),
                _ => return Err(Fault::new(at, "`,` or `]`").into()),
            }
        }
    }

    /// The object at `at`, perhaps out of a syslog message, and where it ends.
    pub(super) fn object(
        &mut self,
        text: &str,
        at: usize,
        about: &About<'_>,
        header: Option<&syslog::Header<'_>>,
        out: &mut Normalizing,
    ) -> Result<usize, Refusal> {
        let mut event = Draft::new(out.event(), &mut self.notes);
        self.words.clear();
        let end = json::flatten(text, at, &mut event, &mut self.path)?;
        if let Some(header) = header {
            syslog::write(text, header, true, &mut event);
        }
        // Before any shape: a device must not get past the check of its answer by dressing it as something else.
        let product =
            if mqtt::is_answer(about) { None } else { products::recognised(&mut event, about, &mut self.words) };
        let meaning = match product {
            Some(meaning) => meaning,
            None if mqtt::is_device(about) && header.is_none() => mqtt::meaning(&mut event, about, &mut self.words),
            None => products::generic(&mut event, about, &mut self.words),
        };
        event.finish(meaning, &self.words, &mut self.observing)?;
        Ok(end)
    }

    /// The event that Sysmon for Linux and agents on Windows write as a syslog message.
    pub(super) fn xml_of_syslog(
        &mut self,
        text: &str,
        at: usize,
        about: &About<'_>,
        header: &syslog::Header<'_>,
        out: &mut Normalizing,
    ) -> Result<(), Refusal> {
        let mut document = winxml::Document::new(text, at);
        if !document.next_event()? {
            return Err(Fault::new(at, "an <Event> element").into());
        }
        let mut event = Draft::new(out.event(), &mut self.notes);
        self.words.clear();
        document.read(&mut event)?;
        syslog::write(text, header, true, &mut event);
        let meaning = products::windows(&mut event, about, &mut self.words);
        Ok(event.finish(meaning, &self.words, &mut self.observing)?)
    }

    pub(super) fn windows_xml(
        &mut self,
        text: &str,
        at: usize,
        about: &About<'_>,
        out: &mut Normalizing,
    ) -> Result<(), Refusal> {
        let mut document = winxml::Document::new(text, at);
        let mut any = false;
        while document.next_event()? {
            let mut event = Draft::new(out.event(), &mut self.notes);
            self.words.clear();
            document.read(&mut event)?;
            let meaning = products::windows(&mut event, about, &mut self.words);
            event.finish(meaning, &self.words, &mut self.observing)?;
            any = true;
        }
        if any { Ok(()) } else { Err(Refusal::Drop("no event within <Events>")) }
    }
}

fn whole(bytes: &[u8], end: usize) -> Result<(), Refusal> {
    let after = json::skip_space(bytes, end);
    if after == bytes.len() { Ok(()) } else { Err(Fault::new(after, "nothing more").into()) }
}
