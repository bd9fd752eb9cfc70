//! What the site itself vouches for: its own names and networks, and big public services that are no indicator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A site's allow-list. Observables on it are still extracted, marked, and never shared.
///
/// An entry is one of: an address (`192.0.2.1`), a network (`192.0.2.0/24`, `2001:db8::/32`), a domain that stands for
/// its subdomains too (`example.com`, also written `.example.com` or `*.example.com`), or any other exact value (a
/// hash, an e-mail address, a URL, a path). Case does not matter.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Lower case, sorted, without the leading dot.
    domains: Vec<String>,
    /// Lower case, sorted.
    exact: Vec<String>,
}

impl AllowList {
    /// Reads the entries.
    ///
    /// # Errors
    /// Says which entry is neither of these things.
    pub fn new(entries: &[String]) -> Result<Self, String> {
        let mut list = Self::default();
        for entry in entries {
            list.add(entry.trim())?;
        }
        list.domains.sort_unstable();
        list.exact.sort_unstable();
        Ok(list)
    }

    fn add(&mut self, entry: &str) -> Result<(), String> {
        if entry.is_empty() {
            return Err("an allow-list entry is empty".to_owned());
        }
        let (address, prefix) =
            entry.split_once('/').map_or((entry, None), |(address, prefix)| (address, Some(prefix)));
        if let Ok(address) = address.parse::<IpAddr>() {
            return self.add_network(address, prefix).ok_or_else(|| {
                format!("allow-list entry `{entry}` is no network, expected a prefix length up to {}", width(address))
            });
        }
        let lower = entry.to_ascii_lowercase();
        let name = lower.strip_prefix("*.").or_else(|| lower.strip_prefix('.')).unwrap_or(&lower);
        if name.split('.').all(is_label) && !looks_like_hash(name) {
            self.domains.push(name.to_owned());
        } else if lower.contains('*') {
            return Err(format!(
                "allow-list entry `{entry}` has a wildcard, expected one only as `*.` before a domain"
            ));
        } else {
            self.exact.push(lower);
        }
        Ok(())
    }

    fn add_network(&mut self, address: IpAddr, prefix: Option<&str>) -> Option<()> {
        let length = prefix.map_or(Some(width(address)), |prefix| prefix.parse().ok())?;
        if length > width(address) {
            return None;
        }
        match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                self.v4.push((address.to_bits() & mask, mask));
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                self.v6.push((address.to_bits() & mask, mask));
            }
        }
        Some(())
    }

    pub(super) fn has_v4(&self, address: Ipv4Addr) -> bool {
        self.v4.iter().any(|&(network, mask)| address.to_bits() & mask == network)
    }

    pub(super) fn has_v6(&self, address: Ipv6Addr) -> bool {
        self.v6.iter().any(|&(network, mask)| address.to_bits() & mask == network)
            || address.to_ipv4_mapped().is_some_and(|inner| self.has_v4(inner))
    }

    /// `name` or a parent of it is listed, in any case.
    pub(super) fn has_domain(&self, name: &[u8]) -> bool {
        if self.domains.is_empty() {
            return false;
        }
        let mut rest = name;
        loop {
            if self.domains.binary_search_by(|entry| lower_cmp(entry, rest)).is_ok() {
                return true;
            }
            match rest.iter().position(|&b| b == b'.') {
                Some(dot) => rest = &rest[dot + 1..],
                None => return false,
            }
        }
    }

    /// `value` itself is listed, in any case.
    pub(super) fn has_exact(&self, value: &str) -> bool {
        !self.exact.is_empty()
            && self
                .exact
                .binary_search_by(|entry| entry.bytes().cmp(value.bytes().map(|b| b.to_ascii_lowercase())))
                .is_ok()
    }
}

/// Orders an entry against a value in any case.
fn lower_cmp(entry: &str, value: &[u8]) -> std::cmp::Ordering {
    entry.bytes().cmp(value.iter().map(u8::to_ascii_lowercase))
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

fn looks_like_hash(name: &str) -> bool {
    matches!(name.len(), 32 | 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        AllowList::new(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_domain_stands_for_its_subdomains_and_for_no_lookalike() {
        let list = list(&["Example.com", "*.corp.test", ".other.net"]);
        for listed in ["example.com", "a.b.example.com", "x.corp.test", "corp.test", "www.other.net"] {
            assert!(list.has_domain(listed.as_bytes()), "{listed}");
        }
        for other in ["notexample.com", "com", "example.com.evil.ru"] {
            assert!(!list.has_domain(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn networks_and_addresses_match_by_prefix() {
        let list = list(&["198.51.100.0/24", "8.8.8.8", "2001:db8::/32", "::/0"]);
        assert!(list.has_v4("198.51.100.200".parse().unwrap()) && list.has_v4("8.8.8.8".parse().unwrap()));
        assert!(!list.has_v4("8.8.4.4".parse().unwrap()));
        assert!(list.has_v6("2a00::1".parse().unwrap()));
    }

    #[test]
    fn other_values_match_exactly_in_any_case() {
        let list = list(&["D41D8CD98F00B204E9800998ECF8427E", "soc@example.com"]);
        assert!(list.has_exact("d41d8cd98f00b204e9800998ecf8427e") && list.has_exact("SOC@Example.com"));
        assert!(!list.has_exact("xsoc@example.com"));
    }

    #[test]
    fn refuses_what_cannot_be_meant() {
        for bad in ["", "10.0.0.0/33", "10.0.0.0/x", "2001:db8::/129", "evil*.com"] {
            assert!(AllowList::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
