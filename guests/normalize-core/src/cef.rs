//! ArcSight's Common Event Format, versions 0 and 1:
//! `CEF:0|vendor|product|version|class id|name|severity|key=value key=value …`.

use aurora_guest::{Kind, Utf8};

use crate::{
    draft::{Draft, Meaning, Words},
    fault::Fault,
    meaning::{About, severity, title},
};

/// The header's fields, by the names under which they are kept.
const HEADER: [&str; 6] = ["deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"];

/// Reads the record whose `CEF:` stands at `at`.
///
/// # Errors
/// If the header is not whole.
pub fn read(text: &str, at: usize, event: &mut Draft<'_>) -> Result<(), Fault> {
    let bytes = text.as_bytes();
    let mut start = at + "CEF:".len();
    let end = header_end(bytes, start);
    let version = text[start..end].trim_ascii();
    if version.is_empty() || version.len() > 4 || !version.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(Fault::new(start, "the version of CEF and `|`"));
    }
    event.plain("cefVersion", version);
    start = end;
    for (index, key) in HEADER.into_iter().enumerate() {
        if bytes.get(start) != Some(&b'|') {
            return Err(Fault::new(start, "`|` and all seven fields of a CEF header"));
        }
        let end = header_end(bytes, start + 1);
        let raw = &text[start + 1..end];
        // The last field may end the record: an event without extension.
        let raw = if index == HEADER.len() - 1 { raw.trim_ascii() } else { raw };
        if memchr::memchr(b'\\', raw.as_bytes()).is_some() {
            event.field_with(key, |out| unescape(raw, out, false));
        } else {
            event.field(key, raw);
        }
        start = end;
    }
    if bytes.get(start) == Some(&b'|') {
        extension(text, start + 1, event);
    }
    labels(event);
    Ok(())
}

/// Whether the `CEF:` at `at` begins a record, and is no mere mention.
#[must_use]
pub fn is_header(text: &str, at: usize) -> bool {
    matches!(text.as_bytes()[at..], [b'C', b'E', b'F', b':', b'0'..=b'1', b'|', ..])
}

/// The next `|` that is not escaped, or the end.
fn header_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'|', b'\\', rest)) {
        at += found;
        if bytes[at] == b'|' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

/// Reads the extension that begins at `at`. A value runs to the last space before the next key, so it may hold spaces,
/// and an equals sign that no key stands before.
pub fn extension(text: &str, at: usize, event: &mut Draft<'_>) {
    let bytes = text.as_bytes();
    let mut pair: Option<(&str, usize)> = None;
    let mut escaped = false;
    let mut scan = at;
    // Where the run of key characters before an equals sign may begin at the earliest: no byte is walked twice.
    let mut floor = at;
    while let Some(found) = memchr::memchr2(b'=', b'\\', &bytes[scan..]) {
        let found = scan + found;
        if bytes[found] == b'\\' {
            escaped = true;
            scan = (found + 2).min(bytes.len());
            floor = floor.max(scan);
            continue;
        }
        scan = found + 1;
        let run = bytes[floor..found].iter().rev().take_while(|byte| is_key(**byte)).count();
        floor = scan;
        let key = found - run;
        if run == 0 || key > at && !bytes[key - 1].is_ascii_whitespace() {
            continue;
        }
        if let Some((name, start)) = pair {
            put(event, name, text[start..key].trim_ascii(), escaped);
        }
        pair = Some((&text[key..found], found + 1));
        escaped = false;
    }
    if let Some((name, start)) = pair {
        put(event, name, text[start..].trim_ascii(), escaped);
    } else if !text[at..].trim_ascii().is_empty() {
        event.field("message", text[at..].trim_ascii());
    }
}

fn put(event: &mut Draft<'_>, key: &str, raw: &str, escaped: bool) {
    if escaped {
        event.field_with(key, |out| unescape(raw, out, true));
    } else {
        event.field(key, raw);
    }
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']')
}

/// Whether a value was written without escaping its backslashes, as many products write Windows paths: it begins with a
/// drive, or has a backslash that begins no escape.
fn is_raw(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    if let [drive, b':', b'\\', after, ..] = bytes
        && drive.is_ascii_alphabetic()
        && *after != b'\\'
    {
        return true;
    }
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        match bytes.get(at + found + 1) {
            Some(b'\\' | b'|' | b'=' | b'n' | b'r') => at += found + 2,
            Some(_) => return true,
            None => return false,
        }
    }
    false
}

/// Appends `raw` without its escapes. Line breaks are escaped in the extension only, and not where the value [`is_raw`]:
/// `C:\new\regedit.exe` has none. A backslash before anything else stands for itself.
fn unescape(raw: &str, out: &mut Utf8, extension: bool) {
    let breaks = extension && !is_raw(raw);
    let bytes = raw.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        let escape = at + found;
        let char = match bytes.get(escape + 1) {
            Some(&byte @ (b'\\' | b'|' | b'=')) => byte as char,
            Some(b'n') if breaks => '\n',
            Some(b'r') if breaks => '\r',
            _ => {
                at = escape + 1;
                continue;
            }
        };
        out.push_str(&raw[from..escape]);
        out.push(char);
        at = escape + 2;
        from = at;
    }
    out.push_str(&raw[from..]);
}

/// Adds a field under the name that a label gives to a custom one: `cs1Label=Rule cs1=12` also gives `Rule=12`.
fn labels(event: &mut Draft<'_>) {
    let mut name = String::new();
    for index in 0..event.len() {
        let (key, label) = event.at(index);
        let Some(of) = key.strip_suffix("Label") else { continue };
        if label.is_empty() || label.len() > 128 {
            continue;
        }
        if let Some(value) = event.index(of)
            && !event.at(value).1.is_empty()
        {
            name.clear();
            name.push_str(label);
            event.again(&name, value);
        }
    }
}

/// What a CEF record means.
pub fn meaning(
    event: &mut Draft<'_>,
    about: &About<'_>,
    category: aurora_guest::Category,
    words: &mut Words,
) -> Meaning {
    let severity = severity::cef(event.get("severity").unwrap_or_default());
    event.keep_severity("severity");
    let name = event.first(&["name", "msg", "message", "deviceEventClassId"]).unwrap_or("Unknown Event");
    words.title.push_str(title::line(name));
    match event.get("msg") {
        Some(message) => words.description.push_str(title::paragraph(message)),
        None => {
            let product =
                (event.get("deviceVendor").unwrap_or_default(), event.get("deviceProduct").unwrap_or_default());
            for part in [product.0, " ", product.1, ": ", title::line(name), " "] {
                words.description.push_str(part);
            }
            let from = event.first(&["src", "shost", "suser"]).map(|end| (end, event.get("spt")));
            let to = event.first(&["dst", "dhost", "duser"]).map(|end| (end, event.get("dpt")));
            title::endpoints(&mut words.description, from, to);
            words.description.truncate(words.description.as_str().trim_end().len());
        }
    }
    let times = ["rt", "end", "start", "deviceReceiptTime", "art"].into_iter().map(|key| event.get(key));
    Meaning { kind: Kind::Alert, severity, category, timestamp_ms: about.time(times), device: None }
}
