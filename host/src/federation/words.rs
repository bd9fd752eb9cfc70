//! Words of a running text, and what stands in them.

use std::{net::Ipv6Addr, ops::Range};

use super::networks::v6;

/// Groups of digits that are looked at. An object identifier has more.
pub(super) const MOST_GROUPS: usize = 16;

/// Longest address of IPv6 with an IPv4 one at its end, and something before it.
const LONGEST_V6: usize = 80;

/// What bytes are in running text, one bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signs(u8);

impl Signs {
    const WORD: u8 = 1;
    const TELLING: u8 = 1 << 1;
    const ODD: u8 = 1 << 2;
    const DOT: u8 = 1 << 3;
    const DASH: u8 = 1 << 4;

    /// Every event that leaves is looked at byte by byte, several times over: a look into a table is what that may cost.
    const TABLE: [Self; 256] = {
        let mut table = [Self(0); 256];
        let mut byte = 0_u8;
        loop {
            let is_word = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'@');
            let is_telling = matches!(byte, b'.' | b':' | b'@' | 0xe3 | 0xef);
            let is_odd =
                matches!(byte, b'\\' | b'%' | b'[' | b'(' | b'{' | b'#' | b'&' | b'=' | b',') || !byte.is_ascii();
            table[byte as usize] = Self(
                (if is_word || !byte.is_ascii() { Self::WORD } else { 0 })
                    | (if is_telling { Self::TELLING } else { 0 })
                    | (if is_odd { Self::ODD } else { 0 })
                    | (if byte == b'.' { Self::DOT } else { 0 })
                    | (if byte == b'-' { Self::DASH } else { 0 }),
            );
            if byte == u8::MAX {
                break table;
            }
            byte += 1;
        }
    };

    pub const NONE: Self = Self(0);

    pub fn of(byte: u8) -> Self {
        Self::TABLE[byte as usize]
    }

    /// All that there are in `text`.
    pub fn in_text(text: &str) -> Self {
        text.bytes().fold(Self::NONE, |all, byte| all.and(Self::of(byte)))
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What an address, a name or a mail address is written with.
    pub fn is_word(self) -> bool {
        self.0 & Self::WORD != 0
    }

    /// Without one of these a word is a mere word: dots, colons, `@`, and what begins the full stops of other scripts that
    /// are dots in names.
    pub fn is_telling(self) -> bool {
        self.0 & Self::TELLING != 0
    }

    /// What may be written otherwise than it reads. Two dots one behind the other may, too.
    pub fn is_odd(self) -> bool {
        self.0 & Self::ODD != 0
    }

    /// Some write addresses with it, as labels of names: `ip-10-0-0-7`.
    pub fn is_dash(self) -> bool {
        self.0 & Self::DASH != 0
    }

    pub fn is_dot(self) -> bool {
        self.0 & Self::DOT != 0
    }
}

/// A word of a text, with what was seen on the way through it.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub range: Range<usize>,
    pub signs: Signs,
    pub dots: usize,
    pub colons: usize,
    pub dashes: usize,
}

impl Word {
    /// Whether it can have an IPv6 address in it: that has eight groups, or six before an IPv4 address, or leaves some out.
    /// A time of day has two colons.
    pub fn may_hold_v6(&self, text: &str) -> bool {
        self.colons > 5 || self.colons > 1 && text[self.range.clone()].contains("::")
    }
}

/// Parts of `within` all of whose bytes are `of` one sort. ASCII or not, they end between characters.
pub(super) fn runs(text: &str, within: Range<usize>, of: impl Fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = within.start;
    std::iter::from_fn(move || {
        while at < within.end && !of(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < within.end && of(bytes[at]) {
            at += 1;
        }
        (start < at).then_some(start..at)
    })
}

pub(super) fn trimmed(text: &str, mut range: Range<usize>, of: impl Fn(u8) -> bool) -> Range<usize> {
    let bytes = text.as_bytes();
    while range.start < range.end && of(bytes[range.start]) {
        range.start += 1;
    }
    while range.start < range.end && of(bytes[range.end - 1]) {
        range.end -= 1;
    }
    range
}

/// Whether what touches a run of digits that does not stand alone makes a version of it: `v10.0.0.1`, `rev10.0.0.1`.
pub(super) fn is_version(text: &str, run: &Range<usize>) -> bool {
    const WORDS: [&str; 8] = ["v", "ver", "version", "r", "rev", "rel", "release", "build"];
    let before = &text.as_bytes()[..run.start];
    let letters = before.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let word = &before[run.start - letters..];
    WORDS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word))
}

/// Whether neither a letter nor a digit touches it.
pub(super) fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let before = range.start.checked_sub(1).map(|before| bytes[before]);
    let after = bytes.get(range.end).copied();
    ![before, after].into_iter().flatten().any(|byte| byte.is_ascii_alphanumeric())
}

/// The address in a run of hexadecimal digits, colons and dots; `src:fe80::1:` has one, too.
pub(super) fn v6_in(text: &str, run: Range<usize>) -> Option<(Range<usize>, Ipv6Addr)> {
    let mut run = trimmed(text, run, |byte| byte == b'.');
    if run.len() > LONGEST_V6 {
        return None;
    }
    let bytes = text.as_bytes();
    let ends_in_one = |range: &Range<usize>| text[range.clone()].ends_with(':') && !text[range.clone()].ends_with("::");
    if ends_in_one(&run) {
        run.end -= 1;
    }
    let touched = run.start.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric());
    // Behind each single colon a new one may begin, if what is before it is no part of an address.
    let behind_colons =
        run.clone().filter(|&at| bytes[at] == b':' && bytes.get(at + 1) != Some(&b':')).map(|at| at + 1);
    let starts = (!touched).then_some(run.start).into_iter().chain(behind_colons);
    // tcpdump writes the port behind a dot.
    let port = text[run.clone()].rfind('.').map(|dot| run.start + dot);
    let port = port.filter(|&dot| bytes[dot + 1..run.end].iter().all(u8::is_ascii_digit));
    starts.map(|start| start..run.end).find_map(|range| {
        let bare = || port.filter(|&dot| dot > range.start).and_then(|dot| v6(&text[range.start..dot]));
        v6(&text[range.clone()]).or_else(bare).map(|address| (range, address))
    })
}
