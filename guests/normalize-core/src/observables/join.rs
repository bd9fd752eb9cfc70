//! Names and addresses that somebody took apart, e-mail addresses, and URLs without a scheme.

use aurora_guest::{ObservableType, Scope};

use super::class::{CLASS, LOCAL};
use super::class::{begins_label, byte};
use super::host::{Host, half_closed};
use super::name::Name;
use super::scan::Scan;
use super::{address, refang};

/// RFC 5321: at most 64 bytes before the at sign.
const LOCAL_PART: usize = 64;

impl Scan<'_> {
    /// A name, address or e-mail address whose first word is `start..at` and which goes on defanged.
    pub(super) fn joined(&mut self, floor: usize, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        if refang::dot(bytes, at, false).is_none()
            && bytes.get(at..at + 3) != Some(b"[-]")
            && half_closed(bytes, at).is_none()
        {
            return self.bracketed_first_label(start, at, to).or_else(|| self.email(floor, start, at, to));
        }
        let from = self.scratch.len();
        let (end, _) = self.host(start, to, false);
        if refang::at_sign(bytes, end).is_some()
            && let Some(end) = self.email_behind(from, start, end, to)
        {
            return Some(end);
        }
        let end = self.joined_host(from, start, end, to);
        if end.is_none() {
            self.scratch.truncate(from);
        }
        end
    }

    /// Reports the host that was written to the scratch since `from`, with what follows it.
    fn joined_host(&mut self, from: usize, start: usize, end: usize, to: usize) -> Option<usize> {
        let written = &self.scratch.as_bytes()[from..];
        let labels = written.iter().filter(|&&b| b == b'.').count() + 1;
        // Nothing to be found here any more, however often it is tried.
        let passed = (labels > 2).then_some(end);
        let Some(host) = Host::read(written).filter(Host::is_certain) else {
            self.scratch.truncate(from);
            return passed;
        };
        self.with_host(from, start, &host, end, to)
    }

    /// Reports a URL without a scheme if a path follows the host, else the host alone.
    fn with_host(&mut self, from: usize, start: usize, host: &Host, end: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let mut path = end;
        if byte(bytes, path) == b':' {
            path += 1;
            while byte(bytes, path).is_ascii_digit() && path < end + 6 {
                path += 1;
            }
        }
        let has_path = match byte(bytes, path) {
            b'/' => matches!(host, Host::Name(_)) || !byte(bytes, path + 1).is_ascii_digit(),
            b'?' => begins_label(bytes, path + 1),
            b'[' | b'(' => matches!(refang::mark(bytes, path), Some((b'/', _))),
            _ => false,
        };
        if has_path && !self.inside {
            return Some(self.tail(from, start, (from, self.scratch.len()), host, end, to));
        }
        let scope = host.scope(self, &self.scratch.as_bytes()[from..]);
        match host {
            Host::V4(_) | Host::Loose(_) | Host::V6(_) => self.push_written(ObservableType::Ip, scope, from, start),
            Host::Name(_) => {
                self.scratch[from..].make_ascii_lowercase();
                self.push_written(ObservableType::Domain, scope, from, start);
            }
        }
        Some(end)
    }

    /// `[www].example.com`, `(www).example.com`: the first label in brackets.
    fn bracketed_first_label(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        if !matches!(bytes[at], b']' | b')') || byte(bytes, at + 1) != b'.' || start == 0 || at - start > 63 {
            return None;
        }
        if !matches!((bytes[start - 1], bytes[at]), (b'[', b']') | (b'(', b')')) || !begins_label(bytes, at + 2) {
            return None;
        }
        let from = self.scratch.len();
        self.scratch.push_str(&self.text[start..at]);
        let (end, _) = self.host(at + 1, to, false);
        let end = self.joined_host(from, start, end, to);
        if end.is_none() {
            self.scratch.truncate(from);
        }
        end
    }

    /// `foodot]com`, `fooat)example.com`: brackets of which only the closing one is left.
    pub(super) fn half_bracketed(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let word = &bytes[start..at];
        if !begins_label(bytes, at + 1) || start > 0 && matches!(bytes[start - 1], b'[' | b'(' | b'{') {
            return None;
        }
        for (ending, mark) in [("dot", '.'), ("punto", '.'), ("punkt", '.'), ("at", '@'), ("et", '@'), ("arroba", '@')]
        {
            let Some(left) = word.len().checked_sub(ending.len()).filter(|&left| left > 0 && left <= LOCAL_PART) else {
                continue;
            };
            if !word[left..].eq_ignore_ascii_case(ending.as_bytes()) {
                continue;
            }
            let from = self.scratch.len();
            self.scratch.push_str(&self.text[start..start + left]);
            let done = if mark == '.' {
                self.scratch.push('.');
                let (end, _) = self.host(at + 1, to, false);
                self.joined_host(from, start, end, to)
            } else {
                self.address(from, start, at + 1, to, false)
            };
            if done.is_some() {
                return done;
            }
            self.scratch.truncate(from);
        }
        None
    }

    /// `fooDOTcom`, `foo-dot-com`, `fooATexample.com`: spelled out and run together. Capitals between small letters,
    /// or hyphens on both sides, are what tells it from `mdot` and `format`.
    pub(super) fn glued(&mut self, start: usize, end: usize, to: usize) -> bool {
        let word = &self.bytes[start..end];
        let small = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let between = |at: usize, length: usize| at > 0 && small(word.get(at - 1)) && small(word.get(at + length));
        let dashed = word.windows(5).position(|five| five == b"-dot-").map(|at| (at, 5));
        let capital = word.windows(3).position(|three| three == b"DOT").filter(|&at| between(at, 3)).map(|at| (at, 3));
        let from = self.scratch.len();
        if let Some((at, length)) = dashed.or(capital).filter(|_| !word.contains(&b'.')) {
            self.scratch.push_str(&self.text[start..start + at]);
            self.scratch.push('.');
            self.scratch.push_str(&self.text[start + at + length..end]);
            let Some(name) = Name::read(&self.scratch.as_bytes()[from..]).filter(Name::is_domain) else {
                self.scratch.truncate(from);
                return false;
            };
            self.scratch[from..].make_ascii_lowercase();
            let scope = self.name_scope(&name, &self.scratch.as_bytes()[from..]);
            self.push_scratch(ObservableType::Domain, scope, from, self.scratch.len());
            return true;
        }
        let apart = word.windows(2).position(|two| two == b"AT").filter(|&at| between(at, 2) && at <= LOCAL_PART);
        if let Some(at) = apart.filter(|_| word.contains(&b'.')) {
            self.scratch.push_str(&self.text[start..start + at]);
            if self.address(from, start, start + at + 2, to, false).is_some() {
                return true;
            }
            self.scratch.truncate(from);
        }
        false
    }

    /// A URL without a scheme whose host is the plain word `start..at`.
    pub(super) fn schemeless(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        if let Some(end) = self.underscored_url(start, to) {
            return Some(end);
        }
        if bytes[start] == b'.' {
            return None;
        }
        let name = Name::read(&bytes[start..at]).filter(Name::is_domain)?;
        if !name.is_meant(bytes, start, at) {
            return None;
        }
        let from = self.scratch.len();
        if start > 0 && matches!(bytes[start - 1], b'/' | b'\\') {
            return None;
        }
        self.scratch.push_str(&self.text[start..at]);
        self.with_host(from, start, &Host::Name(name), at, to)
    }

    /// A host with a port, `start..at` and a colon: a URL without a scheme if a path follows.
    pub(super) fn ported(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let mut end = at + 1;
        while byte(bytes, end).is_ascii_digit() && end < at + 7 {
            end += 1;
        }
        if byte(bytes, end) != b'/' || byte(bytes, end + 1) <= b' ' {
            return None;
        }
        match Host::read(&bytes[start..at])? {
            host @ Host::V4(_) => {
                let from = self.scratch.len();
                self.scratch.push_str(&self.text[start..at]);
                self.with_host(from, start, &host, at, to)
            }
            _ => self.schemeless(start, at, to),
        }
    }

    /// An e-mail address whose local part ends at `at`.
    pub(super) fn email(&mut self, floor: usize, start: usize, at: usize, to: usize) -> Option<usize> {
        refang::at_sign(&self.bytes[..to], at)?;
        // Words end at `+` and `%`, local parts do not.
        let mut first = start;
        let limit = floor.max(at.saturating_sub(LOCAL_PART));
        while first > limit && CLASS[self.bytes[first - 1] as usize] & LOCAL != 0 {
            first -= 1;
        }
        while first < at && matches!(self.bytes[first], b'.' | b'-' | b'+' | b'%' | b'_') {
            first += 1;
        }
        if first == at || at - first > LOCAL_PART {
            return None;
        }
        let from = self.scratch.len();
        self.scratch.push_str(&self.text[first..at]);
        // `HTTP/host.example.com@REALM.EXAMPLE.COM` is a Kerberos principal.
        let principal = first > 0 && self.bytes[first - 1] == b'/' && byte(self.bytes, at + 1).is_ascii_uppercase();
        let end = if principal { None } else { self.email_behind(from, first, at, to) };
        if end.is_none() {
            self.scratch.truncate(from);
        }
        end
    }

    /// The rest of an e-mail address, whose local part is in the scratch since `from` and ends at `at`.
    fn email_behind(&mut self, from: usize, start: usize, at: usize, to: usize) -> Option<usize> {
        let host = refang::at_sign(&self.bytes[..to], at)?;
        let bytes = &self.bytes[..to];
        if byte(bytes, host) == b'[' {
            return self.literal(from, start, host, to);
        }
        let mark = self.scratch.len();
        // `ask @example.com` is how one names an account elsewhere.
        let mention = bytes[at] == b' ' && bytes[host - 1] == b'@';
        let end = self.address(from, start, host, to, mention);
        if end.is_none() {
            self.scratch.truncate(mark);
        }
        end
    }

    /// At sign and domain, behind the local part that is in the scratch since `from`.
    fn address(&mut self, from: usize, start: usize, host: usize, to: usize, only_defanged: bool) -> Option<usize> {
        if self.scratch.len() == from {
            return None;
        }
        self.scratch.push('@');
        let name_from = self.scratch.len();
        let (mut end, defanged) = self.host(host, to, false);
        if only_defanged && !defanged {
            return None;
        }
        if let Some(dot) = self.scratch[name_from..].find("DOT").filter(|_| !self.scratch[name_from..].contains('.')) {
            self.scratch.replace_range(name_from + dot..name_from + dot + 3, ".");
        }
        let mut name = Name::read(&self.scratch.as_bytes()[name_from..]).filter(Name::is_domain);
        if name.is_none() {
            let cut = self.scratch.as_bytes()[name_from..].iter().position(|b| *b >= 0x80)?;
            if !self.bytes[host..].starts_with(&self.scratch.as_bytes()[name_from..name_from + cut]) {
                return None;
            }
            self.scratch.truncate(name_from + cut);
            end = host + cut;
            name = Name::read(&self.scratch.as_bytes()[name_from..]).filter(Name::is_domain);
        }
        let name = name?;
        // Case may mean something before the at sign, and nowhere does.
        self.scratch[from..].make_ascii_lowercase();
        let host_scope = self.name_scope(&name, &self.scratch.as_bytes()[name_from..]);
        let listed = self.allow.has_exact(&self.scratch[from..]);
        let scope = if listed { Scope::AllowListed } else { host_scope };
        let in_place = self.bytes[start..].starts_with(&self.scratch.as_bytes()[from..]);
        if in_place {
            let (name_start, length) = (start + name_from - from, self.scratch.len() - from);
            self.scratch.truncate(from);
            self.push(ObservableType::Email, scope, start, start + length);
            self.push(ObservableType::Domain, host_scope, name_start, start + length);
        } else {
            self.push_scratch(ObservableType::Email, scope, from, self.scratch.len());
            self.push_scratch(ObservableType::Domain, host_scope, name_from, self.scratch.len());
        }
        Some(end)
    }

    /// `user@[192.0.2.1]` and `user@[IPv6:2001:db8::1]`, RFC 5321's address literals.
    fn literal(&mut self, from: usize, start: usize, open: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let tag = bytes.get(open + 1..open + 6).is_some_and(|tag| tag.eq_ignore_ascii_case(b"ipv6:"));
        let inner = open + 1 + if tag { 5 } else { 0 };
        let end = address::v6_extent(bytes, inner);
        if byte(bytes, end) != b']' {
            return None;
        }
        let scope = match (address::v4(&bytes[inner..end]), address::v6(&bytes[inner..end])) {
            (Some(address), _) => self.v4_scope(address),
            (None, Some(address)) => self.v6_scope(address),
            (None, None) => return None,
        };
        self.scratch.push('@');
        self.scratch.push_str(&self.text[open..end + 1]);
        self.push_written(ObservableType::Email, scope, from, start);
        self.push(ObservableType::Ip, scope, inner, end);
        Some(end + 1)
    }

    /// `start` moved behind the last punctuation mark beyond ASCII in `start..end`.
    pub(super) fn behind_punctuation(&self, start: usize, end: usize) -> usize {
        let mut first = start;
        let mut at = start;
        while at < end {
            match super::class::wide_punctuation(self.bytes, at) {
                Some(length) => {
                    at += length;
                    first = at.min(end);
                }
                None => at += 1,
            }
        }
        first
    }

    /// Reports the host that fills the text from `start` on: the field says that it is one, so a name without a public
    /// suffix counts too.
    pub(super) fn certain_host(&mut self, start: usize) -> bool {
        let from = self.scratch.len();
        let to = self.bytes.len();
        let (end, _) = self.host(start, to, false);
        let whole = end == to || self.bytes[end] == b'.' && end + 1 == to;
        let Some(host) = Host::read(&self.scratch.as_bytes()[from..]).filter(|_| whole) else {
            self.scratch.truncate(from);
            return false;
        };
        self.with_host(from, start, &host, end, to).is_some()
    }
}
