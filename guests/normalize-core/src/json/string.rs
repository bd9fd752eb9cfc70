use aurora_guest::Utf8;

use crate::fault::Fault;

/// A string between its quotes.
pub struct Scanned {
    /// Of the closing quote.
    pub end: usize,
    /// Whether it holds a backslash.
    pub escaped: bool,
}

/// Finds the end of the string whose first byte after the quote is at `at`.
pub fn scan(bytes: &[u8], mut at: usize) -> Result<Scanned, Fault> {
    let mut escaped = false;
    loop {
        at = special(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(Scanned { end: at, escaped }),
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(_) => return Err(Fault::new(at, "no control character within a string")),
            None => return Err(Fault::new(bytes.len(), "`\"`")),
        }
    }
}

/// The first quote, backslash or control character at or after `at`; eight bytes at a time.
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        // Each term has a byte's high bit where the byte is below 0x20, is `"`, is `\`. A borrow can only set a bit
        // above a true one, and only the lowest is used.
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let control = word.wrapping_sub(ONES * 0x20);
        let hits =
            (control & !word | quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash) & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// Checks the escapes of a string that begins at `offset` of the payload.
pub fn check(raw: &[u8], offset: usize) -> Result<(), Fault> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &raw[at..]) {
        at += found + 1;
        match raw.get(at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 1,
            Some(b'u') if unit(raw, at + 1).is_some() => at += 5,
            _ => return Err(Fault::new(offset + at, "an escape of JSON")),
        }
    }
    Ok(())
}

/// Appends a checked string without its escapes. Half a surrogate pair is no character and stays as it is written.
pub fn unescape(raw: &str, out: &mut Utf8) {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        out.push_str(&raw[at..at + found]);
        let escape = at + found;
        at = escape + 2;
        match bytes[escape + 1] {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let first = unit(bytes, at).unwrap_or_default();
                at += 4;
                if let Some(char) = char::from_u32(first) {
                    out.push(char);
                    continue;
                }
                let second = match bytes.get(at..at + 2) {
                    Some(b"\\u") if first < 0xDC00 => {
                        unit(bytes, at + 2).filter(|unit| (0xDC00..0xE000).contains(unit))
                    }
                    _ => None,
                };
                match second.and_then(|low| char::from_u32(0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00))) {
                    Some(char) => {
                        out.push(char);
                        at += 6;
                    }
                    None => out.push_str(&raw[escape..at]),
                }
            }
            itself => out.push(itself as char),
        }
    }
    out.push_str(&raw[at..]);
}

/// Four hexadecimal digits.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |sum, &byte| Some(sum << 4 | (byte as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &str) -> String {
        check(raw.as_bytes(), 0).expect("escapes of JSON");
        let mut out = Utf8::default();
        unescape(raw, &mut out);
        out.as_str().to_owned()
    }

    #[test]
    fn decodes_every_escape() {
        assert_eq!(text(r#"\"\\\/\b\f\n\r\tA\u00e9\ud83d\ude00é"#), "\"\\/\u{8}\u{c}\n\r\tAé😀é");
    }

    #[test]
    fn keeps_half_a_surrogate_pair_as_written() {
        assert_eq!(text(r"a\ud800b"), r"a\ud800b");
        assert_eq!(text(r"\udc00\ud83d\u0041"), r"\udc00\ud83dA");
    }

    #[test]
    fn finds_the_end_wherever_it_stands() {
        for length in 0..40 {
            let bytes = format!("{}\"tail \\ ", "x".repeat(length));
            assert_eq!(scan(bytes.as_bytes(), 0).map(|s| s.end), Ok(length));
        }
        assert_eq!(scan(b"ab\\\"c\"", 0).map(|s| (s.end, s.escaped)), Ok((5, true)));
        assert_eq!(scan("é\u{7f}\u{80}\"".as_bytes(), 0).map(|s| s.end), Ok(5));
        assert!(scan(b"abcdefgh\x01\"", 0).is_err());
    }
}
