//! Escapes that were left in a text: JSON in JSON, a line of a C program. In `see:\nplant.com` nobody has named
//! `nplant.com`.
//!
//! A backslash and an `n` are also what a path, an account or a share has (`CORP\nina`), so a text is believed to be
//! escaped only if no backslash in it stands before a letter that makes no escape.

use super::class::{ALNUM, HIGH};
use super::class::{byte, class};
use super::scan::Scan;

/// What the letters behind a backslash stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Escape {
    /// How many letters it has.
    length: usize,
    /// Whether it is a letter or digit, so that what stands behind goes on with it.
    is_of_word: bool,
}

/// The escape whose letters begin at `at`. Signs that stand for themselves behind a backslash are none: no word begins
/// with one.
fn escape(bytes: &[u8], at: usize) -> Option<Escape> {
    let length = match byte(bytes, at) {
        b'n' | b'r' | b't' => return Some(Escape { length: 1, is_of_word: false }),
        b'u' => 5,
        b'x' => 3,
        _ => return None,
    };
    let digits = bytes.get(at + 1..at + length)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let code = u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    // Half a pair of surrogates is of a sign that no name has.
    let sign = char::from_u32(code).unwrap_or(' ');
    Some(Escape { length, is_of_word: sign.is_alphanumeric() || matches!(sign, '.' | '-' | '_') })
}

/// Of runs of an even number of backslashes, and of an odd one: whether none stands before a letter or digit that makes no
/// escape. An even run is one where what was escaped is escaped again.
fn all_escape(bytes: &[u8]) -> [bool; 2] {
    let (mut all, mut at) = ([true; 2], 0);
    while at < bytes.len() {
        let first = at;
        while byte(bytes, at) == b'\\' {
            at += 1;
        }
        let length = at - first;
        if length > 0 && class(bytes, at) & (ALNUM | HIGH) != 0 && escape(bytes, at).is_none() {
            all[length % 2] = false;
        }
        at += 1;
    }
    all
}

impl Scan<'_> {
    /// Where the word `start..at`, which stands behind a backslash, begins if that makes an escape of its first letters;
    /// `at`, if they are letters of it that are not read here.
    pub(super) fn behind_escape(&mut self, start: usize, at: usize) -> usize {
        let Some(escape) = escape(&self.bytes[..at], start) else { return start };
        let length = self.bytes[..start].iter().rev().take_while(|&&b| b == b'\\').count();
        // The host of a share.
        if matches!(length, 2 | 4) && self.at_boundary(start - length) {
            return start;
        }
        let bytes = self.bytes;
        if !self.escapes.get_or_insert_with(|| all_escape(bytes))[length % 2] {
            return start;
        }
        self.begun = if escape.is_of_word { at } else { start + escape.length };
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_backslash_makes_of_letters() {
        for (text, want) in [
            ("nplant", Some((1, false))),
            ("t", Some((1, false))),
            ("u0022x", Some((5, false))),
            ("u00e9", Some((5, true))),
            ("ud83d", Some((5, false))),
            ("x0a", Some((3, false))),
            ("x41", Some((3, true))),
            ("u00g0", None),
            ("u002", None),
            ("x+1", None),
            ("users", None),
            ("evil", None),
            ("\"", None),
            ("", None),
        ] {
            let found = escape(text.as_bytes(), 0).map(|escape| (escape.length, escape.is_of_word));
            assert_eq!(found, want, "{text:?}");
        }
    }

    #[test]
    fn one_backslash_before_another_letter_makes_all_of_its_sort_plain() {
        for (text, want) in [
            ("", [true, true]),
            (r#"a\nb\t\"c\/"#, [true, true]),
            (r"CORP\nina in C:\t", [true, true]),
            (r"CORP\nina in C:\y", [true, false]),
            (r"a\\nb\nc", [true, true]),
            (r"C:\\Users\nc", [false, true]),
            (r"a\é", [true, false]),
            (r"a\", [true, true]),
        ] {
            assert_eq!(all_escape(text.as_bytes()), want, "{text}");
        }
    }
}
