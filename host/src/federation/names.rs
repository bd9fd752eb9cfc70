//! Sets of names of hosts.

use std::{borrow::Cow, collections::HashSet};

use url::Host;

/// Names, each with everything below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(HashSet<Box<str>>);

impl Names {
    /// Of names that are [`canonical`].
    pub fn new<'a>(names: impl IntoIterator<Item = Cow<'a, str>>) -> Self {
        Self(names.into_iter().map(|name| name.into_owned().into()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them has a single label, so that it can stand in a text as a mere word.
    pub fn have_words(&self) -> bool {
        self.0.iter().any(|name| !name.contains('.'))
    }

    /// Whether `name`, which is canonical, is one of them or below one.
    pub fn contains(&self, name: &str) -> bool {
        !self.0.is_empty() && above(name).any(|name| self.0.contains(name))
    }
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

/// Whether `name`, which is canonical, is one that every site has for itself, or that is kept for documentation: the
/// special-use names of RFC 6761 and its successors, and those that sites use though nobody has set them aside (RFC 6762,
/// appendix G). Not `.onion`, which means the same everywhere.
pub(super) fn is_reserved(name: &str) -> bool {
    const LAST: [&str; 14] = [
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
    let last = name.rsplit('.').next().unwrap_or(name);
    LAST.contains(&last) || above(name).any(|name| matches!(name, "example.com" | "example.net" | "example.org"))
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
