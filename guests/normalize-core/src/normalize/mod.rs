//! One raw event after the other: what it is, which reader takes it, and what becomes of it.

mod objects;
mod messages;
mod lines;

use std::borrow::Cow;

use aurora_guest::{Normalizing, RawEvent, Utf8};

use crate::{
    Options,
    detect::{self, Found},
    draft::{Draft, Notes, Words},
    fault::Fault,
    json,
    meaning::About,
    mqtt,
    observing::Observing,
    time::Clock,
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
    product: messages::Product,
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
            product: messages::Product::default(),
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
            Found::Cef(at) | Found::Leef(at) => self.record(text, at, found, about, out),
            Found::Syslog(at) => self.messages(text, at, about, out),
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

/// Bytes that are no UTF-8 are kept as `\xNN` in formats of lines, where senders really mix encodings, and in the
/// strings of JSON. A device writes UTF-8, and what is no known format is not worth guessing over.
fn lines_of_bytes(payload: &[u8], declared: &str, valid: usize) -> Result<String, Refusal> {
    use std::fmt::Write as _;
    // In a string of JSON the backslash itself must be escaped to be kept.
    let json = matches!(payload.trim_ascii_start().first(), Some(b'{' | b'['));
    let mut text = String::with_capacity(payload.len() + 64);
    for chunk in payload.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "{}x{byte:02x}", if json { r"\\" } else { r"\" });
        }
    }
    let lines = matches!(
        detect::find(&text),
        Found::Json(_) | Found::Syslog(_) | Found::OctetCounted | Found::Cef(_) | Found::Leef(_) | Found::KeyValue(_)
    );
    if !lines || declared == "mqtt" {
        return Err(Fault::new(valid, "UTF-8").into());
    }
    Ok(text)
}
