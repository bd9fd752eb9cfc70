//! The host of a URL or of an e-mail address, plain and defanged.

use std::net::{Ipv4Addr, Ipv6Addr};

use aurora_guest::Scope;

use super::class::{ALNUM, HIGH};
use super::class::{begins_label, byte, class, word_end};
use super::name::Name;
use super::scan::Scan;
use super::{address, refang};

/// How far ahead an at sign may stand that makes what is before it a user and password.
const USER_INFO: usize = 128;
/// Most bytes of a host, in any spelling.
const HOST: usize = 255;

/// Whoever is named between the scheme and the path.
pub(super) enum Host {
    V4(Ipv4Addr),
    /// An IPv4 address as only the C library still reads it: `0x7f.1`, `2130706433`.
    Loose(Ipv4Addr),
    V6(Ipv6Addr),
    Name(Name),
}

impl Host {
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        if let Some(address) = address::v4(text) {
            return Some(Self::V4(address));
        }
        Name::read(text).map(Self::Name)
    }

    /// Is an address or lies below a public suffix, so that nobody need know the site to understand it.
    pub(super) fn is_certain(&self) -> bool {
        match self {
            Self::V4(_) | Self::Loose(_) | Self::V6(_) => true,
            Self::Name(name) => name.is_domain(),
        }
    }

    pub(super) fn scope(&self, scan: &Scan<'_>, text: &[u8]) -> Scope {
        match self {
            Self::V4(address) | Self::Loose(address) => scan.v4_scope(*address),
            Self::V6(address) => scan.v6_scope(*address),
            Self::Name(name) => scan.name_scope(name, text),
        }
    }
}

impl Scan<'_> {
    /// Copies `user:password@`, if that is what stands at `at`; where the host begins.
    pub(super) fn user_info(&mut self, at: usize, to: usize) -> usize {
        let limit = to.min(at + USER_INFO);
        let mut end = None;
        for (index, &b) in self.bytes[at..limit].iter().enumerate() {
            match b {
                b'@' => end = Some(at + index + 1),
                b'/'
                | b'?'
                | b'#'
                | b'"'
                | b'<'
                | b'>'
                | b'\\'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'|'
                | b'`'
                | 0..=b' ' => break,
                b'(' if refang::dot(self.bytes, at + index, false).is_some() => break,
                _ => {}
            }
        }
        let Some(end) = end else { return at };
        self.scratch.push_str(&self.text[at..end]);
        end
    }

    /// Copies the host name at `at`, refanged; where it ends, and whether it was defanged.
    pub(super) fn host(&mut self, mut at: usize, to: usize, in_url: bool) -> (usize, bool) {
        let bytes = &self.bytes[..to];
        let from = self.scratch.len();
        let mut defanged = false;
        loop {
            let mut end = word_end(bytes, at);
            self.scratch.push_str(&self.text[at..end]);
            let length = self.scratch.len() - from;
            if length > HOST {
                return (end, defanged);
            }
            let next = if let Some(next) = refang::dot(bytes, end, defanged)
                && !(in_url && matches!(bytes[end], b' ') && !matches!(byte(bytes, end + 1), b'[' | b'('))
            {
                self.scratch.push('.');
                Some(next)
            } else if bytes.get(end..end + 3) == Some(b"[-]") {
                self.scratch.push('-');
                Some(end + 3)
            } else if bytes.get(end..end + 3).is_some_and(|escaped| escaped.eq_ignore_ascii_case(b"%2e")) {
                self.scratch.push('.');
                Some(end + 3)
            } else if in_url
                && byte(bytes, end) == b']'
                && begins_label(bytes, end + 1)
                && self.scratch[from..].ends_with("dot")
            {
                self.scratch.truncate(self.scratch.len() - 3);
                self.scratch.push('.');
                Some(end + 1)
            } else if in_url && length > 0 && !self.scratch[from..].contains('.') && is_comma_domain(bytes, end) {
                self.scratch.push('.');
                Some(end + 1)
            } else {
                half_closed(bytes, end)
            };
            match next {
                Some(next) => {
                    defanged = true;
                    at = next;
                }
                None => {
                    while self.scratch.len() > from
                        && matches!(byte(bytes, end.wrapping_sub(1)), b'.' | b'-' | b'_')
                        && end > at
                    {
                        self.scratch.pop();
                        end -= 1;
                    }
                    return (end, defanged);
                }
            }
        }
    }
}

pub(super) fn bracketed_v6(bytes: &[u8], at: usize) -> Option<(Ipv6Addr, usize)> {
    if byte(bytes, at) != b'[' {
        return None;
    }
    let inner = at + 1;
    let end = address::v6_extent(bytes, inner);
    let address = address::v6(&bytes[inner..end])?;
    (byte(bytes, end) == b']').then_some((address, end + 1))
}

/// An IPv6 address without its brackets, at its full eight groups so that no port can be meant.
pub(super) fn bare_v6(bytes: &[u8], at: usize) -> Option<(Ipv6Addr, usize)> {
    let end = address::v6_extent(bytes, at);
    let text = &bytes[at..end];
    if text.iter().filter(|&&b| b == b':').count() != 7 {
        return None;
    }
    Some((address::v6(text)?, end))
}

/// `http://example,com/`
fn is_comma_domain(bytes: &[u8], at: usize) -> bool {
    [&b",com"[..], b",net", b",org", b",info", b",ru"].iter().any(|ending| {
        bytes[at..].starts_with(ending) && matches!(byte(bytes, at + ending.len()), b'/' | b':' | 0 | b' ' | b'\n')
    })
}

/// `1.]2`: only the closing half of the brackets was left.
pub(super) fn half_closed(bytes: &[u8], at: usize) -> Option<usize> {
    if at == 0 || bytes[at - 1] != b'.' || !matches!(byte(bytes, at), b']' | b')') {
        return None;
    }
    let mut end = at;
    while matches!(byte(bytes, end), b']' | b')') && end < at + 4 {
        end += 1;
    }
    let next = byte(bytes, end);
    (next.is_ascii_digit() || bytes[at] == b']' && class(bytes, end) & (ALNUM | HIGH) != 0).then_some(end)
}
