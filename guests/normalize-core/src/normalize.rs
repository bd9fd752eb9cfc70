//! One raw event after the other: what it is, which reader takes it, and what becomes of it.

use std::borrow::Cow;

use aurora_guest::{Category, Normalizing, RawEvent, Utf8};

use crate::{
    Options, cef,
    detect::{self, Found},
    draft::{Draft, Meaning, Notes, Words},
    fault::Fault,
    json, kv, leef,
    meaning::{About, category, severity},
    mqtt,
    observing::Observing,
    products, syslog,
    time::{self, Clock},
    winxml,
    zeek_tsv::Columns,
};

/// Why a raw event gives no events.
#[derive(Debug)]
pub enum Refusal {
    /// Understood, and nothing in it to keep.
    Drop(&'static str),
    /// Not understood.
    Reject(Cow<'static, str>),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Reject(fault.to_string().into())
    }
}

impl From<&'static str> for Refusal {
    fn from(reason: &'static str) -> Self {
        Self::Reject(reason.into())
    }
}

/// What `format` may say.
const FORMATS: &str = "auto, json, cef, leef, syslog, mqtt, zeek, winxml, kv";

/// All that a batch needs beside its input and its answer, so that memory is taken once.
pub struct Batch<'o> {
    options: &'o Options,
    notes: Notes,
    words: Words,
    path: Utf8,
    observing: Observing<'o>,
    /// Vendor and product of the last CEF or LEEF record, and its category: a batch seldom has many.
    product: (String, String, Option<Category>),
    /// The last Zeek header of each context, told apart by its address in the batch.
    zeek: Vec<(usize, Columns)>,
}

impl<'o> Batch<'o> {
    /// For one batch.
    #[must_use]
    pub fn new(options: &'o Options) -> Self {
        Self {
            options,
            notes: Notes::default(),
            words: Words::default(),
            path: Utf8::default(),
            observing: Observing::new(&options.allow),
            product: Default::default(),
            zeek: Vec::new(),
        }
    }

    /// Answers one raw event.
    pub fn one(&mut self, raw: &RawEvent<'_>, out: &mut Normalizing) {
        let clock = Clock { received_ms: raw.received_ms, offset_min: self.options.utc_offset_min };
        let about = About { context: raw.context, clock, header_ms: None, header_severity: None };
        match self.payload(raw.payload, &about, out) {
            Ok(()) => out.accept(),
            Err(Refusal::Drop(reason)) => out.drop_event(reason),
            Err(Refusal::Reject(reason)) => out.reject(reason),
        }
    }

    fn payload(&mut self, payload: &[u8], about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
        let text = match str::from_utf8(payload) {
            Ok(text) => Cow::Borrowed(text),
            Err(error) => lines_of_bytes(payload, &about.context.format, error.valid_up_to())?.into(),
        };
        let text = text.trim_end_matches(['\n', '\r', '\0']);
        let declared = about.context.format.as_str();
        if declared == "zeek" || self.is_zeek_line(text, about) {
            return self.zeek(text, about, out);
        }
        let found = detect::find(text);
        let fits = match declared {
            "auto" | "" => found != Found::Nothing,
            // The answer of a device is one object, whatever else a topic may carry.
            "mqtt" if mqtt::is_answer(about) => matches!(found, Found::Json(_)),
            "mqtt" => found != Found::Nothing || mqtt::is_reading(text),
            "json" => matches!(found, Found::Json(_)),
            "cef" => matches!(found, Found::Cef(_) | Found::Syslog(_)),
            "leef" => matches!(found, Found::Leef(_) | Found::Syslog(_)),
            "syslog" => matches!(found, Found::Syslog(_) | Found::OctetCounted),
            "winxml" | "windows-xml" => matches!(found, Found::WindowsXml(_)),
            "kv" | "logfmt" => !matches!(found, Found::Json(_) | Found::Cef(_) | Found::Leef(_)),
            other => {
                return Err(Refusal::Reject(format!("format `{other}` does not exist; there are {FORMATS}").into()));
            }
        };
        if !fits {
            return Err(misfit(text, declared, found));
        }
        match found {
            _ if matches!(declared, "kv" | "logfmt") => {
                let at = if let Found::KeyValue(at) = found { at } else { 0 };
                self.pairs(text, at, about, out)
            }
            Found::Json(at) => self.json(text, at, about, out),
            Found::Cef(at) | Found::Leef(at) => {
                let mut event = Draft::new(out.event(), &mut self.notes);
                self.words.clear();
                let meaning = record(text, at, found, about, &mut event, &mut self.words, &mut self.product)?;
                Ok(event.finish(meaning, &self.words, &mut self.observing)?)
            }
            Found::Syslog(at) => self.syslog(text, at, about, out),
            Found::OctetCounted => self.frames(text, about, out),
            Found::KeyValue(at) => self.pairs(text, at, about, out),
            Found::WindowsXml(at) => self.windows_xml(text, at, about, out),
            Found::ZeekHeader => self.zeek(text, about, out),
            Found::Nothing => {
                let mut event = Draft::new(out.event(), &mut self.notes);
                self.words.clear();
                event.plain("value", text.trim());
                let meaning = mqtt::meaning(&mut event, about, &mut self.words);
                Ok(event.finish(meaning, &self.words, &mut self.observing)?)
            }
        }
    }

    /// One object, or an array of them, each an event.
    fn json(&mut self, text: &str, at: usize, about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
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
    fn objects(&mut self, text: &str, at: usize, about: &About<'_>, out: &mut Normalizing) -> Result<usize, Refusal> {
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
    fn object(
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

    fn pairs(&mut self, text: &str, at: usize, about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
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

    fn windows_xml(&mut self, text: &str, at: usize, about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
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

    /// Whether the payload is a record behind a Zeek header of its context.
    fn is_zeek_line(&self, text: &str, about: &About<'_>) -> bool {
        let context = std::ptr::from_ref(about.context).addr();
        matches!(about.context.format.as_str(), "auto" | "")
            && self
                .zeek
                .iter()
                .any(|(owner, columns)| *owner == context && (text.starts_with('#') || columns.fits(text)))
    }

    /// Lines of a Zeek log: one, or a whole file.
    fn zeek(&mut self, text: &str, about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
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

    fn frames(&mut self, text: &str, about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
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

    fn syslog(&mut self, text: &str, at: usize, about: &About<'_>, out: &mut Normalizing) -> Result<(), Refusal> {
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
                if syslog::is_all_columns(message) {
                    // Each column is a field of its own, and some columns only look like observables.
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

/// Reads a record of CEF or LEEF. What it means comes before the fields of a header around it, which no rule needs.
fn record(
    text: &str,
    at: usize,
    found: Found,
    about: &About<'_>,
    event: &mut Draft<'_>,
    words: &mut Words,
    product: &mut (String, String, Option<Category>),
) -> Result<Meaning, Fault> {
    let cef = matches!(found, Found::Cef(_));
    if cef {
        cef::read(text, at, event)?
    } else {
        leef::read(text, at, event)?
    }
    let vendor = event.get("deviceVendor").unwrap_or_default();
    let name = event.get("deviceProduct").unwrap_or_default();
    if product.2.is_none() || product.0 != vendor || product.1 != name {
        let category = category::by_product(name)
            .or_else(|| category::by_product(vendor))
            .or_else(|| category::by_product(&about.context.source))
            .unwrap_or(if mqtt::is_device(about) { Category::Cps } else { Category::Network });
        *product = (vendor.to_owned(), name.to_owned(), Some(category));
    }
    let category = product.2.unwrap_or(Category::Network);
    Ok(if cef { cef::meaning(event, about, category, words) } else { leef::meaning(event, about, category, words) })
}

/// Says what was declared, what should have stood where, and what stands there.
fn misfit(text: &str, declared: &str, found: Found) -> Refusal {
    let expected = match declared {
        "json" => "`{`, or `[` and an object",
        "cef" => "`CEF:`, or a syslog header before it",
        "leef" => "`LEEF:`, or a syslog header before it",
        "syslog" => "a syslog priority `<0>` to `<191>`, or a time",
        "winxml" | "windows-xml" => "`<Event`",
        "kv" | "logfmt" => "`key=value`",
        _ => "json, cef, leef, syslog, zeek, winxml or kv",
    };
    let declared = if declared.is_empty() { "auto" } else { declared };
    let at = json::skip_space(text.as_bytes(), 0);
    let found = found.name();
    Refusal::Reject(format!("declared as {declared}: expected {expected} at byte {at}, found {found}").into())
}

fn whole(bytes: &[u8], end: usize) -> Result<(), Refusal> {
    let after = json::skip_space(bytes, end);
    if after == bytes.len() { Ok(()) } else { Err(Fault::new(after, "nothing more").into()) }
}

/// Bytes that are no UTF-8 are kept as `\xNN` in formats of lines, where senders really mix encodings. JSON must be
/// UTF-8, and what is no known format is not worth guessing over.
fn lines_of_bytes(payload: &[u8], declared: &str, valid: usize) -> Result<String, Refusal> {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(payload.len() + 64);
    for chunk in payload.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    let lines = matches!(
        detect::find(&text),
        Found::Syslog(_) | Found::OctetCounted | Found::Cef(_) | Found::Leef(_) | Found::KeyValue(_)
    );
    if !lines || matches!(declared, "json" | "mqtt") {
        return Err(Fault::new(valid, "UTF-8").into());
    }
    Ok(text)
}
