//! The one pass over a text: word by word, with a look at what stands between two words only where it may matter.
//!
//! Linear by construction: whoever is called from here either takes what it read, and the scan goes on behind it, or
//! has read a bounded number of bytes.

use aurora_guest::{ObservableType, Scope};

use super::class::{AFTER_SPACE, ALNUM, CAPITAL_T, CLASS, DASH, DOT, FAR_LETTER, HIGH, JOINT, NOT_HEX, SMALL, WORD};
use super::class::{byte, class, wide_punctuation, word_end};
use super::name::Name;
use super::{AllowList, Found, Value, address, hash, refang};

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
}

impl Scan<'_> {
    /// Scans `from..to`.
    pub(super) fn run(&mut self, from: usize, to: usize) {
        let bytes = &self.bytes[..to];
        let mut at = from;
        // Nothing before this may be taken again.
        let mut floor = from;
        while at < to {
            let start = at;
            let mut seen = 0;
            while at < to {
                let class = CLASS[bytes[at] as usize];
                if class & WORD == 0 {
                    break;
                }
                seen |= class;
                at += 1;
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
            if !self.dotted(start, end, to) && end - start >= 32 {
                self.hashes(start, end);
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
    fn v6(&mut self, start: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        if start > 0 && (class(bytes, start - 1) & ALNUM != 0 || matches!(bytes[start - 1], b':' | b'%')) {
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

    pub(super) fn v4_scope(&self, address: std::net::Ipv4Addr) -> Scope {
        if self.allow.has_v4(address) {
            Scope::AllowListed
        } else if address::v4_is_reserved(address) {
            Scope::Reserved
        } else {
            Scope::Public
        }
    }

    pub(super) fn v6_scope(&self, address: std::net::Ipv6Addr) -> Scope {
        if self.allow.has_v6(address) {
            Scope::AllowListed
        } else if address::v6_is_reserved(address) {
            Scope::Reserved
        } else {
            Scope::Public
        }
    }

    pub(super) fn name_scope(&self, name: &Name, text: &[u8]) -> Scope {
        if self.allow.has_domain(text) {
            Scope::AllowListed
        } else if name.is_reserved(text) {
            Scope::Reserved
        } else {
            Scope::Public
        }
    }

    /// Reports `start..end` as it stands.
    pub(super) fn push(&mut self, kind: ObservableType, scope: Scope, start: usize, end: usize) {
        self.found.push(Found { kind, scope, value: Value::span(start, end) });
    }

    /// Reports `start..end` in lower case: as it stands if it is so already, else by way of the scratch.
    pub(super) fn push_lower(&mut self, kind: ObservableType, scope: Scope, start: usize, end: usize) {
        let text = &self.text[start..end];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            let from = self.scratch.len();
            self.scratch.push_str(text);
            self.scratch[from..].make_ascii_lowercase();
            self.push_scratch(kind, scope, from, self.scratch.len());
        } else {
            self.push(kind, scope, start, end);
        }
    }

    /// Reports `from..to` of the scratch.
    pub(super) fn push_scratch(&mut self, kind: ObservableType, scope: Scope, from: usize, to: usize) {
        self.found.push(Found { kind, scope, value: Value::refanged(from, to) });
    }

    /// Reports what was written to the scratch since `from`: as a span, if it is what stands at `start` anyway.
    pub(super) fn push_written(&mut self, kind: ObservableType, scope: Scope, from: usize, start: usize) {
        let written = &self.scratch.as_bytes()[from..];
        let end = start + written.len();
        if self.bytes.get(start..end) == Some(written) {
            self.push(kind, scope, start, end);
        } else {
            self.push_scratch(kind, scope, from, self.scratch.len());
        }
    }

    /// Scope of an exact value that says nothing of itself.
    pub(super) fn exact_scope(&self, value: &str) -> Scope {
        if self.allow.has_exact(value) { Scope::AllowListed } else { Scope::Public }
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
    fn spaced_cve(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        if at - start != 3 || !self.bytes[start..at].eq_ignore_ascii_case(b"cve") {
            return None;
        }
        let end = word_end(&self.bytes[..to], at + 1);
        self.push_cve(start, end).then_some(end)
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
        at == 0 || class(self.bytes, at - 1) & WORD == 0 || wide_before(self.bytes, at)
    }

    /// End of a scheme's separator after the word, for the URL reader.
    pub(super) fn separator(&self, at: usize, to: usize, lenient: bool) -> Option<usize> {
        refang::scheme_end(&self.bytes[..to], at, lenient)
    }
}

/// Whether a punctuation mark beyond ASCII ends at `at`.
fn wide_before(bytes: &[u8], at: usize) -> bool {
    (2..=3).any(|length| at >= length && wide_punctuation(bytes, at - length) == Some(length))
}
