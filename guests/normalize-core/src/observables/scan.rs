//! The one pass over a text: word by word, with a look at what stands between two words only where it may matter.
//!
//! Linear by construction: whoever is called from here either takes what it read, and the scan goes on behind it, or
//! has read a bounded number of bytes.

use super::class::{AFTER_SPACE, CAPITAL_T, CLASS, DASH, DOT, HIGH, JOINT, NOT_HEX, WORD};
use super::class::{byte, class};
use super::{AllowList, Found};

/// One text under scan.
pub(super) struct Scan<'s> {
    pub(super) text: &'s str,
    pub(super) bytes: &'s [u8],
    pub(super) allow: &'s AllowList,
    pub(super) scratch: &'s mut String,
    pub(super) found: &'s mut Vec<Found>,
    /// Within the tail of a URL, where only whole values, hashes and further URLs count.
    pub(super) inside: bool,
    /// The URL at hand is percent-encoded as a whole.
    pub(super) escaped: bool,
    /// What is known of the text's backslashes, once somebody asked: see `escape`.
    pub(super) escapes: Option<[bool; 2]>,
    /// Where the last word begins that stands behind an escape: what is before it is no part of a word.
    pub(super) begun: usize,
}

impl Scan<'_> {
    /// Scans `from..to`.
    pub(super) fn run(&mut self, from: usize, to: usize) {
        let bytes = &self.bytes[..to];
        let mut at = from;
        // Nothing before this may be taken again.
        let mut floor = from;
        while at < to {
            let mut start = at;
            let mut seen = 0;
            while at < to {
                let class = CLASS[bytes[at] as usize];
                if class & WORD == 0 {
                    break;
                }
                seen |= class;
                at += 1;
            }
            if start > from && bytes[start - 1] == b'\\' && start < at {
                let first = self.behind_escape(start, at);
                if first > start {
                    (start, floor) = (first, first);
                    seen = bytes[start..at].iter().fold(0, |seen, &b| seen | CLASS[b as usize]);
                }
            }
            if at < to
                && CLASS[bytes[at] as usize] & JOINT != 0
                && let Some(end) = self.joint(floor, start, at, to, seen)
            {
                at = end.max(at + 1).min(to);
                floor = at;
                continue;
            }
            // Most words are done with here.
            let length = at - start;
            if seen & (DOT | DASH | CAPITAL_T | HIGH) != 0 || seen & NOT_HEX == 0 && length >= 32 {
                self.word(start, at, to, seen);
            }
            at += 1;
        }
    }

    /// What stands at `at`, behind the word `start..at`. Where it makes more of the word: the end of the whole.
    fn joint(&mut self, floor: usize, start: usize, at: usize, to: usize, seen: u16) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let start = if seen & HIGH == 0 { start } else { self.behind_punctuation(start, at) };
        let word = &bytes[start..at];
        match bytes[at] {
            b' ' => {
                if word.is_empty() || class(bytes, at + 1) & AFTER_SPACE == 0 {
                    return self.spaced_cve(start, at, to);
                }
                if bytes[at + 1] == b':' && self.inside {
                    return None;
                }
                if bytes[at + 1] == b':' {
                    return self.url(start, at, to);
                }
                self.joined(floor, start, at, to)
            }
            b':' => {
                if matches!(byte(bytes, at + 1), b'/' | b'\\' | b'[' | b']')
                    && let Some(end) = self.url(start, at, to)
                {
                    return Some(end);
                }
                // Behind an ellipsis, too.
                let dots = if word.starts_with(b"..") { word.iter().take_while(|&&b| b == b'.').count() } else { 0 };
                if (seen & NOT_HEX == 0 || dots > 0)
                    && word.len() - dots <= 4
                    && let Some(end) = self.v6(start + dots, to)
                {
                    return Some(end);
                }
                if self.inside {
                    return None;
                }
                if matches!(byte(bytes, at + 1), b'\\' | b'/') {
                    return self.windows_path(start, at, to).or_else(|| self.registry(start, at, to));
                }
                if seen & DOT != 0 && byte(bytes, at + 1).is_ascii_digit() {
                    return self.ported(start, at, to);
                }
                None
            }
            b'@' => self.email(floor, start, at, to),
            b'\\' if !self.inside => self
                .registry(start, at, to)
                .or_else(|| self.mutex(start, at, to))
                .or_else(|| self.relative_path(start, at, to))
                .or_else(|| if word.is_empty() { self.unc(at, to) } else { self.joined(floor, start, at, to) }),
            b'/' => {
                if self.inside {
                    return None;
                }
                if word.is_empty() {
                    return self.unix_path(at, to);
                }
                if seen & DOT != 0 {
                    return self.relative_path(start, at, to).or_else(|| self.schemeless(start, at, to));
                }
                if seen & (DOT | HIGH) == 0 && word.len() <= 8 {
                    return self
                        .agent(start, at, to)
                        .or_else(|| if byte(bytes, at + 1) == b'/' { self.url(start, at, to) } else { None });
                }
                None
            }
            b'%' => {
                if byte(bytes, at + 1) == b'3'
                    && let Some(end) = self.url(start, at, to)
                {
                    return Some(end);
                }
                if word.is_empty() {
                    return self.variable_path(at, to);
                }
                // `%2F` is a mark of its own: its digits do not begin the next word.
                if byte(bytes, at + 1).is_ascii_hexdigit() && byte(bytes, at + 2).is_ascii_hexdigit() {
                    self.word(start, at, to, seen);
                    return Some(at + 3);
                }
                None
            }
            b'*' => (word.len() == 1).then(|| self.url(start, at, to)).flatten(),
            b'<' if word.is_empty() => None,
            b'>' | b']' | b')' | b'}' => {
                if word.is_empty() {
                    return None;
                }
                if byte(bytes, at + 1) == b'\\' {
                    return self.registry(start, at, to);
                }
                if byte(bytes, at + 1) == b':' || byte(bytes, at + 1) == b'/' {
                    return self.url(start, at, to);
                }
                self.joined(floor, start, at, to).or_else(|| self.half_bracketed(start, at, to))
            }
            b'[' | b'(' | b'{' | b'<' | b'^' => {
                if word.is_empty() {
                    return None;
                }
                if matches!(byte(bytes, at + 1), b':' | b'/')
                    && let Some(end) = self.url(start, at, to)
                {
                    return Some(end);
                }
                self.joined(floor, start, at, to)
            }
            _ => None,
        }
    }
}
