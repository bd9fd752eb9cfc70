//! Words of a running text, and what stands in them.

use std::{net::Ipv6Addr, ops::Range};

use super::networks::v6;

/// Groups of digits that are looked at. An object identifier has more.
pub(super) const MOST_GROUPS: usize = 16;

/// Longest address of IPv6 with an IPv4 one at its end, and something before it.
const LONGEST_V6: usize = 80;

/// What an address, a name or a mail address is written with.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'@') || !byte.is_ascii()
}

/// Without one of these a word is a mere word. The last two begin the full stops of other scripts that are dots in names.
pub(super) fn is_telling(byte: u8) -> bool {
    matches!(byte, b'.' | b':' | b'@' | 0xe3 | 0xef)
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

/// Whether neither a letter nor a digit touches it: `v10.0.0.1` is a version.
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
    starts.map(|start| start..run.end).find_map(|range| v6(&text[range.clone()]).map(|address| (range, address)))
}
