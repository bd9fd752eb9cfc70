//! IP addresses: strict readers that do not allocate, and what each range is for.
//!
//! Ranges are those of the IANA special-purpose registries (RFC 6890 and its updates): nothing in them means the same
//! thing at two sites.

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

/// Whether an address has no meaning outside its own site, or none as the address of a host.
pub(super) fn v4_is_reserved(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        // "This network", private, loopback, multicast, and what was class E, broadcast included.
        0 | 10 | 127 | 224..=255 => true,
        // Carrier-grade NAT, RFC 6598.
        100 => (64..=127).contains(&b),
        169 => b == 254,
        172 => (16..=31).contains(&b),
        // Protocol assignments, TEST-NET-1, 6to4 relays, private.
        192 => (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99) || b == 168,
        // Benchmarks, TEST-NET-2.
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        // TEST-NET-3.
        203 => b == 0 && c == 113,
        _ => false,
    }
}

/// As [`v4_is_reserved`], for IPv6. An IPv4 address in IPv6 dress is judged as IPv4.
pub(super) fn v6_is_reserved(address: Ipv6Addr) -> bool {
    let groups = address.segments();
    if let Some(inner) = address.to_ipv4_mapped() {
        return v4_is_reserved(inner);
    }
    // NAT64, RFC 6052.
    if groups[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return v4_is_reserved(Ipv4Addr::new(a, b, c, d));
    }
    match groups[0] {
        // Unspecified, loopback, IPv4-compatible and what else lies below 0100::/8; discard-only.
        0 | 0x64 | 0x100 => true,
        // Benchmarks, ORCHID, documentation: parts of 2001::/16.
        0x2001 => matches!((groups[1], groups[2]), (2, 0) | (0xdb8, _)) || (groups[1] & 0xffe0) == 0x20,
        // Documentation, RFC 9637.
        0x3fff => groups[1] < 0x1000,
        // Unique local, link-local, site-local, multicast.
        first => first >= 0xfc00,
    }
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
    fn knows_the_ranges_that_mean_nothing_elsewhere() {
        for reserved in [
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.9.9",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
        ] {
            assert!(v4_is_reserved(reserved.parse().unwrap()), "{reserved}");
        }
        for public in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.3.1",
            "198.20.0.1",
            "203.0.114.1",
        ] {
            assert!(!v4_is_reserved(public.parse().unwrap()), "{public}");
        }
        for reserved in [
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fdc4::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "2001:2::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(v6_is_reserved(reserved.parse().unwrap()), "{reserved}");
        }
        for public in ["2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:4860:4860::8888"]
        {
            assert!(!v6_is_reserved(public.parse().unwrap()), "{public}");
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
