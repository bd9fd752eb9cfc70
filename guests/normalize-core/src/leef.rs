//! IBM QRadar's Log Event Extended Format, versions 1.0 and 2.0:
//! `LEEF:2.0|vendor|product|version|event id|delimiter|key=value⟨delimiter⟩key=value …`.

use aurora_guest::{Category, Kind};

use crate::{
    cef,
    draft::{Draft, Meaning, Words},
    fault::Fault,
    meaning::{About, severity, title},
    time,
};

const HEADER: [&str; 4] = ["deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId"];

/// Reads the record whose `LEEF:` stands at `at`.
///
/// # Errors
/// If the header is not whole.
pub fn read(text: &str, at: usize, event: &mut Draft<'_>) -> Result<(), Fault> {
    let bar = |from: usize| memchr::memchr(b'|', &text.as_bytes()[from..]).map(|found| from + found);
    let mut start = at + "LEEF:".len();
    let end = bar(start).ok_or(Fault::new(start, "the version of LEEF and `|`"))?;
    let version = &text[start..end];
    let two = match version.split('.').next() {
        Some("1") => false,
        Some("2") => true,
        _ => return Err(Fault::new(start, "version 1.0 or 2.0 of LEEF")),
    };
    event.plain("leefVersion", version);
    start = end + 1;
    for (index, key) in HEADER.into_iter().enumerate() {
        // A record without attributes may end with its event id.
        let end = match bar(start) {
            Some(end) => end,
            None if index == HEADER.len() - 1 => text.len(),
            None => return Err(Fault::new(start, "`|` and all five fields of a LEEF header")),
        };
        event.field(key, text[start..end].trim_end_matches(['\r', '\n']));
        start = (end + 1).min(text.len());
    }
    let mut delimiter = '\t';
    if two && let Some((declared, after)) = declared_delimiter(text, start) {
        delimiter = declared;
        start = after;
    }
    attributes(text, start, delimiter, event);
    Ok(())
}

/// The delimiter field of LEEF 2.0 at `at`: one character, or its code as `x09` or `0x09`; empty for a tab. Some
/// products leave the whole field out, and then there is an equals sign before the next bar.
fn declared_delimiter(text: &str, at: usize) -> Option<(char, usize)> {
    let end = at + text[at..].find('|')?;
    let field = &text[at..end];
    let mut chars = field.chars();
    let delimiter = match (chars.next(), chars.next()) {
        (None, _) => '\t',
        (Some(one), None) => one,
        _ => {
            let code = field.strip_prefix("0x").or_else(|| field.strip_prefix(['x', 'X', '\\']))?;
            if code == "t" { '\t' } else { char::from_u32(u32::from_str_radix(code, 16).ok()?)? }
        }
    };
    Some((delimiter, end + 1))
}

fn attributes(text: &str, at: usize, delimiter: char, event: &mut Draft<'_>) {
    let rest = &text[at..];
    // Relays turn tabs into spaces; then the attributes can only be told apart as CEF's are.
    if delimiter == '\t' && memchr::memchr(b'\t', rest.as_bytes()).is_none() && rest.matches('=').nth(1).is_some() {
        cef::extension(text, at, event);
        return;
    }
    let mut buffer = [0; 4];
    let delimiter = delimiter.encode_utf8(&mut buffer).as_bytes();
    let (mut start, bytes) = (0, rest.as_bytes());
    while start < bytes.len() {
        let end = next(&bytes[start..], delimiter).map_or(bytes.len(), |found| start + found);
        let attribute = rest[start..end].trim_end_matches(['\r', '\n']);
        start = end + delimiter.len();
        match memchr::memchr(b'=', attribute.as_bytes()) {
            Some(equals) if !attribute[..equals].trim_ascii().is_empty() => {
                event.field(attribute[..equals].trim_ascii(), &attribute[equals + 1..]);
            }
            _ if attribute.trim_ascii().is_empty() => {}
            _ => event.field("message", attribute),
        }
    }
}

/// Where the delimiter stands. It is one byte unless somebody declares a character beyond ASCII.
fn next(bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
    match delimiter {
        [one] => memchr::memchr(*one, bytes),
        several => memchr::memmem::find(bytes, several),
    }
}

/// What a LEEF record means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, category: Category, words: &mut Words) -> Meaning {
    let severity = match event.first(&["sev", "severity"]) {
        Some(text) => severity::cef(text),
        None => about.header_severity.unwrap_or(aurora_guest::Severity::Medium),
    };
    event.keep_severity(if event.get("sev").is_some() { "sev" } else { "severity" });
    let product = (event.get("deviceVendor").unwrap_or_default(), event.get("deviceProduct").unwrap_or_default());
    let id = event.get("deviceEventClassId").unwrap_or("Unknown Event");
    match event.first(&["msg", "message", "name", "eventDesc"]) {
        Some(message) => words.title.push_str(title::line(message)),
        None => {
            for part in [product.0, " ", product.1, ": ", title::line(id)] {
                words.title.push_str(part);
            }
            if let Some(cat) = event.get("cat") {
                for part in [" (", title::line(cat), ")"] {
                    words.title.push_str(part);
                }
            }
        }
    }
    for part in [product.0, " ", product.1, ": ", title::line(id), " "] {
        words.description.push_str(part);
    }
    let from = event.first(&["src", "identSrc", "usrName"]).map(|end| (end, event.get("srcPort")));
    let to = event.get("dst").map(|end| (end, event.get("dstPort")));
    title::endpoints(&mut words.description, from, to);
    words.description.truncate(words.description.as_str().trim_end().len());
    let declared = event.get("devTime").zip(event.get("devTimeFormat"));
    let timestamp_ms = declared
        .and_then(|(text, pattern)| time::by_pattern(text, pattern, about.clock))
        .unwrap_or_else(|| about.time([event.get("devTime"), event.get("eventTime")]));
    Meaning { kind: Kind::Alert, severity, category, timestamp_ms, device: None }
}
