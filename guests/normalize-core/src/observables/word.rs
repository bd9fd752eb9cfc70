//! A whole word with nothing defanged around it: an address, a domain, a hash, a CVE number, or several of them.

use aurora_guest::ObservableType;

use super::class::{ALNUM, CAPITAL_T, CLASS, DASH, DOT, FAR_LETTER, HIGH, NOT_HEX, SMALL, WORD};
use super::class::{byte, class, wide_punctuation, word_end};
use super::name::Name;
use super::scan::Scan;
use super::{address, hash};

impl Scan<'_> {
    /// A whole word, with nothing defanged around it.
    pub(super) fn word(&mut self, start: usize, end: usize, to: usize, seen: u16) {
        if seen & HIGH != 0 {
            return self.wide_word(start, end, to, seen);
        }
        let spelled =
            seen & (CAPITAL_T | SMALL) == CAPITAL_T | SMALL || seen & (DASH | FAR_LETTER | DOT) == DASH | FAR_LETTER;
        if spelled && end - start >= 8 && self.glued(start, end, to) {
            return;
        }
        if seen & DOT != 0 {
            if self.dotted(start, end, to) {
                return;
            }
            if end - start >= 32 {
                self.hashes(start, end);
            }
            if seen & DASH != 0 && end - start >= 14 && self.bytes[start] | 0x20 == b'c' {
                self.cve_before_dot(start, end);
            }
        } else if seen & NOT_HEX == 0 {
            if matches!(end - start, 32 | 40 | 64) {
                self.hash(start, end);
            }
        } else if seen & DASH != 0 {
            if end - start > 32 {
                self.hashes(start, end);
            }
            if end - start >= 13 && self.bytes[start] | 0x20 == b'c' {
                self.push_cve(start, end);
            }
        }
    }

    /// A word with letters beyond ASCII: another script's domain, or an ASCII one between words of a language that
    /// uses no spaces.
    fn wide_word(&mut self, start: usize, end: usize, to: usize, seen: u16) {
        let mut at = start;
        while at < end {
            let piece = word_end(&self.bytes[..end], at);
            if piece > at && (seen & DOT == 0 || !self.dotted(at, piece, to)) {
                self.ascii_pieces(at, piece, to);
            }
            at = piece + wide_punctuation(self.bytes, piece).unwrap_or(1);
        }
    }

    fn ascii_pieces(&mut self, start: usize, end: usize, to: usize) {
        let mut at = start;
        while at < end {
            let piece = at;
            let mut seen = 0;
            while at < end && self.bytes[at] < 0x80 {
                seen |= CLASS[self.bytes[at] as usize];
                at += 1;
            }
            if at > piece {
                self.word(piece, at, to, seen);
            }
            at += 1;
        }
    }

    /// A word with plain dots in it: an IPv4 address or a domain. Whether it was one.
    pub(super) fn dotted(&mut self, start: usize, end: usize, to: usize) -> bool {
        let (start, end) = self.trimmed(start, end);
        let Some(&first) = self.bytes.get(start).filter(|_| start < end) else { return false };
        if first.is_ascii_digit() {
            let last = self.bytes[end - 1];
            if last.is_ascii_digit() {
                return self.numbers(start, end);
            }
        }
        self.domain(start, end, to)
    }

    /// `start..end` without the punctuation around it: dots, hyphens, underscores.
    fn trimmed(&self, mut start: usize, mut end: usize) -> (usize, usize) {
        while start < end && matches!(self.bytes[start], b'.' | b'-') {
            start += 1;
        }
        while start < end && matches!(self.bytes[end - 1], b'.' | b'-' | b'_') {
            end -= 1;
        }
        (start, end)
    }

    /// Digits with dots between them: an address, a range of two, a version, a date.
    fn numbers(&mut self, start: usize, end: usize) -> bool {
        let bytes = self.bytes;
        if let Some(dash) = bytes[start..end].iter().position(|&b| b == b'-') {
            let (left, right) = (start + dash, start + dash + 1);
            if address::v4(&bytes[start..left]).is_some() && address::v4(&bytes[right..end]).is_some() {
                self.v4(start, left);
                self.v4(right, end);
                return true;
            }
            return false;
        }
        // `.1.2.3.4` is the tail of something longer.
        if start > 0 && matches!(bytes[start - 1], b'.' | b'-') && !bytes[..start].ends_with(b"..") {
            return false;
        }
        if end - start > 15 || self.is_version(start, end) {
            return false;
        }
        self.v4(start, end)
    }

    /// Whether the four numbers are a version: `version 1.2.3.4`, `Chrome/109.0.0.0`.
    fn is_version(&self, start: usize, end: usize) -> bool {
        let before = &self.bytes[..start];
        if before.ends_with(b"/") && class(self.bytes, start.wrapping_sub(2)) & ALNUM != 0 {
            return self.bytes[start..end].ends_with(b".0");
        }
        let before = before.strip_suffix(b"\"").unwrap_or(before);
        let before = &before[before.len().saturating_sub(10)..];
        let words: [&[u8]; 6] = [b"version ", b"version: ", b"version=", b"ver. ", b"build ", b"release "];
        words
            .iter()
            .any(|word| before.len() >= word.len() && before[before.len() - word.len()..].eq_ignore_ascii_case(word))
    }

    /// Reports the IPv4 address `start..end`, if it is one.
    pub(super) fn v4(&mut self, start: usize, end: usize) -> bool {
        let Some(address) = address::v4(&self.bytes[start..end]) else { return false };
        let scope = self.v4_scope(address);
        self.push(ObservableType::Ip, scope, start, end);
        true
    }

    /// An IPv6 address that begins at `start`; its end.
    pub(super) fn v6(&mut self, start: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let touched = || class(bytes, start - 1) & ALNUM != 0 || matches!(bytes[start - 1], b':' | b'%');
        if start > 0 && start != self.begun && touched() {
            return None;
        }
        let end = address::v6_extent(bytes, start);
        if class(bytes, end) & WORD != 0 && byte(bytes, end) != b'.'
            || byte(bytes, end) == b':' && byte(bytes, end + 1) == b':'
        {
            return None;
        }
        let text = &bytes[start..end];
        // Times of day are frequent, addresses are not, so the cheap question comes first.
        if !address::v6_is_plain(text) {
            return None;
        }
        let address = address::v6(text)?;
        let scope = self.v6_scope(address);
        self.push(ObservableType::Ip, scope, start, end);
        Some(end)
    }

    /// Reports the domain `start..end`, if it is one.
    pub(super) fn domain(&mut self, start: usize, end: usize, to: usize) -> bool {
        let bytes = &self.bytes[..to];
        let text = &bytes[start..end];
        if text.len() < 4 {
            return false;
        }
        if text.len() > 8 && (text[4] == b'_' || text[5] == b'_') && self.underscored_url(start, to).is_some() {
            return true;
        }
        let Some(name) = Name::read(text).filter(Name::is_domain) else { return false };
        if !name.is_meant(bytes, start, end) {
            return false;
        }
        if self.inside && !self.is_whole_value(start, end, to) {
            return false;
        }
        let scope = self.name_scope(&name, text);
        self.push_lower(ObservableType::Domain, scope, start, end);
        true
    }

    /// Whether `start..end` fills one segment or one parameter of a URL.
    fn is_whole_value(&self, start: usize, end: usize, to: usize) -> bool {
        let after = if end == to { b'/' } else { self.bytes[end] };
        let before = &self.bytes[..start];
        let escaped = |at: &[u8]| at.len() == 3 && at[0] == b'%';
        (before.last().is_some_and(|b| matches!(b, b'/' | b'=' | b'?' | b'&' | b',' | b';'))
            || escaped(&before[before.len().saturating_sub(3)..]))
            && matches!(after, b'/' | b'&' | b'#' | b'?' | b'%' | b',' | b';' | b':')
    }

    fn hash(&mut self, start: usize, end: usize) {
        if let Some(kind) = hash::kind(&self.bytes[start..end])
            && !hash::is_other(self.bytes, start)
        {
            let scope = self.exact_scope(&self.text[start..end]);
            self.push_lower(kind, scope, start, end);
        }
    }

    /// Hashes within a longer word: the name of a sample, `<hash>.exe`, or `sha1_<hash>`.
    fn hashes(&mut self, start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let piece = at;
            while at < end && !matches!(self.bytes[at], b'.' | b'_') {
                at += 1;
            }
            if matches!(at - piece, 32 | 40 | 64) {
                self.hash(piece, at);
            }
            at += 1;
        }
    }

    /// `CVE 2021-44228`.
    pub(super) fn spaced_cve(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        if at - start != 3 || !self.bytes[start..at].eq_ignore_ascii_case(b"cve") {
            return None;
        }
        let end = word_end(&self.bytes[..to], at + 1);
        self.push_cve(start, end).then_some(end)
    }

    /// `CVE-2021-44228.` at the end of a sentence, `cve-2021-44228.py`. With a digit behind the dot it is some other number.
    fn cve_before_dot(&mut self, start: usize, end: usize) {
        let dot = self.bytes[start..end].iter().position(|&b| b == b'.').map_or(end, |dot| start + dot);
        if !byte(&self.bytes[..end], dot + 1).is_ascii_digit() {
            self.push_cve(start, dot);
        }
    }

    fn push_cve(&mut self, start: usize, end: usize) -> bool {
        let from = self.scratch.len();
        if hash::cve(&self.bytes[start..end], self.scratch) {
            let scope = self.exact_scope(&self.scratch[from..]);
            self.push_written(ObservableType::Cve, scope, from, start);
            return true;
        }
        false
    }

    /// Whether the word before `at` ends where a value may begin.
    pub(super) fn at_boundary(&self, at: usize) -> bool {
        at == 0 || at == self.begun || class(self.bytes, at - 1) & WORD == 0 || wide_before(self.bytes, at)
    }
}

/// Whether a punctuation mark beyond ASCII ends at `at`.
fn wide_before(bytes: &[u8], at: usize) -> bool {
    (2..=3).any(|length| at >= length && wide_punctuation(bytes, at - length) == Some(length))
}
