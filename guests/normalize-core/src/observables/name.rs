//! Domain names: syntax, public suffix, and whether a dotted word in running text was meant as one.

use psl::Psl;

use super::class::byte;
use super::words::Short;

/// What is known of a name once it was read. The text itself stays where it is, in whatever case: most words with a dot
/// in them are no domains, and copying each one would cost more than all else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    length: usize,
    /// Length of the public suffix, 0 if it has none.
    suffix: usize,
    /// Length of the last label.
    tld: usize,
    /// Number of labels.
    labels: usize,
    special: bool,
    private_suffix: bool,
}

impl Name {
    /// Reads a host name. Underscores may stand anywhere but in the last label (`_dmarc`, `host_1` exist); a label
    /// neither begins nor ends with a hyphen; the last label is no number.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 253 {
            return None;
        }
        let tld_start = text.iter().rposition(|&b| b == b'.').map_or(0, |dot| dot + 1);
        let tld = &text[tld_start..];
        let mut name =
            Self { length: text.len(), suffix: 0, tld: tld.len(), labels: 1, special: false, private_suffix: false };
        let mut suffix = Suffix::None;
        if tld_start > 0 {
            if tld.iter().all(u8::is_ascii_digit) {
                return None;
            }
            if tld.len() > 1 && (tld.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80) || is_punycode(tld)) {
                name.special = Short::lower(tld).is_special();
                suffix = suffix_of(text);
            }
        }
        let mut label_start = 0;
        for (index, &b) in text.iter().enumerate() {
            match b {
                b'.' => {
                    is_label(&text[label_start..index]).then_some(())?;
                    name.labels += 1;
                    label_start = index + 1;
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | 0x80.. => {}
                b'_' if index < tld_start || tld_start == 0 => {}
                _ => return None,
            }
        }
        is_label(tld).then_some(())?;
        if tld_start == 0 {
            name.special = Short::lower(text).is(b"localhost");
        }
        match suffix {
            Suffix::None => {}
            Suffix::Public(length) => name.suffix = length,
            Suffix::Private(length) => {
                name.suffix = length;
                name.private_suffix = length == text.len();
            }
        }
        name.special |= ends_with(text, b".home.arpa");
        Some(name)
    }

    /// Lies below a public suffix, or below a name set aside for special use: worth reporting as a domain. `github.io`
    /// is a public suffix by its owner's wish, and somebody's domain all the same.
    pub(super) fn is_domain(&self) -> bool {
        self.labels > 1 && (self.special || self.private_suffix || (self.suffix > 0 && self.suffix < self.length))
    }

    /// Means nothing outside the site: no public suffix, or one set aside, or a name kept for documentation.
    pub(super) fn is_reserved(&self, text: &[u8]) -> bool {
        if self.suffix == 0 || self.special {
            return !ends_with(text, b".onion");
        }
        ends_with(text, b".arpa")
            || [&b"example.com"[..], b"example.net", b"example.org"].iter().any(|kept| {
                ends_with(text, kept) && (text.len() == kept.len() || text[text.len() - kept.len() - 1] == b'.')
            })
    }

    /// Whether this name, `bytes[start..end]` of running text, was meant as a domain.
    pub(super) fn is_meant(&self, bytes: &[u8], start: usize, end: usize) -> bool {
        let text = &bytes[start..end];
        if self.labels > 2 && text[..4].eq_ignore_ascii_case(b"www.") {
            return true;
        }
        let (before, after) = (before(bytes, start), byte(bytes, end));
        // A variable, a key of key=value, a member.
        if before == b'$' || after == b'=' || (before == b'>' && bytes[..start].ends_with(b"->")) {
            return false;
        }
        let key = key_before(bytes, start);
        if KEYS_OF_USERS.iter().any(|word| ends_with(key, word)) {
            return false;
        }
        if KEYS_OF_HOSTS.iter().any(|word| ends_with(key, word)) {
            return true;
        }
        let spelled = &text[text.len() - self.tld..];
        let tld = Short::lower(spelled);
        let everyday = tld.is(b"com") || tld.is(b"net") || tld.is(b"org");
        if everyday && Short::lower(text).is_program() {
            return false;
        }
        let capital = text.iter().any(u8::is_ascii_uppercase);
        let small = text.iter().any(u8::is_ascii_lowercase);
        if capital && small && !tld.is(b"com") && spelled.iter().any(u8::is_ascii_uppercase) {
            // `System.Net`, `Microsoft.AspNetCore.App`, `end.In the`
            return false;
        }
        let first = &text[..text.iter().position(|&b| b == b'.').unwrap_or(0)];
        if !everyday && Short::lower(first).begins_package() {
            return false;
        }
        // `co.id` and `com.py` are nobody's words.
        if self.suffix > self.tld {
            return true;
        }
        if tld.is_file_extension() && !(tld.is_popular() && self.labels > 2)
            || tld.is_brand()
            || tld.is_code_word() && (self.labels == 2 || tld.is(b"name") || tld.is(b"id"))
        {
            return false;
        }
        if tld.is_short_word() {
            // `4.am`, `foo.is(x)`, `camelCase.to`
            return after != b'(' && !(capital && small) && !first.iter().all(u8::is_ascii_digit);
        }
        if tld.is_special_word() {
            return self.labels > 2;
        }
        true
    }
}

enum Suffix {
    None,
    Public(usize),
    Private(usize),
}

/// The public suffix of `text`.
fn suffix_of(text: &[u8]) -> Suffix {
    if text.iter().any(u8::is_ascii_uppercase) {
        let mut lower = [0; 256];
        let Some(lower) = lower.get_mut(..text.len()) else { return Suffix::None };
        lower.copy_from_slice(text);
        lower.make_ascii_lowercase();
        return suffix_of(lower);
    }
    let info = psl::List.find(text.rsplit(|&b| b == b'.'));
    match info.typ {
        Some(psl::Type::Private) => Suffix::Private(info.len),
        Some(psl::Type::Icann) => Suffix::Public(info.len),
        None => Suffix::None,
    }
}

fn ends_with(text: &[u8], ending: &[u8]) -> bool {
    text.len() >= ending.len() && text[text.len() - ending.len()..].eq_ignore_ascii_case(ending)
}

fn before(bytes: &[u8], start: usize) -> u8 {
    start.checked_sub(1).map_or(0, |index| bytes[index])
}

/// Keys of key=value whose value is somebody's name: `suser=joe.black`.
const KEYS_OF_USERS: &[&[u8]] = &[b"user", b"username", b"usrname", b"account", b"login"];
/// Keys whose value is a host, whatever it ends in: `dhost=onet.pl`, `query=get.sh`.
const KEYS_OF_HOSTS: &[&[u8]] = &[b"host", b"hostname", b"domain", b"fqdn", b"sni", b"query", b"server_name", b"qname"];

/// What stands before the equals sign whose value begins at `start`; nothing where there is none.
fn key_before(bytes: &[u8], start: usize) -> &[u8] {
    let before = &bytes[..start];
    before.strip_suffix(b"\"").unwrap_or(before).strip_suffix(b"=").unwrap_or_default()
}

fn is_label(label: &[u8]) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(|&b| b != b'-');
    label.len() <= 63 && ends(label.first()) && ends(label.last())
}

fn is_punycode(label: &[u8]) -> bool {
    label.len() > 4 && label[..4].eq_ignore_ascii_case(b"xn--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &str) -> bool {
        let bytes = text.as_bytes();
        Name::read(bytes).is_some_and(|name| name.is_domain() && name.is_meant(bytes, 0, bytes.len()))
    }

    #[test]
    fn finds_domains_below_real_suffixes() {
        for domain in [
            "example.com",
            "www.bbc.co.uk",
            "mz-fcb301p.ocn.ad.jp",
            "t.co",
            "163.com",
            "GOOGLE.COM",
            "Booking.com",
            "xn--80ak6aa92e.com",
            "a.b-c.de",
            "foo.onion",
            "host.local",
            "dc01.corp.internal",
            "github.io",
            "_dmarc.example.org",
            "вирус.рф",
            "例え.中国",
            "paypal.co.id",
            "windowsearchcache.com",
            "evil.cc",
        ] {
            assert!(meant(domain), "{domain}");
        }
    }

    #[test]
    fn takes_no_file_version_or_identifier_for_a_domain() {
        for other in [
            "file.txt",
            "System.Net",
            "System.IO",
            "1.2.3",
            "foo.exe",
            "java.lang.String",
            "setup.py",
            "install.sh",
            "archive.zip",
            "lib.so",
            "user.name",
            "process.parent.name",
            "co.uk",
            "com",
            "smtp.mailfrom",
            "README.md",
            "com.google.android.gms",
            "org.apache.commons.io",
            "ASP.NET",
            "chcp.com",
            "-a.com",
            "a-.com",
            "a..com",
            "Microsoft.PowerShell.Security",
            "window.open",
            "_____.tld",
            "x.x.x.x",
            "tooshor.t",
            "id_rsa.pub",
            "network.target",
            "log4j.properties",
            "com.apple",
            "kernel32.windows",
        ] {
            assert!(!meant(other), "{other}");
        }
    }

    #[test]
    fn marks_names_that_mean_nothing_outside() {
        for reserved in [
            "localhost",
            "x.local",
            "a.internal",
            "a.test",
            "www.example.com",
            "example.org",
            "nohow",
            "a.b.nosuchtld",
            "1.0.0.127.in-addr.arpa",
        ] {
            assert!(Name::read(reserved.as_bytes()).unwrap().is_reserved(reserved.as_bytes()), "{reserved}");
        }
        for public in ["evil.com", "notexample.com", "abc.onion"] {
            assert!(!Name::read(public.as_bytes()).unwrap().is_reserved(public.as_bytes()), "{public}");
        }
    }
}
