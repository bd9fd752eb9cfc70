//! What an address means outside its own site.
//!
//! Ranges are those of the IANA special-purpose registries (RFC 6890 and its updates): nothing in them means the same
//! thing at two sites.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Scope;

impl Scope {
    /// [`Reserved`](Self::Reserved) for an address that has no meaning outside its own site, or none as the address of a
    /// host; else [`Public`](Self::Public). An address that the site has listed is for the guest to know.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        let reserved = match address {
            IpAddr::V4(address) => v4_is_reserved(address),
            IpAddr::V6(address) => v6_is_reserved(address),
        };
        if reserved { Self::Reserved } else { Self::Public }
    }
}

#[inline]
fn v4_is_reserved(address: Ipv4Addr) -> bool {
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
fn v6_is_reserved(address: Ipv6Addr) -> bool {
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
            assert_eq!(Scope::of_address(reserved.parse().unwrap()), Scope::Reserved, "{reserved}");
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
            assert_eq!(Scope::of_address(public.parse().unwrap()), Scope::Public, "{public}");
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
            assert_eq!(Scope::of_address(reserved.parse().unwrap()), Scope::Reserved, "{reserved}");
        }
        for public in ["2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:4860:4860::8888"]
        {
            assert_eq!(Scope::of_address(public.parse().unwrap()), Scope::Public, "{public}");
        }
    }
}
