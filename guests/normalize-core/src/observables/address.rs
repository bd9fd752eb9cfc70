//! IP addresses: strict readers that do not allocate.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Reads `a.b.c.d`: four decimal numbers up to 255, none with a leading zero, nothing else.
pub(super) fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    if !(7..=15).contains(&text.len()) {
        return None;
    }
    let mut octets = [0u8; 4];
    let mut index = 0;
    let mut digits = 0;
    let mut value = 0u16;
    for &b in text {
        match b {
            b'0'..=b'9' => {
                if digits > 0 && value == 0 {
                    return None;
                }
                value = value * 10 + u16::from(b - b'0');
                digits += 1;
                if value > 255 {
                    return None;
                }
            }
            b'.' => {
                if digits == 0 || index == 3 {
                    return None;
                }
                octets[index] = value as u8;
                index += 1;
                (digits, value) = (0, 0);
            }
            _ => return None,
        }
    }
    if digits == 0 || index != 3 {
        return None;
    }
    octets[3] = value as u8;
    Some(Ipv4Addr::from(octets))
}

/// Reads an IPv6 address as RFC 4291 writes it, a dotted IPv4 tail included, zone excluded.
pub(super) fn v6(text: &[u8]) -> Option<Ipv6Addr> {
    if !(2..=45).contains(&text.len()) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Reads an IPv4 address as `inet_aton` does: one to four parts, each decimal, `0x` hexadecimal or `0` octal, the last
/// filling what is left. Only links that mean to deceive spell one so.
pub(super) fn loose_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut parts, mut value, mut odd) = (0, 0u64, false);
    let mut split = text.split(|&b| b == b'.').peekable();
    while let Some(part) = split.next() {
        let text = str::from_utf8(part).ok()?;
        let number = if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            u64::from_str_radix(hex, 16)
        } else if part.len() > 1 && part[0] == b'0' {
            u64::from_str_radix(text, 8)
        } else {
            text.parse()
        };
        odd |= part.len() > 1 && part[0] == b'0';
        let number = number.ok().filter(|_| !text.contains('+'))?;
        let left = 4 - parts;
        let bytes = if split.peek().is_some() { 1 } else { left };
        if parts == 4 || bytes == 0 || number >> (8 * bytes) != 0 {
            return None;
        }
        value = value << (8 * bytes) | number;
        parts += 1;
    }
    // `http://8` and `http://1.2.3` are slips, not addresses.
    ((odd || parts == 1) && value >> 24 != 0).then(|| Ipv4Addr::from_bits(value as u32))
}

/// How much of the bytes at `start` may belong to an IPv6 address. Never more than 64, so that a failed attempt costs
/// little.
pub(super) fn v6_extent(bytes: &[u8], start: usize) -> usize {
    let limit = bytes.len().min(start + 64);
    let mut end = start;
    while end < limit && (bytes[end].is_ascii_hexdigit() || matches!(bytes[end], b':' | b'.')) {
        end += 1;
    }
    while end > start && (bytes[end - 1] == b'.' || (bytes[end - 1] == b':' && !bytes[start..end].ends_with(b"::"))) {
        end -= 1;
    }
    end
}

/// Whether an address that stands in running text was meant as one. `ab::cd` is a path in C++ and Rust, eight pairs of
/// digits are a World Wide Name, and `::` alone is punctuation.
pub(super) fn v6_is_plain(text: &[u8]) -> bool {
    let (mut colons, mut digits, mut pairs, mut double, mut group) = (0, false, true, false, 0);
    for &b in text {
        if b == b':' {
            colons += 1;
            pairs &= group == 2;
            double |= group == 0 && colons > 1;
            group = 0;
        } else {
            digits |= b.is_ascii_digit();
            group += 1;
        }
    }
    let first = text.iter().position(|&b| b == b':').unwrap_or(0);
    digits
        && (double || colons >= 6)
        && (colons >= 3 || first == 0 || first == 4)
        && !(pairs && group == 2 && colons == 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_strict_dotted_quads() {
        for good in ["1.2.3.4", "0.0.0.0", "255.255.255.255"] {
            assert!(v4(good.as_bytes()).is_some(), "{good}");
        }
        for bad in
            ["1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.04", "1..3.4", ".1.2.3.4", "1.2.3.4.", "a.b.c.d"]
        {
            assert!(v4(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn reads_what_the_c_library_reads() {
        for (text, want) in [
            ("0x42.0x66.0x0d.0x63", "66.102.13.99"),
            ("1113984355", "66.102.13.99"),
            ("0x7f.1", "127.0.0.1"),
            ("0102.0146.015.0143", "66.102.13.99"),
        ] {
            assert_eq!(loose_v4(text.as_bytes()), Some(want.parse().unwrap()), "{text}");
        }
        for bad in ["", "0x", "1.2.3.4.5", "4294967296", "1.2.3.256", "09.1.1.1", "abc", "8", "10.0.514", "+1.1.1.1"] {
            assert_eq!(loose_v4(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn tells_an_address_from_a_path_of_modules() {
        for plain in ["::1", "fe80::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4"] {
            assert!(v6_is_plain(plain.as_bytes()), "{plain}");
        }
        for other in ["ab::cd", "::", "50:06:01:60:3b:a0:11:22", "5::"] {
            assert!(!v6_is_plain(other.as_bytes()), "{other}");
        }
    }
}
