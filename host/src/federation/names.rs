//! Sets of names of hosts.

use std::{borrow::Cow, collections::HashSet};

use url::Host;

/// Names, each with everything below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    all: HashSet<Box<str>>,
    /// Their last labels, each once.
    lasts: Vec<Box<str>>,
    /// Whether one of them has a single label.
    have_words: bool,
}

impl Names {
    /// Of names that are [`canonical`].
    pub fn new<'a>(names: impl IntoIterator<Item = Cow<'a, str>>) -> Self {
        let all: HashSet<Box<str>> = names.into_iter().map(|name| name.into_owned().into()).collect();
        let mut lasts: Vec<Box<str>> = all.iter().map(|name| last(name).into()).collect();
        lasts.sort_unstable();
        lasts.dedup();
        let have_words = all.iter().any(|name| !name.contains('.'));
        Self { all, lasts, have_words }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them has a single label, so that it can stand in a text as a mere word.
    pub fn have_words(&self) -> bool {
        self.have_words
    }

    /// Whether `name`, which is canonical, is one of them or below one.
    pub fn contains(&self, name: &str) -> bool {
        !self.all.is_empty() && above(name).any(|name| self.all.contains(name))
    }

    /// Whether one of them has this last label, in whatever case: no name without such a one is among them.
    pub fn ends_in(&self, label: &[u8]) -> bool {
        self.lasts.iter().any(|last| last.as_bytes().eq_ignore_ascii_case(label))
    }
}

/// Last labels of files, and of names that tcpdump writes with their ports, that are not looked up as names.
const EXTENSIONS: [&str; 36] = [
    "bak", "cer", "cfg", "conf", "config", "crt", "csv", "db", "domain", "err", "evtx", "gz", "htm", "html", "http",
    "https", "ini", "json", "key", "ldap", "log", "old", "out", "p12", "pcap", "pem", "pfx", "smb", "sql", "ssh",
    "tar", "txt", "xml", "yaml", "yml", "zip",
];

/// Most of them behind a name.
const MOST_EXTENSIONS: usize = 2;

impl Names {
    /// Whether `word` is made of one of them that has several labels, and of what no name goes on with: something behind a
    /// hyphen, an underscore or a dot that makes it a file, or something before an underscore. `plant.com.evil.net` and
    /// `log-plant.com` are other names.
    pub fn are_in(&self, word: &str) -> bool {
        if self.all.is_empty() {
            return false;
        }
        let bytes = word.as_bytes();
        memchr::memchr_iter(b'.', bytes).any(|dot| {
            let label = bytes[dot + 1..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let end = dot + 1 + label;
            self.ends_in(&bytes[dot + 1..end]) && is_file(&word[end..]) && self.are_behind(&word[..end])
        })
    }

    /// Whether `name` is one of them or below one, or is so behind an underscore.
    fn are_behind(&self, name: &str) -> bool {
        let behind = name.match_indices('_').map(|(at, _)| at + 1);
        let mut starts = std::iter::once(0).chain(behind);
        starts.any(|start| canonical(&name[start..]).is_some_and(|name| self.contains(&name)))
    }
}

/// Whether what follows a name is nothing, or makes a file of it.
fn is_file(rest: &str) -> bool {
    let mut labels = rest.split('.');
    // Nothing, or what is glued to the name's last label.
    let _ = labels.next();
    let is_extension = |label: &str| {
        let is_number = (1..=5).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_digit());
        is_number || EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(label))
    };
    let (mut count, mut all) = (0, true);
    for label in labels {
        count += 1;
        all &= is_extension(label);
    }
    all && count <= MOST_EXTENSIONS
}

/// Whether a field's `key` ends like the name of a host at a site, and not like one made of words: `nas.lan`,
/// `dc01.corp.local`, but neither `user.home` nor `network.local`.
pub(super) fn is_host_in_key(key: &str) -> bool {
    let mut labels = key.rsplit('.');
    let (Some(last), Some(before)) = (labels.next(), labels.next()) else { return false };
    let is = |label: &str, known: &str| label.eq_ignore_ascii_case(known);
    let is_reserved = |label: &str| RESERVED.iter().any(|known| is(label, known));
    let is_below = !before.is_empty();
    is_below && (is(last, "lan") || is(last, "localdomain"))
        || labels.next().is_some() && is_reserved(last) && is_reserved(before)
}

/// Longest name, bytes; RFC 1035.
const LONGEST: usize = 253;

/// A name in the one form that names are compared in: lower case, punycode, without the dot of the root. None if it is no
/// name of a host.
pub(crate) fn canonical(text: &str) -> Option<Cow<'_, str>> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if !name.is_ascii() {
        // An address here is one in digits of another script.
        return match Host::parse(name).ok()? {
            Host::Domain(name) => canonical(&name).map(|name| Cow::Owned(name.into_owned())),
            Host::Ipv4(address) => Some(Cow::Owned(address.to_string())),
            Host::Ipv6(_) => None,
        };
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > LONGEST || !name.split('.').all(is_label) {
        return None;
    }
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Some(Cow::Owned(name.to_ascii_lowercase())),
        false => Some(Cow::Borrowed(name)),
    }
}

/// Last labels of names that every site has for itself, or that are kept for documentation: the special-use names of RFC
/// 6761 and its successors, and those that sites use though nobody has set them aside (RFC 6762, appendix G). Not `.onion`,
/// which means the same everywhere.
const RESERVED: [&str; 14] = [
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "test",
    "workgroup",
];

/// Below which `example` is kept for documentation.
const EXAMPLES: [&str; 3] = ["com", "net", "org"];

/// Whether `name`, which is canonical, is one that every site has for itself, or that is kept for documentation.
pub(super) fn is_reserved(name: &str) -> bool {
    let (before, last) = name.rsplit_once('.').unwrap_or(("", name));
    RESERVED.contains(&last) || EXAMPLES.contains(&last) && self::last(before) == "example"
}

/// Whether a name with this `last` label and what is `before` it, the dot included, can be [one of those](is_reserved), in
/// whatever case.
pub(super) fn may_be_reserved(before: &[u8], last: &[u8]) -> bool {
    let is = |label: &&str| label.as_bytes().eq_ignore_ascii_case(last);
    let is_example = || before.last_chunk().is_some_and(|end: &[u8; 8]| end.eq_ignore_ascii_case(b"example."));
    last.first().is_some_and(u8::is_ascii_alphabetic)
        && (RESERVED.iter().any(is) || EXAMPLES.iter().any(is) && is_example())
}

/// The last label of `name`.
fn last(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

/// `name` and all that it is below: `a.b.c`, `b.c`, `c`.
fn above(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Names {
        Names::new(all.iter().map(|name| canonical(name).unwrap()))
    }

    #[test]
    fn a_name_has_what_is_below_it_and_nothing_beside_it() {
        let ours = names(&["Plant.Example.ORG.", "bücher.de", "single"]);
        for inside in ["plant.example.org", "a.b.plant.example.org", "xn--bcher-kva.de", "db.single"] {
            assert!(ours.contains(&canonical(inside).unwrap()), "{inside}");
        }
        for other in ["example.org", "notplant.example.org", "plant.example.org.evil.net", "de", "singles"] {
            assert!(!ours.contains(&canonical(other).unwrap()), "{other}");
        }
        assert!(ours.have_words() && !names(&["a.b"]).have_words());
    }

    #[test]
    fn a_name_is_found_in_a_word_that_is_no_name() {
        let ours = names(&["plant.com", "bücher.de"]);
        for word in
            ["a.plant.com.conf", "www.plant.com-x.log.1", "joe_PLANT.com", "plant.com_x", "xn--bcher-kva.de.443"]
        {
            assert!(ours.are_in(word), "{word}");
        }
        for word in
            ["plant.com.evil.net", "log-plant.com", "plant.com-x.net", "xplant.com.log", "plant.community", "com", ""]
        {
            assert!(!ours.are_in(word), "{word}");
        }
    }

    #[test]
    fn one_name_has_one_form_however_it_is_spelled() {
        for spelled in ["Bücher.DE", "xn--bcher-kva.de", "BÜCHER.de.", "bücher。de", "XN--BCHER-KVA.DE"] {
            assert_eq!(canonical(spelled).as_deref(), Some("xn--bcher-kva.de"), "{spelled}");
        }
        for none in ["", ".", "a..b", "a b.c", "a/b", "*.a.b", &"x.".repeat(200)] {
            assert_eq!(canonical(none), None, "{none}");
        }
    }

    #[test]
    fn knows_the_names_that_every_site_has_for_itself() {
        for reserved in ["localhost", "x.local", "a.internal", "www.example.com", "1.0.0.127.in-addr.arpa", "a.lan"] {
            assert!(is_reserved(reserved), "{reserved}");
        }
        for public in ["evil.com", "notexample.com", "abc.onion", "local.evil.net", "example.de"] {
            assert!(!is_reserved(public), "{public}");
        }
    }
}
