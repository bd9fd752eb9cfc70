//! Payloads that hold syslog messages, and the records of CEF and LEEF that stand alone or within them.

use aurora_guest::{Category, Normalizing};

use super::{Batch, Refusal};
use crate::{
    cef,
    detect::{self, Found},
    draft::{Draft, Meaning, Words},
    fault::Fault,
    json, leef,
    meaning::{About, category, severity},
    mqtt, syslog,
};

impl Batch<'_> {
    /// A record of CEF or LEEF without a header around it.
    pub(super) fn record(
        &mut self,
        text: &str,
        at: usize,
        found: Found,
        about: &About<'_>,
        out: &mut Normalizing,
    ) -> Result<(), Refusal> {
        let mut event = Draft::new(out.event(), &mut self.notes);
        self.words.clear();
        let meaning = record(text, at, found, about, &mut event, &mut self.words, &mut self.product)?;
        Ok(event.finish(meaning, &self.words, &mut self.observing)?)
    }

    pub(super) fn frames(&mut self, text: &str, about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
        let mut at = 0;
        while let Some((length, start)) = detect::frame(&text[at..]) {
            let start = at + start;
            let Some(message) = text.get(start..start + length.min(text.len() - start)) else {
                return Err(Fault::new(start + length, "a frame that ends between characters").into());
            };
            self.syslog(&text[..start + message.trim_end_matches(['\n', '\r', '\0']).len()], start, about, out)?;
            at = start + message.len();
            at = json::skip_space(text.as_bytes(), at);
        }
        if at < text.len() {
            return Err(Fault::new(at, "a frame's length").into());
        }
        Ok(())
    }

    /// A syslog message, or several that a collector has joined: a line that begins with a priority is one of its own,
    /// any other goes on the message before it.
    pub(super) fn messages(
        &mut self,
        text: &str,
        at: usize,
        about: &About<'_>,
        out: &mut Normalizing,
    ) -> Result<(), Refusal> {
        let bytes = text.as_bytes();
        let (mut start, mut scan) = (at, at);
        while let Some(found) = memchr::memchr(b'\n', &bytes[scan..]) {
            let line = scan + found;
            scan = line + 1;
            if matches!(bytes[scan..], [b'<', b'0'..=b'9', ..]) {
                self.syslog(&text[..line], start, about, out)?;
                start = scan;
            }
        }
        self.syslog(text, start, about, out)
    }

    pub(super) fn syslog(
        &mut self,
        text: &str,
        at: usize,
        about: &About<'_>,
        out: &mut Normalizing,
    ) -> Result<(), Refusal> {
        let mut header = syslog::header(&text[at..]).map_err(|fault| Fault { at: fault.at + at, ..fault })?;
        header.message += at;
        header.structured = header.structured.map(|(start, end)| (start + at, end + at));
        let header_ms = header.time.and_then(|civil| civil.to_ms(about.clock));
        let header_severity = header.severity().map(severity::syslog);
        let about = &About { header_ms, header_severity, ..*about };
        let message = &text[header.message..];
        let inner = detect::inner(message, header.message);
        match (about.context.format.as_str(), inner) {
            ("cef", Found::Cef(_)) | ("leef", Found::Leef(_)) => {}
            (declared @ ("cef" | "leef"), _) => {
                return Err(Refusal::Reject(
                    format!("declared as {declared}, found syslog without it at byte {}", header.message).into(),
                ));
            }
            _ => {}
        }
        if let Found::Json(start) = inner {
            // Text after the object, or an object that does not end, makes it a message like any other.
            if json::end_of(text, start).is_ok_and(|end| json::skip_space(text.as_bytes(), end) == text.len())
                && self.object(text, start, about, Some(&header), out).is_ok()
            {
                return Ok(());
            }
        }
        if let Found::WindowsXml(start) = inner
            && self.xml_of_syslog(text, start, about, &header, out).is_ok()
        {
            return Ok(());
        }
        let mut event = Draft::new(out.event(), &mut self.notes);
        self.words.clear();
        let meaning = match inner {
            Found::Cef(start) | Found::Leef(start) => {
                let meaning = record(text, start, inner, about, &mut event, &mut self.words, &mut self.product)?;
                syslog::write(text, &header, true, &mut event);
                meaning
            }
            _ => {
                syslog::write(text, &header, false, &mut event);
                if syslog::is_all_fields(message) {
                    // Some of its parts only look like observables, and only their keys tell.
                    event.plain("message", message);
                } else if !message.is_empty() {
                    event.field("message", message);
                }
                match syslog::message(text, &header, &mut event, about, &mut self.words) {
                    Some(meaning) => meaning,
                    None => syslog::meaning(&header, &mut event, about, &mut self.words),
                }
            }
        };
        Ok(event.finish(meaning, &self.words, &mut self.observing)?)
    }
}

/// The product of the last record, and its category: a batch seldom has many, and to find one takes long.
#[derive(Debug, Default)]
pub struct Product {
    /// Address of the context, whose source counts too.
    context: usize,
    vendor: String,
    name: String,
    category: Option<Category>,
}

impl Product {
    fn category(&mut self, vendor: &str, name: &str, about: &About<'_>) -> Category {
        let context = std::ptr::from_ref(about.context).addr();
        match self.category {
            Some(category) if self.context == context && self.vendor == vendor && self.name == name => category,
            _ => {
                let category = category::by_product(name)
                    .or_else(|| category::by_product(vendor))
                    .or_else(|| category::by_product(&about.context.source))
                    .unwrap_or(if mqtt::is_device(about) { Category::Cps } else { Category::Network });
                *self = Self { context, vendor: vendor.to_owned(), name: name.to_owned(), category: Some(category) };
                category
            }
        }
    }
}

/// Reads a record of CEF or LEEF. What it means comes before the fields of a header around it, which no rule needs.
fn record(
    text: &str,
    at: usize,
    found: Found,
    about: &About<'_>,
    event: &mut Draft<'_>,
    words: &mut Words,
    product: &mut Product,
) -> Result<Meaning, Fault> {
    let cef = matches!(found, Found::Cef(_));
    if cef {
        cef::read(text, at, event)?;
    } else {
        leef::read(text, at, event)?;
    }
    let vendor = event.get("deviceVendor").unwrap_or_default();
    let category = product.category(vendor, event.get("deviceProduct").unwrap_or_default(), about);
    Ok(if cef { cef::meaning(event, about, category, words) } else { leef::meaning(event, about, category, words) })
}
