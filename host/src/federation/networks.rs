//! Sets of addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks, merged and in order, so that a set of many thousands is looked up as fast as one of ten.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Networks {
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.trunc() {
                IpNet::V4(network) => v4.push(network),
                IpNet::V6(network) => v6.push(network),
            }
        }
        let (mut v4, mut v6) = (Ipv4Net::aggregate(&v4), Ipv6Net::aggregate(&v6));
        v4.sort_unstable();
        v6.sort_unstable();
        Self { v4, v6 }
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether `address` is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let next = self.v4.partition_point(|network| network.network() <= address);
                next > 0 && self.v4[next - 1].contains(&address)
            }
            IpAddr::V6(address) => {
                let next = self.v6.partition_point(|network| network.network() <= address);
                next > 0 && self.v6[next - 1].contains(&address)
            }
        }
    }

    /// Whether `network` has an address in common with one of them.
    pub fn overlap(&self, network: &IpNet) -> bool {
        self.contains(network.network())
            || match network {
                IpNet::V4(network) => self.v4.iter().any(|ours| network.contains(ours)),
                IpNet::V6(network) => self.v6.iter().any(|ours| network.contains(ours)),
            }
    }
}

/// Reads `10.0.0.0/8`, or a single address.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// What mean nothing outside their site, or nothing as the address of a host: the special-purpose registries of IANA
/// (RFC 6890 and its updates), without those of their entries that are reachable from everywhere.
pub(super) static RESERVED: LazyLock<Networks> = LazyLock::new(|| {
    const ALL: [&str; 30] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        // Unspecified, loopback, IPv4-compatible.
        "::/8",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        // Teredo, benchmarks, ORCHID and what else the IETF has set aside.
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        // AS112 and AMT are services that every site runs for itself.
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.175.48.0/24",
    ];
    Networks::new(ALL.iter().filter_map(|text| network(text)))
});

/// What `address` stands for: an IPv4 address in IPv6 dress is that address, and 6to4
/// and ISATAP are both.
pub(crate) fn meanings(address: IpAddr) -> [IpAddr; 2] {
    let IpAddr::V6(v6) = address else { return [address; 2] };
    let [.., a, b, c, d] = v6.octets();
    let last = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => [last; 2],
        [0x2002, high, low, ..] => [address, IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))],
        // ISATAP (RFC 5214): the last half is of the host, and has its address in it.
        [_, _, _, _, 0 | 0x0200, 0x5efe, ..] => [address, last],
        _ => [address; 2],
    }
}

/// Reads an address as people and programs write one, groups of IPv4 with leading zeros included.
pub(super) fn octets(groups: &[&str]) -> Option<Ipv4Addr> {
    let octet = |group: &&str| match group.len() {
        1..=3 => group.parse::<u8>().ok(),
        _ => None,
    };
    let mut all = [0; 4];
    if groups.len() != all.len() {
        return None;
    }
    for (place, group) in all.iter_mut().zip(groups) {
        *place = octet(group)?;
    }
    Some(Ipv4Addr::from(all))
}

/// An IPv6 address with at least one digit: `::` in a text is punctuation.
pub(super) fn v6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().filter(|_| text.bytes().any(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_reserved(text: &str) -> bool {
        meanings(text.parse().unwrap()).into_iter().any(|address| RESERVED.contains(address))
    }

    #[test]
    fn knows_the_first_and_the_last_address_of_each_range_and_not_their_neighbours() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ] {
            assert!(is_reserved(first) && is_reserved(last), "{first} to {last}");
            let (first, last): (Ipv4Addr, Ipv4Addr) = (first.parse().unwrap(), last.parse().unwrap());
            for neighbour in [u32::from(first).checked_sub(1), u32::from(last).checked_add(1)].into_iter().flatten() {
                let neighbour = Ipv4Addr::from(neighbour).to_string();
                assert!(!is_reserved(&neighbour), "{neighbour}");
            }
        }
        for reserved in [
            "::",
            "::1",
            "::10.0.0.1",
            "100::1",
            "100:0:0:1::5",
            "64:ff9b:1::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_reserved(reserved), "{reserved}");
        }
        for public in ["2001:200::1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"] {
            assert!(!is_reserved(public), "{public}");
        }
    }

    #[test]
    fn an_address_in_another_dress_is_the_same_address() {
        for reserved in ["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:0a00:0001::1", "2002:c0a8:1::"] {
            assert!(is_reserved(reserved), "{reserved}");
        }
        assert!(!is_reserved("2002:0808:0808::1"));
    }

    #[test]
    fn sets_merge_what_they_are_given_and_find_it_again() {
        let all = ["10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16", "192.0.2.7", "2a00:1::/32", "203.0.113.5/24"];
        let networks = Networks::new(all.iter().filter_map(|text| network(text)));
        for inside in ["10.1.2.3", "10.2.255.255", "192.0.2.7", "2a00:1::9", "203.0.113.200"] {
            assert!(networks.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["10.0.255.255", "10.3.0.0", "192.0.2.8", "2a00:2::"] {
            assert!(!networks.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!(
            networks.overlap(&network("10.0.0.0/8").unwrap()) && networks.overlap(&network("10.1.9.0/24").unwrap())
        );
        assert!(!networks.overlap(&network("11.0.0.0/8").unwrap()));
    }

    #[test]
    fn groups_with_leading_zeros_are_decimal() {
        assert_eq!(octets(&["010", "0", "000", "001"]), Some(Ipv4Addr::new(10, 0, 0, 1)));
        for other in [&["1", "2", "3"][..], &["1", "2", "3", "256"], &["1", "2", "3", "0004"], &["1", "", "3", "4"]] {
            assert_eq!(octets(other), None);
        }
    }
}
