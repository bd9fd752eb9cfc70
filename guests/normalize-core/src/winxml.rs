//! Events of the Windows event log as its own XML renders them.
//!
//! The elements that only group others (`Event System EventData UserData`) give no part of a key, so that
//! `<Data Name="Image">` is `Image` and `<Provider Name="…">` is `Provider.Name`, as the tools that write these events
//! as JSON have it.

use std::borrow::Cow;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event, attributes::Attribute},
};

use crate::{draft::Draft, fault::Fault};

/// Elements deeper than this are not of Windows.
const DEPTH: usize = 32;

/// A document with one event or several.
pub struct Document<'t> {
    reader: Reader<&'t [u8]>,
    /// Where the document begins in the payload.
    offset: usize,
}

impl<'t> Document<'t> {
    /// The document that begins at `offset`.
    #[must_use]
    pub fn new(text: &'t str, offset: usize) -> Self {
        let mut reader = Reader::from_str(&text[offset..]);
        // Events may stand in a row without an element around them.
        reader.config_mut().allow_unmatched_ends = false;
        // Forwarders lose the semicolon of `&lt;`.
        reader.config_mut().allow_dangling_amp = true;
        Self { reader, offset }
    }

    /// Goes to the next event; false at the end.
    ///
    /// # Errors
    /// If this is no XML, or XML of something else.
    pub fn next_event(&mut self) -> Result<bool, Fault> {
        loop {
            match self.step()? {
                Event::Start(element) if element.local_name().as_ref() == "Event" => return Ok(true),
                Event::Start(element) if element.local_name().as_ref() == "Events" => {}
                Event::Start(_) | Event::Empty(_) => return Err(self.fault("an <Event> element")),
                Event::Text(text) if !text.trim().is_empty() => return Err(self.fault("an <Event> element")),
                Event::Eof => return Ok(false),
                _ => {}
            }
        }
    }

    /// Reads the event that [`next_event`](Self::next_event) found.
    ///
    /// # Errors
    /// If its XML is not whole.
    pub fn read(&mut self, event: &mut Draft<'_>) -> Result<(), Fault> {
        // The key of each open element, as the length that it leaves of `path`, and whether it had elements in it.
        let mut open: Vec<(usize, bool)> = Vec::new();
        let (mut path, mut value) = (String::new(), String::new());
        loop {
            match self.step()? {
                Event::Start(element) => {
                    if open.len() == DEPTH {
                        return Err(self.fault("at most 32 levels of elements"));
                    }
                    if let Some(outer) = open.last_mut() {
                        outer.1 = true;
                    }
                    open.push((path.len(), false));
                    enter(&element, &mut path, event);
                    value.clear();
                }
                Event::Empty(element) => {
                    let length = path.len();
                    if let Some(outer) = open.last_mut() {
                        outer.1 = true;
                    }
                    enter(&element, &mut path, event);
                    path.truncate(length);
                    value.clear();
                }
                Event::Text(text) => value.push_str(&text),
                Event::CData(text) => value.push_str(&quick_xml::escape::escape(&*text)),
                Event::GeneralRef(name) => {
                    value.push('&');
                    value.push_str(&name);
                    value.push(';');
                }
                Event::End(_) => {
                    let Some((length, had_elements)) = open.pop() else { return Ok(()) };
                    if !had_elements && path.len() > length {
                        match quick_xml::escape::unescape(&value) {
                            Ok(text) => event.field(&path, text.trim()),
                            // An entity that nobody declared stays as it is written.
                            Err(_) => event.field(&path, value.trim()),
                        }
                    }
                    path.truncate(length);
                    value.clear();
                }
                Event::Eof => return Err(self.fault("</Event>")),
                _ => {}
            }
        }
    }

    fn step(&mut self) -> Result<Event<'t>, Fault> {
        match self.reader.read_event() {
            Ok(event) => Ok(event),
            Err(_) => Err(Fault::new(self.offset + self.reader.error_position() as usize, "well-formed XML")),
        }
    }

    fn fault(&self, expected: &'static str) -> Fault {
        Fault::new(self.offset + self.reader.buffer_position() as usize, expected)
    }
}

/// Appends an element's part of the key to `path`, and writes its attributes.
fn enter(element: &BytesStart<'_>, path: &mut String, event: &mut Draft<'_>) {
    let name = element.local_name();
    let name = name.as_ref();
    let length = path.len();
    let named = |attribute: &str| matches!(name, "Data" | "ComplexData") && attribute == "Name";
    let mut key = None;
    for attribute in element.attributes().with_checks(false).flatten() {
        if named(attribute.key.as_ref()) {
            key = Some(text_of(&attribute));
        }
    }
    let part = match &key {
        Some(key) => key.trim(),
        None if matches!(name, "System" | "EventData" | "UserData" | "RenderingInfo") => "",
        None => name,
    };
    if !part.is_empty() {
        if length > 0 {
            path.push('.');
        }
        path.push_str(part);
    }
    let whole = path.len();
    for attribute in element.attributes().with_checks(false).flatten() {
        let attribute_key = attribute.key.as_ref();
        if named(attribute_key) || attribute_key.starts_with("xmlns") {
            continue;
        }
        if whole > 0 {
            path.push('.');
        }
        path.push_str(attribute_key);
        event.field(path, &text_of(&attribute));
        path.truncate(whole);
    }
}

/// The value of an attribute; with an entity that nobody declared it stays as it is written.
fn text_of<'a>(attribute: &Attribute<'a>) -> Cow<'a, str> {
    attribute.normalized_value(XmlVersion::Implicit1_0).unwrap_or_else(|_| attribute.value.clone())
}
