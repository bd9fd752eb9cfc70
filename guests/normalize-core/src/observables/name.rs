//! Domain names: syntax, public suffix, and whether a dotted word in running text was meant as one.

use psl::Psl;

use super::words;

/// A name in lower case, on the stack: names are at most 253 bytes, and an allocation would cost more than all else.
pub(super) struct Name {
    bytes: [u8; 256],
    length: usize,
    /// Length of the public suffix, 0 if it has none.
    suffix: usize,
    /// Number of labels.
    labels: usize,
    special: bool,
}

impl Name {
    /// Reads a host name. Underscores may stand anywhere but in the last label (`_dmarc`, `host_1` exist); a label
    /// neither begins nor ends with a hyphen; the last label is no number.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 253 {
            return None;
        }
        let mut bytes = [0; 256];
        let (mut labels, mut label_start) = (1, 0);
        for (index, &b) in text.iter().enumerate() {
            match b {
                b'.' => {
                    is_label(&text[label_start..index]).then_some(())?;
                    labels += 1;
                    label_start = index + 1;
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | 0x80.. => {}
                _ => return None,
            }
            bytes[index] = b.to_ascii_lowercase();
        }
        let last = &text[label_start..];
        is_label(last).then_some(())?;
        if last.contains(&b'_') {
            return None;
        }
        let mut name = Self { bytes, length: text.len(), suffix: 0, labels, special: false };
        if labels > 1 {
            if !(last.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80) || is_punycode(last)) || last.len() < 2 {
                return if last.iter().all(u8::is_ascii_digit) { None } else { Some(name) };
            }
            let info = psl::List.find(name.as_bytes().rsplit(|&b| b == b'.'));
            let lower = &name.as_str()[label_start..];
            name.special = words::is_special(lower) || name.as_str().ends_with(".home.arpa");
            name.suffix = match info.typ {
                Some(_) => info.len,
                None => 0,
            };
        } else {
            name.special = name.as_str() == "localhost";
        }
        Some(name)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Cutting at ASCII dots only, so the text stays what it was; it came out of a `str` and was lowered in ASCII.
    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Lies below a public suffix, or below a name set aside for special use: worth reporting as a domain.
    pub(super) fn is_domain(&self) -> bool {
        self.labels > 1 && (self.special || (self.suffix > 0 && self.suffix < self.length) || self.is_private_suffix())
    }

    /// `github.io` is a public suffix by its owner's wish, and somebody's domain all the same.
    fn is_private_suffix(&self) -> bool {
        self.suffix == self.length
            && psl::List.find(self.as_bytes().rsplit(|&b| b == b'.')).typ == Some(psl::Type::Private)
    }

    /// Means nothing outside the site: no public suffix, or one set aside, or a name kept for documentation.
    pub(super) fn is_reserved(&self) -> bool {
        if self.suffix == 0 || self.special {
            return self.tld() != "onion";
        }
        let name = self.as_str();
        name.ends_with(".arpa")
            || ["example.com", "example.net", "example.org"]
                .iter()
                .any(|&kept| name.strip_suffix(kept).is_some_and(|front| front.is_empty() || front.ends_with('.')))
    }

    fn tld(&self) -> &str {
        let name = self.as_str();
        name.rsplit_once('.').map_or(name, |(_, tld)| tld)
    }

    /// Whether this name, spelled `text`, standing in `bytes[start..end]` of running text, was meant as a domain.
    pub(super) fn is_meant(&self, text: &[u8], bytes: &[u8], start: usize, end: usize) -> bool {
        let name = self.as_str();
        let tld = self.tld();
        if name.starts_with("www.") && self.labels > 2 {
            return true;
        }
        let (before, after) = (before(bytes, start), super::class::byte(bytes, end));
        // A variable, a key of key=value, a member.
        if before == b'$' || after == b'=' || (before == b'>' && bytes[..start].ends_with(b"->")) {
            return false;
        }
        if words::is_program(name) || before == b'=' && names_a_user(&bytes[..start - 1]) {
            return false;
        }
        let spelled = &text[text.len() - tld.len()..];
        let capital = spelled.iter().any(u8::is_ascii_uppercase);
        let small = text.iter().any(u8::is_ascii_lowercase);
        if capital && small && tld != "com" {
            // `System.Net`, `Microsoft.AspNetCore.App`, `end.In the`
            return false;
        }
        let first = name.split('.').next().unwrap_or_default();
        if self.labels > 2 && words::begins_package(first) && !matches!(tld, "com" | "net" | "org") {
            return false;
        }
        // `co.id` and `com.py` are nobody's words.
        if name.as_bytes()[self.length - self.suffix..].contains(&b'.') && !self.special {
            return true;
        }
        if words::is_file_extension(tld) || words::is_code_word(tld) && self.labels == 2 {
            return false;
        }
        if matches!(tld, "name" | "id") {
            return false;
        }
        if words::is_short_word(tld) {
            // `4.am`, `foo.is(x)`, `camelCase.to`
            let camel = text[..text.len() - 3].iter().any(u8::is_ascii_uppercase) && small;
            if after == b'(' || camel || first.bytes().all(|b| b.is_ascii_digit()) {
                return false;
            }
        }
        if self.special && matches!(tld, "home" | "private" | "corp" | "test" | "example") {
            return self.labels > 2 || before == b'@';
        }
        true
    }
}

fn before(bytes: &[u8], start: usize) -> u8 {
    start.checked_sub(1).map_or(0, |index| bytes[index])
}

/// Whether a key that ends the text says that a user follows: `suser=joe.black` is a man.
fn names_a_user(key: &[u8]) -> bool {
    [&b"user"[..], b"username", b"usrname", b"account", b"login"]
        .iter()
        .any(|word| key.len() >= word.len() && key[key.len() - word.len()..].eq_ignore_ascii_case(word))
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
        Name::read(bytes).is_some_and(|name| name.is_domain() && name.is_meant(bytes, bytes, 0, bytes.len()))
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
            assert!(Name::read(reserved.as_bytes()).unwrap().is_reserved(), "{reserved}");
        }
        for public in ["evil.com", "notexample.com", "abc.onion"] {
            assert!(!Name::read(public.as_bytes()).unwrap().is_reserved(), "{public}");
        }
    }
}
