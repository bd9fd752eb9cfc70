//! URLs, plain and defanged, with what is to be found inside them: their host, and hashes, addresses and further URLs
//! in their tail.

use std::fmt::Write;

use aurora_guest::{ObservableType, Scope};

use super::class::{ALNUM, HIGH, WORD};
use super::class::{byte, class, wide_punctuation, word_end};
use super::host::{Host, bare_v6, bracketed_v6};
use super::scan::Scan;
use super::{address, refang};

impl Scan<'_> {
    /// The URL whose scheme ends the word `start..at`; its end.
    pub(super) fn url(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        // `h**p` is no word.
        let mut stop = at;
        while byte(bytes, stop) == b'*' && stop < at + 3 {
            stop += 1;
        }
        if stop > at {
            stop = word_end(bytes, stop).min(stop + 3);
        }
        let word = &bytes[start..stop];
        if word.is_empty() || (self.inside && refang::scheme(word).is_none() && refang::scheme_tail(word) == 0) {
            return None;
        }
        let (start, spelled, lenient) = match refang::scheme(word) {
            Some((spelled, lenient)) => (start, Some(spelled), lenient),
            None => match refang::scheme_tail(word) {
                0 => (start, None, false),
                length => (stop - length, refang::scheme(&word[word.len() - length..]).map(|known| known.0), true),
            },
        };
        let after = refang::scheme_end(bytes, stop, lenient)?;
        self.escaped = bytes[stop] == b'%';
        let plain = bytes[stop..after] == *b"://";
        let from = self.scratch.len();
        match spelled {
            Some(spelled) => self.scratch.push_str(spelled),
            None => {
                let letters = word.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
                if !plain || !(2..=15).contains(&word.len()) || !letters || !word[0].is_ascii_alphabetic() {
                    return None;
                }
                self.scratch.push_str(&self.text[start..stop]);
            }
        }
        self.scratch.push_str("://");
        // A bare word is a host only behind a scheme as it should be.
        let known = spelled.is_some_and(|spelled| bytes[start..stop].eq_ignore_ascii_case(spelled.as_bytes()));
        let end = self.authority(from, start, after, to, plain && known);
        if end.is_none() {
            self.scratch.truncate(from);
        }
        end
    }

    /// `http__example.com`, as one extractor's tests know it.
    pub(super) fn underscored_url(&mut self, start: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        self.escaped = false;
        let scheme = [&b"https__"[..], b"hxxps__", b"http__", b"hxxp__"]
            .into_iter()
            .find(|scheme| bytes.get(start..start + scheme.len()).is_some_and(|b| b.eq_ignore_ascii_case(scheme)))?;
        let from = self.scratch.len();
        self.scratch.push_str(if scheme.len() == 7 { "https://" } else { "http://" });
        let end = self.authority(from, start, start + scheme.len(), to, false);
        if end.is_none() {
            self.scratch.truncate(from);
        }
        end
    }

    /// What follows the scheme. The scratch has the URL so far, since `from`.
    fn authority(&mut self, from: usize, start: usize, at: usize, to: usize, any_host: bool) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let at = self.user_info(at, to);
        let host_from = self.scratch.len();
        if let Some((address, end)) = bracketed_v6(bytes, at).or_else(|| bare_v6(bytes, at)) {
            self.scratch.push_str(&self.text[at..end]);
            let inner = usize::from(bytes[at] == b'[');
            let host = (host_from + inner, self.scratch.len() - inner);
            return Some(self.tail(from, start, host, &Host::V6(address), end, to));
        }
        // `http://[example.com`: an old way to defang.
        let at = if byte(bytes, at) == b'[' { at + 1 } else { at };
        let (end, _) = self.host(at, to, true);
        let mut host_to = self.scratch.len();
        let mut end = end;
        let mut host = Host::read(&self.scratch.as_bytes()[host_from..host_to]);
        if !host.as_ref().is_some_and(Host::is_certain)
            && let Some(cut) = self.scratch.as_bytes()[host_from..].iter().position(|b| *b >= 0x80)
            && cut > 0
            && self.bytes[at..].starts_with(&self.scratch.as_bytes()[host_from..host_from + cut])
            && Host::read(&self.scratch.as_bytes()[host_from..host_from + cut]).is_some_and(|host| host.is_certain())
        {
            // An ASCII host with a word of another script right behind it.
            host_to = host_from + cut;
            self.scratch.truncate(host_to);
            end = at + cut;
            host = Host::read(&self.scratch.as_bytes()[host_from..host_to]);
        }
        let host = match host {
            Some(host) if host.is_certain() => host,
            other => match address::loose_v4(&self.scratch.as_bytes()[host_from..]) {
                Some(address) if any_host => Host::Loose(address),
                _ => other?,
            },
        };
        let single_label = matches!(&host, Host::Name(name) if !name.is_domain());
        if single_label
            && (!any_host
                || byte(bytes, at).is_ascii_digit()
                    && !self.scratch[host_from..].bytes().any(|b| b.is_ascii_alphabetic()))
        {
            return None;
        }
        // `http://www.example.com./` is a trick, `http://http://` a slip.
        if matches!((byte(bytes, end), byte(bytes, end + 1)), (b'.', b'/') | (b':', b'/')) {
            return None;
        }
        Some(self.tail(from, start, (host_from, host_to), &host, end, to))
    }

    /// Port, path, query and fragment, behind a host that stands in `host` of the scratch. Reports everything.
    pub(super) fn tail(
        &mut self,
        from: usize,
        start: usize,
        host: (usize, usize),
        who: &Host,
        at: usize,
        to: usize,
    ) -> usize {
        let bytes = &self.bytes[..to];
        // Case means nothing in scheme and host, RFC 3986, and two spellings of one URL must be equal.
        self.scratch[host.0..host.1].make_ascii_lowercase();
        let mut at = self.port(at, to);
        let tail = at;
        let slash = match byte(bytes, at) {
            b'/' | b'?' | b'#' => true,
            b'[' | b'(' | b'{' | b'\\' => matches!(refang::mark(bytes, at), Some((b'/' | b'?', _))),
            b'%' => self.escaped && matches!(escaped(bytes, at), Some(b'/' | b'?' | b'#')),
            _ => false,
        };
        if slash {
            at = self.path(start, at, to);
        } else if bytes.get(at..at + 2) == Some(b"[/") {
            self.scratch.push('/');
            at = self.path(start, at + 2, to);
        }
        let host_scope = who.scope(self, &self.scratch.as_bytes()[host.0..host.1]);
        let scope = if self.allow.has_exact(&self.scratch[from..]) { Scope::AllowListed } else { host_scope };
        let in_place = self.bytes[start..].starts_with(&self.scratch.as_bytes()[from..]);
        if in_place {
            let length = self.scratch.len() - from;
            self.scratch.truncate(from);
            if !self.inside {
                self.push(ObservableType::Url, scope, start, start + length);
            }
        } else if !self.inside {
            self.push_scratch(ObservableType::Url, scope, from, self.scratch.len());
        }
        let (host_start, host_end) = (start + host.0 - from, start + host.1 - from);
        match who {
            Host::V4(_) | Host::V6(_) if in_place => self.push(ObservableType::Ip, host_scope, host_start, host_end),
            Host::V4(_) | Host::V6(_) => self.push_scratch(ObservableType::Ip, host_scope, host.0, host.1),
            Host::Loose(address) => {
                let from = self.scratch.len();
                // Writing to a string cannot fail.
                let _ = write!(self.scratch, "{address}");
                self.push_scratch(ObservableType::Ip, host_scope, from, self.scratch.len());
            }
            Host::Name(name) if !name.is_domain() => {}
            Host::Name(_) if in_place => self.push(ObservableType::Domain, host_scope, host_start, host_end),
            Host::Name(_) => self.push_scratch(ObservableType::Domain, host_scope, host.0, host.1),
        }
        self.escaped = false;
        if !self.inside && at > tail + 6 {
            self.inside = true;
            self.run(tail, at);
            self.inside = false;
        }
        at
    }

    fn port(&mut self, at: usize, to: usize) -> usize {
        let bytes = &self.bytes[..to];
        let digits = match byte(bytes, at) {
            b':' => at + 1,
            b'[' | b'(' => match refang::mark(bytes, at) {
                Some((b':', end)) => end,
                _ => return at,
            },
            _ => return at,
        };
        let mut end = digits;
        while byte(bytes, end).is_ascii_digit() && end < digits + 5 {
            end += 1;
        }
        if end == digits || class(bytes, end) & ALNUM != 0 {
            return at;
        }
        self.scratch.push(':');
        self.scratch.push_str(&self.text[digits..end]);
        end
    }

    /// Copies path, query and fragment, refanged, without the punctuation that the sentence around them needs.
    ///
    /// A bracket that was opened inside stays; one that was not ends the URL. So does the quotation mark or comma
    /// that the URL itself stands behind.
    fn path(&mut self, start: usize, at: usize, to: usize) -> usize {
        let bytes = &self.bytes[..to];
        let from = self.scratch.len();
        let before = start.checked_sub(1).map_or(0, |before| bytes[before]);
        let (mut round, mut square) = (0u32, 0u32);
        let mut at = at;
        let mut copied = at;
        while at < to {
            let b = bytes[at];
            if class(bytes, at) & (WORD | HIGH) == WORD {
                at += 1;
                continue;
            }
            if matches!(b, b'[' | b'(' | b'{' | b'\\')
                && let Some((mark, end)) = refang::mark(bytes, at)
            {
                self.scratch.push_str(&self.text[copied..at]);
                self.scratch.push(mark as char);
                at = end;
                copied = end;
                continue;
            }
            if b == b'%'
                && self.escaped
                && let Some(plain) = escaped(bytes, at)
            {
                // Encoded as a whole, to stand in another URL's parameter.
                self.scratch.push_str(&self.text[copied..at]);
                self.scratch.push(plain as char);
                at += 3;
                copied = at;
                continue;
            }
            let stop = match b {
                0..=b' ' | 0x7f | b'"' | b'<' | b'>' | b'`' | b'|' | b'^' | b'\\' | b'{' | b'}' => true,
                b'(' => {
                    round += 1;
                    false
                }
                b'[' => {
                    square += 1;
                    false
                }
                b')' => match round.checked_sub(1) {
                    Some(left) => {
                        round = left;
                        false
                    }
                    None => true,
                },
                b']' => match square.checked_sub(1) {
                    Some(left) => {
                        square = left;
                        false
                    }
                    None => true,
                },
                b'\'' => before == b'\'' || class(bytes, at + 1) & ALNUM == 0,
                b',' => before == b',' || bytes[at + 1..].starts_with(b"http") || bytes[at + 1..].starts_with(b"hxxp"),
                // A parameter of the URL around this one.
                b'&' | b'#' if self.inside => true,
                b'&' => begins_markup(&bytes[at + 1..]),
                b'%' if self.escaped => bytes[at..].starts_with(b"%20") || bytes[at..].starts_with(b"%22"),
                0x80.. => wide_punctuation(bytes, at).is_some(),
                _ => false,
            };
            if stop {
                break;
            }
            at += 1;
        }
        self.scratch.push_str(&self.text[copied..at]);
        loop {
            let written = &self.scratch.as_bytes()[from..];
            match written.last() {
                Some(b'.' | b',' | b';' | b':' | b'!' | b'?' | b'\'' | b'*') => {}
                Some(b'(') if round > 0 => round -= 1,
                Some(b'[') if square > 0 => square -= 1,
                _ => break,
            }
            self.scratch.pop();
        }
        at
    }
}

/// Whether what follows an ampersand makes a quotation mark or an angle bracket of it, as HTML and XML write them: they end a
/// URL as the marks themselves do.
fn begins_markup(behind: &[u8]) -> bool {
    const MARKS: [&[u8]; 10] =
        [b"quot;", b"lt;", b"gt;", b"apos;", b"#34;", b"#39;", b"#x22;", b"#x27;", b"#x3c;", b"#x3e;"];
    MARKS.iter().any(|mark| behind.get(..mark.len()).is_some_and(|found| found.eq_ignore_ascii_case(mark)))
}

/// The mark behind the percent sign at `at`, where a URL has it in its own right.
fn escaped(bytes: &[u8], at: usize) -> Option<u8> {
    let digits = bytes.get(at + 1..at + 3)?;
    let value = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    matches!(value, b'.' | b'/' | b'?' | b'=' | b'&' | b'-' | b'_' | b':' | b'#' | b'%' | b'@' | b',' | b'+' | b'~')
        .then_some(value)
}
