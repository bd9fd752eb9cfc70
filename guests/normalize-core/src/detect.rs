//! What a payload is, from its content alone. The order is the order of the tests in [`find`], most telling first.

use crate::{cef, json, kv, syslog};

/// A format, and where in the payload it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An object or an array.
    Json(usize),
    /// `CEF:` at this byte.
    Cef(usize),
    /// `LEEF:` at this byte.
    Leef(usize),
    /// `<PRI>`, or a time and a host.
    Syslog(usize),
    /// `123 <PRI>…`: frames of RFC 6587.
    OctetCounted,
    /// `<Event …>` of Windows.
    WindowsXml(usize),
    /// A header of a Zeek log.
    ZeekHeader,
    /// `key=value key=value`.
    KeyValue(usize),
    /// None of these.
    Nothing,
}

impl Found {
    /// Its name, as `format` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Cef(_) => "cef",
            Self::Leef(_) => "leef",
            Self::Syslog(_) | Self::OctetCounted => "syslog",
            Self::WindowsXml(_) => "winxml",
            Self::ZeekHeader => "zeek",
            Self::KeyValue(_) => "kv",
            Self::Nothing => "no format known here",
        }
    }
}

/// Looks at a payload.
#[must_use]
pub fn find(text: &str) -> Found {
    let bytes = text.as_bytes();
    let bom = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let at = json::skip_space(bytes, bom);
    let rest = &text[at..];
    match rest.as_bytes().first() {
        // A bracket also begins the lines of web servers.
        Some(b'{') => return Found::Json(at),
        Some(b'[') if matches!(bytes.get(json::skip_space(bytes, at + 1)), Some(b'{' | b']')) => {
            return Found::Json(at);
        }
        Some(b'<') if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => return Found::Syslog(at),
        Some(b'<') if rest.starts_with("<?xml") || rest.starts_with("<Event") => return Found::WindowsXml(at),
        Some(b'C') if rest.starts_with("CEF:") => return Found::Cef(at),
        Some(b'L') if rest.starts_with("LEEF:") => return Found::Leef(at),
        Some(b'#') if rest.starts_with("#separator") || rest.starts_with("#fields") => return Found::ZeekHeader,
        Some(b'0'..=b'9') if frame(rest).is_some() => return Found::OctetCounted,
        None => return Found::Nothing,
        _ => {}
    }
    if kv::is_pairs(rest) {
        return Found::KeyValue(at);
    }
    if let Ok(header) = syslog::header(rest) {
        // `2024-03-05 12:34:56⇥reason=Allowed⇥…`: a time before pairs makes no syslog.
        let message = &rest[header.message..];
        if header.hostname.is_some() || header.appname.is_some() {
            return Found::Syslog(at);
        }
        return if kv::is_pairs(message.trim_start()) {
            Found::KeyValue(at + header.message + message.len() - message.trim_start().len())
        } else {
            Found::Syslog(at)
        };
    }
    Found::Nothing
}

/// The length of the first frame of RFC 6587 at the start of `text`, and where its message begins.
#[must_use]
pub fn frame(text: &str) -> Option<(usize, usize)> {
    let digits = text.bytes().take(7).take_while(u8::is_ascii_digit).count();
    let framed = text[digits..].starts_with(" <") && text.as_bytes().get(digits + 2).is_some_and(u8::is_ascii_digit);
    let length = if framed { text[..digits].parse().ok()? } else { return None };
    Some((length, digits + 1))
}

/// Where a record of CEF or LEEF begins in the message of a syslog line.
#[must_use]
pub fn inner(message: &str, at: usize) -> Found {
    // The mark of Common Event Expression before JSON.
    let trimmed = message.trim_start();
    let trimmed = trimmed.strip_prefix("@cee:").unwrap_or(trimmed).trim_start();
    let at = at + message.len() - trimmed.len();
    if trimmed.starts_with("CEF:") {
        Found::Cef(at)
    } else if trimmed.starts_with("LEEF:") {
        Found::Leef(at)
    } else if trimmed.starts_with('{') {
        Found::Json(at)
    } else if trimmed.starts_with("<Event") {
        Found::WindowsXml(at)
    } else {
        // `… : CEF:0|…` behind a tag of its own.
        if memchr::memchr(b'|', trimmed.as_bytes()).is_none() {
            return Found::Nothing;
        }
        match memchr::memmem::find(trimmed.as_bytes(), b"CEF:") {
            Some(found) if cef::is_header(trimmed, found) => Found::Cef(at + found),
            _ => Found::Nothing,
        }
    }
}
