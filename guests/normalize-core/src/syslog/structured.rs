//! Structured data of RFC 5424: `[id key="value" key="value"][id …]`.

use aurora_guest::Utf8;

use crate::draft::Draft;

/// Where the elements that begin `text` end; nothing if they are not well formed, and then they are message text.
pub fn end(text: &str) -> Option<usize> {
    let mut at = 0;
    while text.as_bytes().get(at) == Some(&b'[') {
        at = element(text, at, &mut |_, _, _| {})?;
    }
    // After the elements comes a space or the end, except from senders that put the message right behind.
    Some(at)
}

/// Writes the parameters of checked elements as `<id>.<key>`.
pub fn write(text: &str, event: &mut Draft<'_>) {
    let mut at = 0;
    let mut name = String::new();
    while let Some(next) = element(text, at, &mut |id, key, value| {
        name.clear();
        name.push_str(id);
        name.push('.');
        name.push_str(key);
        event.field_with(&name, |out| unescape(value, out));
    }) {
        at = next;
    }
}

/// Reads the element at `at`, giving each parameter to `take`, and answers where it ends.
fn element<'t>(text: &'t str, at: usize, take: &mut impl FnMut(&'t str, &'t str, &'t str)) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut end = at + 1;
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    let id = word(text, end)?;
    end += id.len();
    loop {
        let spaces = bytes[end..].iter().take_while(|&&byte| byte == b' ').count();
        end += spaces;
        if bytes.get(end) == Some(&b']') {
            return Some(end + 1);
        }
        if spaces == 0 {
            return None;
        }
        let key = word(text, end)?;
        end += key.len();
        if bytes.get(end) != Some(&b'=') {
            return None;
        }
        // Not of the RFC, but written: `key= "value"`.
        end += 1 + bytes[end + 1..].iter().take_while(|&&byte| byte == b' ').count();
        if bytes.get(end) != Some(&b'"') {
            return None;
        }
        let start = end + 1;
        end = start;
        loop {
            end += memchr::memchr2(b'"', b'\\', bytes.get(end..)?)?;
            if bytes[end] == b'"' {
                break;
            }
            end += 2;
        }
        take(id, key, &text[start..end]);
        end += 1;
    }
}

/// An SD-NAME: printable, without `=`, space, `]` and `"`.
fn word(text: &str, at: usize) -> Option<&str> {
    let rest = &text[at..];
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | ']' | '"' | '[')).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// Only `"`, `\` and `]` are escaped; a backslash before anything else stands for itself.
fn unescape(raw: &str, out: &mut Utf8) {
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &raw.as_bytes()[at..]) {
        let escape = at + found;
        at = escape + 1;
        if matches!(raw.as_bytes().get(at), Some(b'"' | b'\\' | b']')) {
            out.push_str(&raw[from..escape]);
            from = at;
            at += 1;
        }
    }
    out.push_str(&raw[from..]);
}
