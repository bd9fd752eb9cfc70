//! Addresses of IPv4 as only programs still read them: `10.7`, `0x0a000001`, `167772161`, `012.0.0.1`. As hosts of URLs they
//! lead to the same place as `10.0.0.7` does, so a text that names one names a place of the site's.

use std::{net::Ipv4Addr, ops::Range};

/// How far in front of an at sign a scheme may end, bytes.
const USER_INFO: usize = 256;

/// The address that the URL standard (WHATWG, "IPv4 parser") reads in `host`: one to four numbers, each decimal, `0x`
/// hexadecimal or `0` octal, of which the last fills what is left. None for names, and for four plain decimal numbers, which
/// every search knows anyway.
pub(super) fn address(host: &str) -> Option<Ipv4Addr> {
    let bytes = host.as_bytes();
    // Names end here, all but the few that begin with a digit.
    if !bytes.first()?.is_ascii_digit() {
        return None;
    }
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    let mut parts = bytes.split(|&byte| byte == b'.').peekable();
    let (mut value, mut count, mut is_plain) = (0u64, 0u32, true);
    while let Some(part) = parts.next() {
        if count == 4 {
            return None;
        }
        let (number, is_decimal) = number(part)?;
        is_plain &= is_decimal;
        let left = 8 * if parts.peek().is_some() { 1 } else { 4 - count };
        if number >> left != 0 {
            return None;
        }
        value = value << left | number;
        count += 1;
    }
    let value = u32::try_from(value).ok()?;
    (!is_plain || count < 4).then(|| Ipv4Addr::from_bits(value))
}

/// The host of a URL that is one of these, where `word` of `text` has it: a run of letters, digits and the marks `.-_:@`, as
/// the search of texts cuts them. Behind it may be a port, before it the name of a user.
pub(super) fn in_word(text: &str, word: Range<usize>) -> Option<(Range<usize>, Ipv4Addr)> {
    let bytes = text.as_bytes();
    let written = &bytes[word.clone()];
    let start = word.start + written.iter().rposition(|&byte| byte == b'@').map_or(0, |sign| sign + 1);
    // Most words are done with here.
    if start == word.end || !bytes[start].is_ascii_digit() || !is_host(bytes, word.start, start > word.start) {
        return None;
    }
    let inner = &bytes[start..word.end];
    let end = start + inner.iter().position(|&byte| byte == b':').unwrap_or(inner.len());
    // Dots of the sentence.
    let dots = bytes[start..end].iter().rev().take_while(|&&byte| byte == b'.').count();
    let host = start..end - dots;
    Some((host.clone(), address(text.get(host)?)?))
}

/// Those whose hosts are numbers in the URL standard ("special scheme").
const SCHEMES: [&[u8]; 5] = [b"http:", b"https:", b"ftp:", b"ws:", b"wss:"];

fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
}

/// Whether a URL's host, or the user in front of it, is what begins at `start`.
fn is_host(bytes: &[u8], start: usize, has_user: bool) -> bool {
    let is_slash = |byte: u8| matches!(byte, b'/' | b'\\');
    let ends_scheme = |end: usize| {
        let slashes = bytes[..end].iter().rev().take_while(|&&byte| is_slash(byte)).count();
        slashes > 1 && bytes[..end - slashes].last() == Some(&b':')
            // Of these schemes one slash is enough.
            || slashes == 1 && SCHEMES.iter().any(|scheme| ends_with(&bytes[..end - slashes], scheme))
            // Without any scheme it is a share, or a URL of the same one; `//10` begins comments.
            || slashes == 2 && bytes[end..].first_chunk().is_some_and(|hex: &[u8; 2]| hex.eq_ignore_ascii_case(b"0x"))
                && !bytes[..end - slashes].last().is_some_and(u8::is_ascii_alphanumeric)
    };
    if ends_scheme(start) {
        return true;
    }
    // A password may have signs that end words.
    let before = bytes[start.saturating_sub(USER_INFO)..start].iter().rev();
    let length = before.take_while(|&&byte| byte > b' ' && !is_slash(byte) && !matches!(byte, b'?' | b'#')).count();
    has_user && ends_scheme(start - length)
}

/// A number as the standard reads it, and whether it is written as a decimal one without zeros in front.
fn number(part: &[u8]) -> Option<(u64, bool)> {
    let (digits, radix) = match part {
        [] => return None,
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', digits @ ..] if !digits.is_empty() => (digits, 8),
        digits => (digits, 10),
    };
    let mut value = 0u64;
    for &digit in digits {
        value = value * radix + u64::from(char::from(digit).to_digit(radix as u32)?);
        // Whatever follows, it is none any more.
        if value > u64::from(u32::MAX) {
            return None;
        }
    }
    Some((value, radix == 10))
}

#[cfg(test)]
mod tests {
    use url::{Host, Url};

    use super::*;

    #[test]
    fn reads_what_the_url_standard_reads() {
        for (host, read) in [
            ("10.7", "10.0.0.7"),
            ("10.1.7", "10.1.0.7"),
            ("10.0.258", "10.0.1.2"),
            ("167772161", "10.0.0.1"),
            ("0x0a000001", "10.0.0.1"),
            ("0XA000001", "10.0.0.1"),
            ("0x0a.0.0.1", "10.0.0.1"),
            ("012.0.0.1", "10.0.0.1"),
            ("0300.0250.1", "192.168.0.1"),
            ("10.7.", "10.0.0.7"),
            ("0x", "0.0.0.0"),
            ("8", "0.0.0.8"),
            ("4294967295", "255.255.255.255"),
        ] {
            assert_eq!(address(host), Some(read.parse().unwrap()), "{host}");
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(url.host(), Some(Host::Ipv4(read.parse().unwrap())), "{host}");
        }
    }

    #[test]
    fn leaves_names_and_plain_quads_to_those_who_know_them() {
        for other in [
            "",
            ".",
            "10.0.0.7",
            "10.0.0.7.",
            "plant.com",
            "7up.com",
            "10.7.plant",
            "1e7",
            "0b1",
            "08",
            "0xg",
            "10..7",
            "10.7..",
            "256.1",
            "1.2.3.256",
            "1.16777216",
            "1.2.3.4.5",
            "4294967296",
            "99999999999999999999999999",
            "+1.7",
            "-1",
            "1_0.7",
        ] {
            assert_eq!(address(other), None, "{other}");
        }
    }

    /// The one that stands in `text`, searched as the search of texts does.
    fn found(text: &str) -> Option<&str> {
        let is_word =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'@') || byte > 0x7f;
        let bytes = text.as_bytes();
        let begins = |at: &usize| is_word(bytes[*at]) && (*at == 0 || !is_word(bytes[*at - 1]));
        (0..bytes.len()).filter(begins).find_map(|start| {
            let length = bytes[start..].iter().take_while(|&&byte| is_word(byte)).count();
            in_word(text, start..start + length).map(|(range, _)| &text[range])
        })
    }

    #[test]
    fn only_the_host_of_a_url_is_one() {
        for (text, host) in [
            ("see http://10.7/", Some("10.7")),
            ("see http://10.7.", Some("10.7")),
            ("https://10.7:8443/a", Some("10.7")),
            ("(ftp://joe@0x0a000001)", Some("0x0a000001")),
            ("http://joe:a!b$c@10.7/", Some("10.7")),
            (r"http:\\167772161\a", Some("167772161")),
            ("http:///10.7", Some("10.7")),
            ("http:/10.7/", Some("10.7")),
            (r"\\0x0a000001\c$", Some("0x0a000001")),
            ("src=//0x0a000001/x", Some("0x0a000001")),
            ("a//0x0a000001", None),
            ("//10 of them", None),
            ("at:/10", None),
            ("version 10.7", None),
            ("a//10.7", None),
            ("http://plant.com/10.7", None),
            ("http://plant.com/?a@10.7", None),
            ("ratio://", None),
            ("http://@", None),
            ("joe@10.7", None),
            ("http://10.0.0.7/", None),
            ("é://10.7é", None),
        ] {
            assert_eq!(found(text), host, "{text}");
        }
    }
}
