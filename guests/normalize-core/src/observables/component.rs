//! Where a component of a Windows path ends, and where the path does.
//!
//! It may have spaces in it and nothing marks its end. The rules: within quotation marks it ends with them. A component
//! with spaces counts if a backslash follows and it neither names a program nor has two spaces in a row. The last
//! component ends at the first space, unless a few words on there is a file extension.

use super::class::ALNUM;
use super::class::{byte, class, wide_punctuation};
use super::registry;

/// Longest component, NTFS and ext4 alike.
pub(super) const COMPONENT: usize = 255;
/// How far a quotation mark may be that ends a quoted path.
const QUOTED: usize = 520;
/// How far a last component with spaces may reach, in bytes and words.
const LAST: (usize, usize) = (64, 5);

const PROGRAMS: &[&[u8]] =
    &[b"exe", b"dll", b"bat", b"cmd", b"com", b"ps1", b"vbs", b"js", b"scr", b"sys", b"msi", b"msc"];
const EXTENSIONS: &[&[u8]] = &[
    b"exe", b"dll", b"bat", b"cmd", b"com", b"ps1", b"vbs", b"js", b"scr", b"sys", b"msi", b"msc", b"txt", b"log",
    b"doc", b"docx", b"docm", b"xls", b"xlsx", b"xlsm", b"ppt", b"pptx", b"pdf", b"zip", b"rar", b"7z", b"lnk", b"hta",
    b"jar", b"tmp", b"dat", b"ini", b"xml", b"json", b"html", b"htm", b"iso", b"img", b"vhd", b"rtf", b"csv", b"jse",
    b"wsf", b"cpl", b"ocx", b"drv", b"cab", b"appex", b"app", b"plist", b"dylib", b"db", b"py", b"php", b"aspx",
    b"jsp", b"evtx",
];

pub(super) fn quoted_end(bytes: &[u8], at: usize, quote: u8) -> Option<usize> {
    let limit = bytes.len().min(at + QUOTED);
    for (index, &b) in bytes[at..limit].iter().enumerate() {
        match b {
            _ if b == quote => {
                // A backslash before it escapes the mark and is no part of the path.
                return Some(at + index - usize::from(bytes[at + index - 1] == b'\\' && index > 1));
            }
            b'\n' | b'\r' | b':' | b'"' | b'<' | b'>' | b'|' | b'*' => return None,
            b'/' if matches!(byte(bytes, (at + index).wrapping_sub(1)), b' ') => return None,
            _ => {}
        }
    }
    None
}

/// End of the path whose first separator is at `at`.
pub(super) fn components_end(bytes: &[u8], mut at: usize, separator: u8) -> usize {
    loop {
        // Escaped texts double the backslash.
        let mut first = at;
        while byte(bytes, first) == separator && first < at + 2 {
            first += 1;
        }
        match component_end(bytes, first, separator) {
            Some(end) => at = end,
            None => {
                let end = last_component_end(bytes, first);
                return if end > first { end } else { at };
            }
        }
    }
}

/// Where the component at `first` meets its separator.
pub(super) fn component_end(bytes: &[u8], first: usize, separator: u8) -> Option<usize> {
    let limit = bytes.len().min(first + COMPONENT);
    let mut at = first;
    let mut word = first;
    while at < limit {
        let b = bytes[at];
        match b {
            _ if b == separator => {
                let another = bytes[..at].ends_with(b" ") && byte(bytes, at + 1) == separator;
                return (at > first && !another).then_some(at);
            }
            b' ' => {
                if byte(bytes, at + 1) == b' ' || at == first || has_extension(&bytes[word..at], PROGRAMS) {
                    return None;
                }
                word = at + 1;
                if registry::begins(bytes, word) || matches!(byte(bytes, word), b'-' | b'/' | b'.') {
                    return None;
                }
            }
            // A placeholder, `<username>`.
            b'<' => {
                let close = bytes[at..limit].iter().position(|&b| b == b'>' || b == separator)?;
                if bytes[at + close] != b'>' {
                    return None;
                }
                at += close;
            }
            0..0x20 | b':' | b'/' | b'"' | b'>' | b'|' | b'\\' => return None,
            b'*' | b'?' if word > first => return None,
            0x80.. if wide_punctuation(bytes, at).is_some() => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where a last component at `first` ends.
fn last_component_end(bytes: &[u8], first: usize) -> usize {
    let mut end = word_of_path(bytes, first);
    if end == first {
        return first;
    }
    if !has_any_extension(&bytes[first..end]) {
        let (mut words, mut at) = (1, end);
        while words < LAST.1 && byte(bytes, at) == b' ' && class(bytes, at + 1) & ALNUM != 0 && at < first + LAST.0 {
            let word = at + 1;
            at = word_of_path(bytes, word);
            words += 1;
            if at == word || byte(bytes, at) == b'\\' || byte(bytes, at) == b':' {
                break;
            }
            if has_extension(trim(&bytes[word..at]), EXTENSIONS) {
                end = at;
                break;
            }
        }
    }
    first + trim(&bytes[first..end]).len()
}

/// End of the run of bytes at `at` that file names have and that no sentence puts behind them.
fn word_of_path(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    let mut round = 0u32;
    while end < bytes.len() && end < at + COMPONENT {
        match bytes[end] {
            b'<' => match bytes[end..].iter().take(COMPONENT).position(|&b| b == b'>') {
                Some(close) => end += close,
                None => break,
            },
            // Sysmon's call traces: `ntdll.dll+9c584`.
            b'+' if has_extension(&bytes[at..end], PROGRAMS) => break,
            b'(' => round += 1,
            b')' if round > 0 => round -= 1,
            0..=0x20 | b'"' | b'\'' | b',' | b';' | b':' | b'>' | b'|' | b'/' | b'\\' | b')' | b'`' => break,
            0x80.. if wide_punctuation(bytes, end).is_some() => break,
            _ => {}
        }
        end += 1;
    }
    while end > at && end < bytes.len() && bytes[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    end
}

fn trim(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|b| !matches!(b, b'.' | b'!' | b']' | b'}')).map_or(0, |last| last + 1);
    // `{GUID}` keeps its brace.
    if kept < text.len() && text[kept] == b'}' && text[..kept].contains(&b'{') {
        &text[..kept + 1]
    } else {
        &text[..kept]
    }
}

fn extension(word: &[u8]) -> Option<&[u8]> {
    let dot = word.iter().rposition(|&b| b == b'.')?;
    Some(&word[dot + 1..])
}

fn has_any_extension(word: &[u8]) -> bool {
    extension(trim(word)).is_some_and(|ext| (1..=5).contains(&ext.len()) && ext.iter().all(u8::is_ascii_alphanumeric))
}

fn has_extension(word: &[u8], known: &[&[u8]]) -> bool {
    extension(word).is_some_and(|ext| known.iter().any(|known| ext.eq_ignore_ascii_case(known)))
}
