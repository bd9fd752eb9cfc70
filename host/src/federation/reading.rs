//! What a text says to whoever reads it: escapes undone, what was defanged mended, digits of other widths as the usual
//! ones. An address is the same address in `10[.]0[.]0[.]7`, `%31%30.0.0.7` and `\n10.0.0.7`.

use std::ops::Range;

use super::words::Signs;

/// Escapes within escapes that are undone: JSON in JSON, a URL in a URL.
const DEPTH: usize = 3;

/// A text as it reads, and where each byte of that stands in the text itself.
#[derive(Debug)]
pub(super) struct Reading {
    pub text: String,
    /// Where each byte begins, and the end.
    begins: Vec<usize>,
    /// Where each byte ends.
    ends: Vec<usize>,
}

impl Reading {
    /// Of `text`; none where it reads as it stands.
    pub fn of(text: &str) -> Option<Self> {
        // Most texts have nothing of the kind, whatever brackets they have, and each event that leaves is read.
        if !differs(text) {
            return None;
        }
        let mut reading = Self { text: String::with_capacity(text.len()), begins: Vec::new(), ends: Vec::new() };
        let mut at = 0;
        while let Some(first) = text[at..].chars().next() {
            let (read, length) = meant(&text[at..], first).unwrap_or((Some(first), first.len_utf8()));
            if let Some(read) = read {
                reading.text.push(read);
                reading.begins.resize(reading.text.len(), at);
                reading.ends.resize(reading.text.len(), at + length);
            }
            at += length;
        }
        Some(reading)
    }

    /// Of `text` in lower case, character by character.
    pub fn lower(text: &str) -> Self {
        let mut reading = Self { text: String::with_capacity(text.len()), begins: Vec::new(), ends: Vec::new() };
        for (at, upper) in text.char_indices() {
            reading.text.extend(upper.to_lowercase());
            reading.begins.resize(reading.text.len(), at);
            reading.ends.resize(reading.text.len(), at + upper.len_utf8());
        }
        reading
    }

    /// Where `range` of what is read stands in the text itself.
    pub fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.begins[range.start]..self.ends[range.end - 1]
    }
}

/// Has `look` see each of the readings of `text`, escapes within escapes, and what tells where a part of it stands in the
/// text itself.
pub(super) fn each(text: &str, mut look: impl FnMut(&str, &dyn Fn(Range<usize>) -> Range<usize>)) {
    let mut readings: Vec<Reading> = Vec::new();
    while readings.len() < DEPTH
        && let Some(reading) = Reading::of(readings.last().map_or(text, |last| &last.text))
    {
        readings.push(reading);
        let place = |range: Range<usize>| readings.iter().rev().fold(range, |range, reading| reading.place(&range));
        look(&readings[readings.len() - 1].text, &place);
    }
}

/// Whether there is anything in it that is written otherwise than it reads.
fn differs(text: &str) -> bool {
    let bytes = text.as_bytes();
    let may = |at: &usize| Signs::of(bytes[*at]).is_odd() || bytes[*at] == b'.' && bytes.get(at + 1) == Some(&b'.');
    let mut begins = (0..bytes.len()).filter(may).filter(|&at| text.is_char_boundary(at));
    begins.any(|at| text[at..].chars().next().is_some_and(|first| meant(&text[at..], first).is_some()))
}

/// What the beginning of `text`, whose first character is `first`, means if that is not what it is; none within: nothing at
/// all. With the bytes that it takes.
fn meant(text: &str, first: char) -> Option<(Option<char>, usize)> {
    match first {
        '\\' => escape(text),
        '%' => {
            let byte = hex(text.get(1..3)?)?;
            (byte.is_ascii() && !byte.is_ascii_control()).then_some((Some(byte), 3))
        }
        '[' | '(' | '{' => mended(text),
        // An ellipsis is no part of a name.
        '.' => {
            let dots = text.bytes().take_while(|byte| *byte == b'.').count();
            (dots > 1).then_some((Some(' '), dots))
        }
        // Of full width.
        '\u{ff01}'..='\u{ff5e}' => Some((char::from_u32(first as u32 - 0xfee0), first.len_utf8())),
        '\u{3002}' | '\u{ff61}' => Some((Some('.'), first.len_utf8())),
        // Nobody sees these.
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => Some((None, first.len_utf8())),
        _ => None,
    }
}

/// As in JSON and C.
fn escape(text: &str) -> Option<(Option<char>, usize)> {
    match text.as_bytes().get(1)? {
        b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'0' => Some((Some(' '), 2)),
        b'"' | b'\'' | b'/' => Some((text[1..].chars().next(), 2)),
        b'\\' => Some((Some('\\'), 2)),
        b'x' => Some((Some(hex(text.get(2..4)?)?), 4)),
        // Half a pair of surrogates stands for nothing that a name is written with.
        b'u' => Some((Some(char::from_u32(number(text.get(2..6)?)?).unwrap_or(' ')), 6)),
        _ => None,
    }
}

/// What somebody has defanged, so that nobody follows it.
fn mended(text: &str) -> Option<(Option<char>, usize)> {
    const ALL: [(&str, char); 6] = [(".", '.'), ("dot", '.'), (":", ':'), ("://", ':'), ("@", '@'), ("at", '@')];
    /// Longest of them with a space on either side, and what closes it.
    const MOST: usize = 6;
    let close = match text.as_bytes()[0] {
        b'[' => b']',
        b'(' => b')',
        _ => b'}',
    };
    // No further: who opens a bracket with each byte is not to have all of the text searched for each.
    let length = text.as_bytes()[1..].iter().take(MOST).position(|byte| *byte == close)?;
    let inner = &text[1..=length];
    let (_, sign) = ALL.into_iter().find(|(written, _)| inner.trim().eq_ignore_ascii_case(written))?;
    Some((Some(sign), inner.len() + 2))
}

fn hex(digits: &str) -> Option<char> {
    number(digits).and_then(char::from_u32)
}

fn number(digits: &str) -> Option<u32> {
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_meant_and_knows_where_it_stands() {
        for (written, read) in [
            (r"a\n10.0.0.7\tb", "a 10.0.0.7 b"),
            (r"b\u00fccher.de", "bücher.de"),
            ("m=joe%40plant.com", "m=joe@plant.com"),
            ("hxxp://plc[.]plant[dot]com", "hxxp://plc.plant.com"),
            ("joe(at)plant{.}com", "joe@plant.com"),
            ("connecting...plc", "connecting plc"),
            ("１０．０。０.7", "10.0.0.7"),
            ("pla\u{200b}nt.com", "plant.com"),
        ] {
            assert_eq!(Reading::of(written).unwrap().text, read, "{written}");
        }
        let written = "at 10[.]0[.]0[.]7, now";
        let reading = Reading::of(written).unwrap();
        assert_eq!(&written[reading.place(&(3..11))], "10[.]0[.]0[.]7");
    }

    #[test]
    fn leaves_alone_what_reads_as_it_stands() {
        for text in ["plain", "50% of it", r"C:\users\a", "[fe80::1]", "(a)", r"\u00g0", "%zz", r"\", "%", "["] {
            assert!(Reading::of(text).is_none(), "{text}");
        }
    }
}
