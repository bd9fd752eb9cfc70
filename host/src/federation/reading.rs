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
        '%' => percent(text),
        '[' if text[1..].starts_with('.') && text.as_bytes().get(2).is_some_and(u8::is_ascii_alphanumeric) => {
            Some((Some('.'), 2))
        }
        '[' | '(' | '{' => mended(text),
        // Control characters as rsyslog writes them.
        '#' => octal(text.get(1..4)?).filter(char::is_ascii_control).map(|_| (Some(' '), 4)),
        '&' => reference(text),
        // Quoted-printable; what else follows an equals sign is most often a value.
        '=' => match text.as_bytes().get(1..3)? {
            b"2E" | b"2e" => Some((Some('.'), 3)),
            b"3A" | b"3a" => Some((Some(':'), 3)),
            b"40" => Some((Some('@'), 3)),
            _ => None,
        },
        // Labels of a name in a directory: `DC=plant,DC=com`.
        ',' => {
            let spaces = usize::from(text.as_bytes().get(1) == Some(&b' '));
            let is_label = text.as_bytes().get(1 + spaces..4 + spaces)?.eq_ignore_ascii_case(b"dc=");
            is_label.then_some((Some('.'), 4 + spaces))
        }
        // An ellipsis is no part of a name.
        '.' => {
            let dots = text.bytes().take_while(|byte| *byte == b'.').count();
            (dots > 1).then_some((Some(' '), dots))
        }
        // Of full width.
        '\u{ff01}'..='\u{ff5e}' => Some((char::from_u32(first as u32 - 0xfee0), first.len_utf8())),
        '\u{3002}' | '\u{ff61}' | '\u{2024}' => Some((Some('.'), first.len_utf8())),
        // Nobody sees these.
        '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => {
            Some((None, first.len_utf8()))
        }
        '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => {
            Some((None, first.len_utf8()))
        }
        _ if first.is_ascii() => None,
        _ => dressed(first).map(|read| (Some(read), first.len_utf8())),
    }
}

/// A letter or a digit in another dress: of mathematics, raised, lowered, in a circle, or of Arabic script.
fn dressed(sign: char) -> Option<char> {
    let code = sign as u32;
    let digit = match sign {
        '\u{b2}' | '\u{b3}' => code - 0xb0,
        '\u{b9}' => 1,
        '\u{660}'..='\u{669}' => code - 0x660,
        '\u{6f0}'..='\u{6f9}' => code - 0x6f0,
        '\u{2070}' | '\u{24ea}' => 0,
        '\u{2074}'..='\u{2079}' => code - 0x2070,
        '\u{2080}'..='\u{2089}' => code - 0x2080,
        '\u{2460}'..='\u{2468}' => code - 0x245f,
        '\u{1d7ce}'..='\u{1d7ff}' => (code - 0x1d7ce) % 10,
        // Thirteen alphabets, each of capital and small letters.
        '\u{1d400}'..='\u{1d6a3}' => {
            let place = (code - 0x1d400) % 52;
            return char::from_u32(if place < 26 { 0x41 + place } else { 0x61 + place - 26 });
        }
        _ => return None,
    };
    char::from_digit(digit, 10)
}

/// As in URLs, one character with all of its bytes; `%u002E` is how some servers write it.
fn percent(text: &str) -> Option<(Option<char>, usize)> {
    if let Some(digits) = text.get(1..6).and_then(|rest| rest.strip_prefix(['u', 'U'])) {
        return Some((Some(hex(digits)?), 6));
    }
    let byte = hex(text.get(1..3)?)?;
    if byte.is_ascii() {
        // What ends a line ends a word.
        return Some((Some(if byte.is_ascii_control() { ' ' } else { byte }), 3));
    }
    let mut bytes = [0; 4];
    for (place, at) in bytes.iter_mut().zip((0_usize..).step_by(3)) {
        let Some(escape) = text.get(at..at + 3).and_then(|escape| escape.strip_prefix('%')) else { break };
        let Some(byte) = number(escape).and_then(|byte| u8::try_from(byte).ok()) else { break };
        *place = byte;
    }
    let length = match bytes[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let read = std::str::from_utf8(&bytes[..length]).ok()?.chars().next()?;
    Some((Some(read), 3 * length))
}

/// As in HTML, by number.
fn reference(text: &str) -> Option<(Option<char>, usize)> {
    /// Most digits.
    const MOST: usize = 8;
    let digits = text.strip_prefix("&#")?;
    let (digits, before, radix) = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 3, 16),
        None => (digits, 2, 10),
    };
    let length = digits.bytes().take(MOST).take_while(|byte| char::from(*byte).is_digit(radix)).count();
    if length == 0 || digits.as_bytes().get(length) != Some(&b';') {
        return None;
    }
    let read = u32::from_str_radix(&digits[..length], radix).ok().and_then(char::from_u32)?;
    Some((Some(read), before + length + 1))
}

/// As in JSON, C and regular expressions.
fn escape(text: &str) -> Option<(Option<char>, usize)> {
    if let Some(read) = text.get(1..4).and_then(octal) {
        return Some((Some(if read.is_ascii_control() { ' ' } else { read }), 4));
    }
    match text.as_bytes().get(1)? {
        b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'0' => Some((Some(' '), 2)),
        b'"' | b'\'' | b'/' | b'.' | b'-' | b'@' => Some((text[1..].chars().next(), 2)),
        b'\\' => Some((Some('\\'), 2)),
        b'x' => Some((Some(hex(text.get(2..4)?)?), 4)),
        b'u' if text[2..].starts_with('{') => {
            let length = text.as_bytes()[3..].iter().take(7).position(|byte| *byte == b'}')?;
            Some((Some(hex(&text[3..3 + length])?), length + 4))
        }
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

/// Three octal digits of a character of ASCII.
fn octal(digits: &str) -> Option<char> {
    let all = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let byte = all.then(|| u8::from_str_radix(digits, 8).ok()).flatten()?;
    byte.is_ascii().then_some(char::from(byte))
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
            (r"hmi\.plant\.com", "hmi.plant.com"),
            ("a%0A10.0.0.7%0d%0Aplant.com", "a 10.0.0.7  plant.com"),
            ("b%C3%BCcher.de", "bücher.de"),
            ("%u0031%u0030%u002E7", "10.7"),
            ("rsyslog#01210.0.0.7", "rsyslog 10.0.0.7"),
            ("10&#46;0&#x2E;0", "10.0.0"),
            ("hmi=2Eplant=2Ecom, joe=40plant", "hmi.plant.com, joe@plant"),
            ("DC=hmi,DC=plant, dc=com", "DC=hmi.plant.com"),
            ("10[.0[.0[.7", "10.0.0.7"),
            ("𝟏𝟎.𝟎.𝟎.𝟕 ¹⁰.⁰ ①⓪ ١٠ 𝐩𝐋𝐜", "10.0.0.7 10.0 10 10 pLc"),
            (r"\u{31}\u{30}.7 \061\060.7\01210", "10.7 10.7 10"),
        ] {
            assert_eq!(Reading::of(written).unwrap().text, read, "{written}");
        }
        let written = "at 10[.]0[.]0[.]7, now";
        let reading = Reading::of(written).unwrap();
        assert_eq!(&written[reading.place(&(3..11))], "10[.]0[.]0[.]7");
    }

    #[test]
    fn leaves_alone_what_reads_as_it_stands() {
        for text in [
            "plain",
            "50% of it",
            r"C:\users\a",
            "[fe80::1]",
            "(a)",
            r"\u00g0",
            "%zz",
            r"\",
            "%",
            "[",
            "#ffaa00",
            "issue #7",
            "a&b;&#;",
            "a=45.10, dc",
            "%C3",
            "%ff%fe",
            r"\u{",
            "§",
        ] {
            assert!(Reading::of(text).is_none(), "{text}");
        }
    }
}
