//! What never leaves: judged by what an observable is, whatever scope its guest gave it, and found in running text.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr},
    ops::Range,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    commonplace::COMMONPLACE,
    host::{Host, host_of},
    names::{self, Names, canonical},
    networks::{Networks, RESERVED, meanings, octets},
    reading, short_form,
    warning_list::WarningList,
    words::{MOST_GROUPS, Signs, Word, is_version, runs, stands_alone, trimmed, v6_in},
};
use crate::sandbox::ObservableType;

/// What never leaves.
#[derive(Debug, Default)]
pub(super) struct Never {
    /// Addresses and names that every site has for itself.
    pub reserved: bool,
    /// The site's own networks.
    pub networks: Networks,
    /// The site's own names.
    pub domains: Names,
    /// Lists.
    pub lists: Vec<Arc<WarningList>>,
    /// What everybody has.
    pub common: bool,
}

/// Why something never leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why<'a> {
    /// It means nothing elsewhere.
    Reserved,
    /// It is in one of the site's networks.
    Network,
    /// It is one of the site's names, or below one.
    Domain,
    /// A list has it.
    List(&'a str),
    /// Everybody has it.
    Common,
    /// What it stands for cannot be told, so it cannot be said that it may leave.
    Unreadable,
}

impl Never {
    fn is_empty(&self) -> bool {
        let has_own = !self.networks.is_empty() || !self.domains.is_empty() || !self.lists.is_empty();
        !self.reserved && !self.common && !has_own
    }

    /// Why the observable `value` of this type never leaves, if so.
    pub fn judge(&self, kind: ObservableType, value: &str) -> Option<Why<'_>> {
        if self.is_empty() {
            return None;
        }
        let Ok(host) = host_of(kind, value) else { return Some(Why::Unreadable) };
        let of_host = match &host {
            Some(Host::Address(address)) => self.address(*address),
            Some(Host::Network(network)) => self.network(network),
            // One label is a name that is looked up by the site's own rules.
            Some(Host::Name(name)) if self.reserved && !name.contains('.') => Some(Why::Reserved),
            Some(Host::Name(name)) => self.name(name),
            None => None,
        };
        let listed = || self.listed(kind, value, host.as_ref());
        of_host.or_else(|| self.within(kind, value)).or_else(listed)
    }

    /// An address or a name somewhere in the value: `http://elsewhere/?from=10.0.0.1`, `\\files.plant\share`.
    fn within(&self, kind: ObservableType, value: &str) -> Option<Why<'_>> {
        use ObservableType as T;
        if !matches!(kind, T::Domain | T::Url | T::Email | T::FilePath | T::RegistryKey | T::Mutex | T::UserAgent) {
            return None;
        }
        let mut first = None;
        self.find(value, |_, why| first = first.or(Some(why)));
        first
    }

    fn listed(&self, kind: ObservableType, value: &str, host: Option<&Host<'_>>) -> Option<Why<'_>> {
        let list = self.lists.iter().find(|list| list.has(kind, value, host)).map(|list| Why::List(list.name()));
        list.or_else(|| (self.common && COMMONPLACE.has(kind, value, host)).then_some(Why::Common))
    }

    fn address(&self, address: IpAddr) -> Option<Why<'_>> {
        let [one, other] = meanings(address);
        let any = |networks: &Networks| networks.contains(one) || other != one && networks.contains(other);
        if any(&self.networks) {
            Some(Why::Network)
        } else {
            (self.reserved && any(&RESERVED)).then_some(Why::Reserved)
        }
    }

    fn network(&self, network: &IpNet) -> Option<Why<'_>> {
        if self.networks.overlap(network) {
            Some(Why::Network)
        } else {
            (self.reserved && RESERVED.overlap(network)).then_some(Why::Reserved)
        }
    }

    fn name(&self, name: &str) -> Option<Why<'_>> {
        if self.domains.contains(name) {
            Some(Why::Domain)
        } else {
            (self.reserved && names::is_reserved(name)).then_some(Why::Reserved)
        }
    }

    /// Finds addresses and names in `text` that never leave, as they stand and as they [read](reading). Not what only a
    /// list has: lists say which observables are worthless to others, and a text may still speak of them.
    pub fn find<'n>(&'n self, text: &str, mut found: impl FnMut(Range<usize>, Why<'n>)) {
        if !self.reserved && self.networks.is_empty() && self.domains.is_empty() {
            return;
        }
        let signs = Signs::in_text(text);
        if signs.is_telling() || signs.is_dash() || self.domains.have_words() {
            self.find_plain(text, &mut found);
        }
        if !signs.is_odd() && !signs.is_dot() {
            return;
        }
        reading::each(text, |read, place| {
            self.find_plain(read, &mut |range: Range<usize>, why| found(place(range), why));
        });
    }

    /// The one of its own that the key of a field names. A key is put together of others by dots, so that a name in it may
    /// go on; and the last names that every site has for itself are words there.
    pub fn in_key(&self, key: &str) -> bool {
        // Most keys are plain words with dots between them, and each event has dozens.
        let is_plain = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_' | b'-');
        let mut is_there = false;
        if self.reserved && names::is_host_in_key(key) {
            return true;
        }
        if key.bytes().all(is_plain) && self.domains.is_empty() {
            return false;
        }
        self.find(key, |range, why| {
            let is_word =
                !key[range.clone()].contains(':') && key[range].bytes().any(|byte| byte.is_ascii_alphabetic());
            is_there |= why != Why::Reserved || !is_word;
        });
        let ends = key.bytes().enumerate().filter(|(_, byte)| *byte == b'.').map(|(at, _)| at);
        is_there || ends.filter_map(|end| canonical(&key[..end])).any(|name| self.domains.contains(&name))
    }

    fn find_plain<'n>(&'n self, text: &str, found: &mut impl FnMut(Range<usize>, Why<'n>)) {
        let (bytes, words) = (text.as_bytes(), self.domains.have_words());
        let mut at = 0;
        while at < bytes.len() {
            if !Signs::of(bytes[at]).is_word() {
                at += 1;
                continue;
            }
            let mut word = Word { range: at..at, signs: Signs::NONE, dots: 0, colons: 0, dashes: 0 };
            while at < bytes.len() && Signs::of(bytes[at]).is_word() {
                word.signs = word.signs.and(Signs::of(bytes[at]));
                word.dots += usize::from(bytes[at] == b'.');
                word.colons += usize::from(bytes[at] == b':');
                word.dashes += usize::from(bytes[at] == b'-');
                at += 1;
            }
            word.range.end = at;
            if (word.signs.is_telling() || bytes[word.range.start].is_ascii_digit())
                && let Some((range, address)) = short_form::in_word(text, word.range.clone())
                && let Some(why) = self.address(address.into())
            {
                found(range, why);
            }
            if word.signs.is_telling() || word.dashes > 2 || words {
                self.in_word(text, word, found);
            }
        }
    }

    fn in_word<'n>(&'n self, text: &str, word: Word, found: &mut impl FnMut(Range<usize>, Why<'n>)) {
        if word.may_hold_v6(text) {
            for run in runs(text, word.range.clone(), |byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.') {
                if let Some((range, address)) = v6_in(text, run)
                    && let Some(why) = self.address(address.into())
                {
                    found(range, why);
                }
            }
        }
        // Fewer dots are no address.
        if word.dots > 2 {
            for run in runs(text, word.range.clone(), |byte| byte.is_ascii_digit() || byte == b'.') {
                if let Some((range, why)) = self.v4_in(text, run) {
                    found(range, why);
                }
            }
        }
        if word.dashes > 2 {
            for run in runs(text, word.range.clone(), |byte| byte.is_ascii_digit() || byte == b'-') {
                if let Some((range, why)) = self.dashed_in(text, run) {
                    found(range, why);
                }
            }
        }
        if !self.reserved && self.domains.is_empty() {
            return;
        }
        if word.colons == 0 {
            self.name_in(text, word.range, found);
        } else {
            for piece in runs(text, word.range, |byte| byte != b':') {
                self.name_in(text, piece, found);
            }
        }
    }

    /// Whether one of the names in `piece` can be one that never leaves. Most cannot, as their last labels tell.
    fn may_name(&self, piece: &[u8]) -> bool {
        piece.split(|byte| *byte == b'@').any(|name| {
            let Some(end) = name.iter().rposition(u8::is_ascii_alphanumeric) else { return false };
            let name = &name[..=end];
            let start = name.iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
            let (before, last) = (&name[..start], &name[start..]);
            self.domains.ends_in(last) || self.reserved && names::may_be_reserved(before, last)
        })
    }

    /// The run as a whole, if an address stands in it: tcpdump writes the port behind one more dot.
    fn v4_in(&self, text: &str, run: Range<usize>) -> Option<(Range<usize>, Why<'_>)> {
        let run = trimmed(text, run, |byte| byte == b'.');
        let is_alone = stands_alone(text, &run);
        let (mut all, mut count) = ([""; MOST_GROUPS], 0);
        for (place, group) in all.iter_mut().zip(text[run.clone()].split('.')) {
            *place = group;
            count += 1;
        }
        let groups = &all[..count];
        if !is_alone {
            // `src10.0.0.7`, `45.10.1.2ms`: four whole groups, and no version.
            let why = self.bare(octets(groups)?)?;
            return (why != Why::Reserved || !is_version(text, &run)).then_some((run, why));
        }
        let first = groups.first_chunk::<4>().and_then(|groups| octets(groups));
        let last = groups.last_chunk::<4>().and_then(|groups| octets(groups));
        let why = [first, last].into_iter().flatten().find_map(|address| self.address(address.into()))?;
        Some((run, why))
    }

    /// An address that a name is made of: `ip-10-0-0-7`.
    fn dashed_in(&self, text: &str, run: Range<usize>) -> Option<(Range<usize>, Why<'_>)> {
        let run = trimmed(text, run, |byte| byte == b'-');
        let bytes = text.as_bytes();
        // Of an address of a network card, or of a date with more behind it.
        let is_pair = |pair: &[u8]| matches!(pair, [a, b, b'-'] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        let goes_on = bytes.get(run.end) == Some(&b'-') || run.start > 2 && is_pair(&bytes[run.start - 3..run.start]);
        if goes_on || !stands_alone(text, &run) {
            return None;
        }
        let (mut all, mut count) = ([""; 4], 0);
        for group in text[run.clone()].split('-') {
            *all.get_mut(count)? = group;
            count += 1;
        }
        self.bare(octets(&all[..count])?).map(|why| (run, why))
    }

    /// Why `address` never leaves where it is only likely to be one: of what is reserved only what hosts of sites have.
    fn bare(&self, address: Ipv4Addr) -> Option<Why<'_>> {
        let is_hosts = address.is_private() || address.is_loopback() || address.is_link_local();
        self.address(address.into()).filter(|why| *why != Why::Reserved || is_hosts)
    }

    fn name_in<'n>(&'n self, text: &str, piece: Range<usize>, found: &mut impl FnMut(Range<usize>, Why<'n>)) {
        let bytes = &text.as_bytes()[piece.clone()];
        if bytes.is_ascii() && !self.may_name(bytes) {
            self.glued_in(text, piece, found);
            return;
        }
        let inner = text[piece.clone()].trim_start_matches(|c: char| !c.is_alphanumeric());
        let start = piece.end - inner.len();
        let whole = inner.trim_end_matches(|c: char| !c.is_alphanumeric());
        // In front of the first `@` stands a person, not a host; but `\\host@SSL@8443\share` is one.
        let has_user = whole.contains('@') && text.as_bytes()[..start].last() != Some(&b'\\');
        // A word alone is a name where the site says so; `test` and `home` are words.
        let judged = |(place, name): (usize, Cow<'_, str>)| match name.contains('.') {
            true if place == 0 && has_user => self.domains.contains(&name).then_some(Why::Domain),
            true => self.name(&name),
            false => (!(place == 0 && has_user) && self.domains.contains(&name)).then_some(Why::Domain),
        };
        let mut names = whole.split('@').enumerate().filter_map(|(place, name)| Some((place, canonical(name)?)));
        if let Some(why) = names.find_map(judged) {
            found(start..start + whole.len(), why);
        } else if !whole.is_ascii() {
            // Quotation marks of other scripts stand beside a name and not in it.
            for part in runs(text, piece, |byte| byte.is_ascii()) {
                self.name_in(text, part, found);
            }
        } else {
            self.glued_in(text, piece, found);
        }
    }

    /// A name of the site's that a longer word is made of: `hmi.plant.com.conf`, `joe_plant.com`.
    fn glued_in<'n>(&'n self, text: &str, piece: Range<usize>, found: &mut impl FnMut(Range<usize>, Why<'n>)) {
        let range = trimmed(text, piece, |byte| !byte.is_ascii_alphanumeric());
        if text[range.clone()].split('@').any(|word| self.domains.are_in(word)) {
            found(range, Why::Domain);
        }
    }
}

impl Why<'_> {
    /// Whether texts are not to say it either.
    pub fn is_secret(self) -> bool {
        // A browser is nothing to be kept from anybody, only nothing to look out for.
        self != Self::Common
    }

    /// In an event's provenance.
    pub fn text(self) -> Cow<'static, str> {
        match self {
            Self::Reserved => "reserved".into(),
            Self::Network => "own network".into(),
            Self::Domain => "own domain".into(),
            Self::List(name) => format!("list {name}").into(),
            Self::Common => "common".into(),
            Self::Unreadable => "not readable".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ObservableType as T;

    use super::*;
    use crate::federation::networks::network;

    fn never() -> Never {
        Never {
            reserved: true,
            networks: Networks::new(["45.10.0.0/16", "2a00:77::/32"].iter().filter_map(|text| network(text))),
            domains: Names::new(["plant.com", "bücher.de"].into_iter().filter_map(canonical)),
            lists: Vec::new(),
            common: false,
        }
    }

    #[test]
    fn judges_what_an_observable_names_however_it_is_written() {
        let never = never();
        for (kind, value, why) in [
            (T::Ip, "10.1.2.3", Why::Reserved),
            (T::Ip, "::ffff:192.168.0.1", Why::Reserved),
            (T::Ip, "45.10.255.1", Why::Network),
            (T::Ip, "2a00:77::5", Why::Network),
            (T::Ip, "45.0.0.0/8", Why::Network),
            (T::Ip, "evil.com", Why::Unreadable),
            (T::Domain, "PLC7.Plant.COM.", Why::Domain),
            (T::Domain, "shop.xn--bcher-kva.de", Why::Domain),
            (T::Domain, "server1", Why::Reserved),
            (T::Domain, "a.local", Why::Reserved),
            (T::Domain, "192.168.1.1", Why::Reserved),
            (T::Domain, "not a name", Why::Unreadable),
            (T::Url, "https://hmi.plant.com:8443/x", Why::Domain),
            (T::Url, "http://0x0a000001/", Why::Reserved),
            (T::Url, "http://[fe80::1]/", Why::Reserved),
            (T::Url, "10.0.0.1/admin", Why::Reserved),
            (T::Url, "http://evil.com/?victim=10.0.0.7", Why::Reserved),
            (T::Url, "http://evil.com/?mail=joe@plant.com", Why::Domain),
            (T::Url, "http://user:pw@plant.com@evil.com/", Why::Domain),
            (T::Url, "::", Why::Unreadable),
            (T::Email, "joe@mail.plant.com", Why::Domain),
            (T::Email, "joe@[10.0.0.1]", Why::Reserved),
            (T::Email, "joe", Why::Unreadable),
            (T::FilePath, r"\\files.plant.com\share\x.exe", Why::Domain),
            (T::UserAgent, "agent/1 (10.9.8.7)", Why::Reserved),
            (T::Url, "http://evil.com/?m=joe%40plant.com", Why::Domain),
            (T::Url, "http://evil.com/?r=http%3A%2F%2Fplant.com%2Fx", Why::Domain),
            (T::Url, "http://evil.com/?v=10%2E0%2E0%2E7", Why::Reserved),
            (T::Url, "http://evil.com/?v=10%252E0%252E0%252E7", Why::Reserved),
            (T::Domain, "10.0.0.7.nip.io", Why::Reserved),
            (T::Ip, "2606:4700::5efe:10.0.0.7", Why::Reserved),
        ] {
            assert_eq!(never.judge(kind, value), Some(why), "{value}");
        }
        for (kind, value) in [
            (T::Ip, "8.8.8.8"),
            (T::Ip, "46.0.0.0/8"),
            (T::Domain, "evil.com"),
            (T::Domain, "plant.com.evil.net"),
            (T::Domain, "xyz.onion"),
            (T::Url, "hxxp://evil.com/a"),
            (T::Url, "evil.com/a"),
            (T::Email, "joe@evil.com"),
            (T::HashMd5, "d41d8cd98f00b204e9800998ecf8427e"),
            (T::Cve, "CVE-2024-1"),
            (T::FilePath, r"C:\Windows\evil.exe"),
            (T::UserAgent, "Mozilla/5.0 Chrome/120.0.0.0"),
        ] {
            assert_eq!(never.judge(kind, value), None, "{value}");
        }
    }

    #[test]
    fn where_nothing_is_kept_nothing_is_judged() {
        assert_eq!(Never::default().judge(T::Ip, "10.0.0.1"), None);
        assert_eq!(Never::default().judge(T::Ip, "not an address"), None);
    }

    #[test]
    fn what_everybody_has_is_judged_behind_all_else_and_is_no_secret() {
        let never = Never { common: true, ..never() };
        for (kind, value, why) in [
            (T::Ip, "8.8.8.8", Some(Why::Common)),
            (T::Url, "http://8.8.8.8/", Some(Why::Common)),
            (T::Url, "http://8.8.8.8/a?from=10.0.0.1", Some(Why::Reserved)),
            (T::UserAgent, "Mozilla/5.0 (10.9.8.7)", Some(Why::Reserved)),
            (T::UserAgent, "Mozilla/5.0 (X11)", Some(Why::Common)),
            (T::Domain, "evil.com", None),
        ] {
            assert_eq!(never.judge(kind, value), why, "{value}");
        }
        let mut found = false;
        never.find("8.8.8.8 and /bin/sh", |_, _| found = true);
        assert!(!found && !Why::Common.is_secret() && Why::Reserved.is_secret());
    }

    #[test]
    fn keys_of_fields_name_what_is_the_sites_own() {
        let never = never();
        for key in [
            "10.0.0.9",
            "hosts.10.1.2.3.port",
            "plc.plant.com",
            "plc.plant.com.a",
            "fe80::1",
            "dc01.corp.local",
            "nas.lan",
            "hmi_plant.com",
            "hmi.plant.com_x",
            "10-0-0-7",
            "ip10.0.0.7",
        ] {
            assert!(never.in_key(key), "{key}");
        }
        for key in ["user.home", "network.local", "src_ip", "process.name", "http.version", "8.8.8.8"] {
            assert!(!never.in_key(key), "{key}");
        }
    }

    fn found(text: &str) -> Vec<&str> {
        let (never, mut ranges) = (never(), Vec::<Range<usize>>::new());
        // What reads as it stands is found more than once.
        never.find(text, |range, _| {
            if !ranges.contains(&range) {
                ranges.push(range);
            }
        });
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn finds_addresses_and_names_in_running_text() {
        for (text, expected) in [
            ("from 10.0.0.1, to 8.8.8.8.", &["10.0.0.1"][..]),
            ("10.0.0.1:443 -> 010.000.000.002:80", &["10.0.0.1", "010.000.000.002"]),
            ("IP 192.168.1.5.51234 > 8.8.8.8.53", &["192.168.1.5.51234"]),
            ("10.0.0.1-10.0.0.9", &["10.0.0.1", "10.0.0.9"]),
            ("src=10.0.0.1;dst=45.10.3.4/32", &["10.0.0.1", "45.10.3.4"]),
            ("[fe80::1%eth0]:22 and ::ffff:10.0.0.1", &["fe80::1", "::ffff:10.0.0.1", "10.0.0.1"]),
            ("src:fe80::2:", &["fe80::2"]),
            ("at 2a00:77::1 and 2606:4700::1111", &["2a00:77::1"]),
            ("login of joe@plant.com at PLC-7.plant.com.", &["joe@plant.com", "PLC-7.plant.com"]),
            ("https://u:pw@hmi.plant.com:8443/a?b=x.local", &["pw@hmi.plant.com", "x.local"]),
            ("“shop.bücher.de” „plant.com“", &["shop.bücher.de", "plant.com"]),
            ("plant。com", &["plant。com"]),
            (r"Hosts:\n10.0.0.7\nplant.com\t10.0.0.8", &["10.0.0.7", "plant.com", "10.0.0.8"]),
            ("get http://10.7/a or http://u:p@0x0a000001:80/", &["10.7", "0x0a000001"]),
            ("http%3A%2F%2F167772161%2Fx, not http://1.1/ or 10.7 of 11", &["167772161"]),
            (r"shop.b\u00fccher.de", &[r"shop.b\u00fccher.de"]),
            ("http://evil.com/?q=a%0A10.0.0.7%0D%0Aplant.com", &["10.0.0.7", "plant.com"]),
            (r"10\.0\.0\.7 hmi\.plant\.com", &[r"10\.0\.0\.7", r"hmi\.plant\.com"]),
            ("b%C3%BCcher.de 10&#46;0&#46;0&#46;7", &["b%C3%BCcher.de", "10&#46;0&#46;0&#46;7"]),
            ("CN=joe,DC=hmi,DC=plant,DC=com", &["joe,DC=hmi,DC=plant,DC=com"]),
            ("src10.0.0.7, 10.1.2.3x and v45.10.1.2, 45.10.1.2ms", &["10.0.0.7", "10.1.2.3", "45.10.1.2", "45.10.1.2"]),
            ("ip-10-0-0-7 and 192-168-0-1.evil.net", &["10-0-0-7", "192-168-0-1"]),
            (
                "/etc/hmi.plant.com.conf /var/www.plant.com-access.log.1",
                &["hmi.plant.com.conf", "www.plant.com-access.log.1"],
            ),
            ("joe_plant.com#EXT#@evil.net hmi.plant.com_x", &["joe_plant.com", "hmi.plant.com_x"]),
            ("joe.plant.com@evil.com", &["joe.plant.com@evil.com"]),
            (r"\\hmi.lan@SSL@8443\x", &["hmi.lan@SSL@8443"]),
            ("IP6 fe80::1.546 > 2a00:77::5.443", &["fe80::1.546", "2a00:77::5.443"]),
            ("hxxp://plc[.]plant[.]com, 10[.]0[.]0[.]7", &["plc[.]plant[.]com", "10[.]0[.]0[.]7"]),
            ("connecting...plc.plant.com", &["plc.plant.com"]),
            ("１０．０．０．７", &["１０．０．０．７"]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn leaves_alone_what_only_looks_like_it() {
        for text in [
            "version v10.0.0.1 and 1.2.3",
            "std::vector::iter at 10:20:30.123",
            "aa:bb:cc:dd:ee:ff",
            "plant.com.evil.net is not notplant.com",
            "a plant, on the local network: test.",
            "Chrome/120.0.0.0",
            "9.9.9.9 and 2606:4700::1111",
            "§ 10.0.0",
            "version10.0.0.1, Rev10.0.0.1, x0.1.2.3",
            "2026-11-22-10 at 00-1a-10-0-0-7 or 10-0-0-7-x, 1-2-3-4",
            "log-plant.com plant.com-evil.net xplant.com.log",
            "joe.test@evil.com",
            "at 10:20:30.546, a, b and c = 45",
            "1.3.6.1.4.1.311, #0122",
        ] {
            assert_eq!(found(text), [] as [&str; 0], "{text}");
        }
    }

    #[test]
    fn a_name_of_one_label_is_found_as_a_word() {
        let never = Never { domains: Names::new(["plant7".into()]), ..Never::default() };
        let mut ranges = Vec::new();
        never.find("PLANT7\\joe on db.plant7 and plant70", |range, _| ranges.push(range));
        assert_eq!(ranges, [0..6, 14..23]);
    }
}
