//! An indicator in the one form that all sites compare it in. What another site, a file or a guest writes is input, and
//! hostile until it has passed here.

use std::{borrow::Cow, fmt, net::IpAddr};

use sha2::{Digest, Sha256};
use url::{Host, Url};

use crate::{
    federation::{canonical_name, meanings},
    sandbox::ObservableType,
};

/// Longest value, bytes.
pub const LONGEST: usize = 2048;

/// Bytes of the name that an indicator has in the table.
pub(crate) const ID: usize = 16;

/// An observable that somebody should look out for. Two that mean the same are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indicator {
    kind: ObservableType,
    value: Box<str>,
    id: [u8; ID],
}

/// What cannot be an indicator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndicatorError {
    /// A type that there is none of.
    #[error("{0:?} is no type of an indicator")]
    Type(String),
    /// Nothing, or more than [`LONGEST`].
    #[error("has {0} bytes, not 1 to {LONGEST}")]
    Length(usize),
    /// Line feeds and the like.
    #[error("has a control character")]
    Control,
    /// A value that is none of its type.
    #[error("is no {0}")]
    Value(&'static str),
    /// A network, which would match most of what there is.
    #[error("is a network, and indicators are single addresses")]
    Network,
}

impl Indicator {
    /// `kind` as in `aurora.intel.ioc.<type>`; the value as anybody may write it.
    ///
    /// # Errors
    /// [`IndicatorError`].
    pub fn new(kind: &str, value: &str) -> Result<Self, IndicatorError> {
        let known = ObservableType::ALL.into_iter().find(|known| known.as_str() == kind);
        let cut = || kind.chars().take(64).collect();
        Self::of(known.ok_or_else(|| IndicatorError::Type(cut()))?, value)
    }

    /// The same of a type that is known.
    ///
    /// # Errors
    /// [`IndicatorError`].
    pub fn of(kind: ObservableType, value: &str) -> Result<Self, IndicatorError> {
        let value = value.trim();
        if value.is_empty() || value.len() > LONGEST {
            return Err(IndicatorError::Length(value.len()));
        }
        if value.chars().any(char::is_control) {
            return Err(IndicatorError::Control);
        }
        let value: Box<str> = canonical(kind, value)?.into();
        if value.is_empty() || value.len() > LONGEST {
            return Err(IndicatorError::Length(value.len()));
        }
        let mut hash = Sha256::new();
        hash.update(kind.as_str());
        hash.update([0]);
        hash.update(value.as_bytes());
        let digest = hash.finalize();
        Ok(Self { kind, value, id: std::array::from_fn(|place| digest[place]) })
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ObservableType {
        self.kind
    }

    /// Its value, in the form that is compared.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Its name in the table.
    pub(crate) fn id(&self) -> [u8; ID] {
        self.id
    }
}

/// As in the field `intel.match`: `ip:203.0.113.7`.
impl fmt::Display for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.value)
    }
}

fn canonical(kind: ObservableType, value: &str) -> Result<Cow<'_, str>, IndicatorError> {
    use ObservableType as T;
    match kind {
        T::Ip => address(value).map(Cow::Owned),
        T::Domain => name(value).ok_or(IndicatorError::Value("name of a host")),
        T::Url => url(value).map(Cow::Owned),
        T::Email => email(value).map(Cow::Owned),
        T::HashMd5 => digits(value, 32, "MD5 in 32 hexadecimal digits"),
        T::HashSha1 => digits(value, 40, "SHA-1 in 40 hexadecimal digits"),
        T::HashSha256 => digits(value, 64, "SHA-256 in 64 hexadecimal digits"),
        T::Cve => cve(value).map(Cow::Owned),
        T::FilePath => Ok(path(value)),
        T::RegistryKey => Ok(Cow::Owned(registry_key(value))),
        // What programs compare byte by byte.
        T::Mutex | T::UserAgent => Ok(Cow::Borrowed(value)),
    }
}

fn address(value: &str) -> Result<String, IndicatorError> {
    let bare = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(value);
    let address = match bare.split_once('/') {
        None => bare.parse::<IpAddr>().ok(),
        Some((address, length)) => match (address.parse::<IpAddr>(), length.parse::<u8>()) {
            (Ok(address), Ok(length)) if length == if address.is_ipv4() { 32 } else { 128 } => Some(address),
            (Ok(address), Ok(length)) if length < if address.is_ipv4() { 32 } else { 128 } => {
                return Err(IndicatorError::Network);
            }
            _ => None,
        },
    };
    // IPv4 in the dress of IPv6 is that address; 6to4 is an address of its own.
    address.map(|address| meanings(address)[0].to_string()).ok_or(IndicatorError::Value("address"))
}

/// A name, and no address in the place of one.
fn name(value: &str) -> Option<Cow<'_, str>> {
    canonical_name(value).filter(|name| name.parse::<IpAddr>().is_err())
}

fn url(value: &str) -> Result<String, IndicatorError> {
    const NONE: IndicatorError = IndicatorError::Value("URL with a host");
    let with_host = |text: &str| Url::parse(text).ok().filter(Url::has_host);
    let mut url = match with_host(value) {
        Some(url) => url,
        // A program would take it for a path, a person means a web page. What has another scheme is neither.
        None if is_without_scheme(value) => with_host(&format!("http://{value}")).ok_or(NONE)?,
        None => return Err(NONE),
    };
    match url.host() {
        Some(Host::Domain(domain)) => {
            let domain = name(domain).ok_or(NONE)?.into_owned();
            url.set_host(Some(&domain)).map_err(|_| NONE)?;
        }
        Some(_) => {}
        None => return Err(NONE),
    }
    // It stays in the browser, so no sensor sees it.
    url.set_fragment(None);
    Ok(url.into())
}

/// Whether what stands before the first colon is a host, as in `evil.net:8080/a`, if there is a colon at all.
fn is_without_scheme(value: &str) -> bool {
    match value.split_once(':') {
        None => true,
        Some((before, rest)) => {
            before.contains(['/', '?']) || before.starts_with('[') || rest.starts_with(|c: char| c.is_ascii_digit())
        }
    }
}

fn email(value: &str) -> Result<String, IndicatorError> {
    const NONE: IndicatorError = IndicatorError::Value("mail address");
    let (local, domain) = value.rsplit_once('@').ok_or(NONE)?;
    if local.is_empty() || local.chars().any(char::is_whitespace) {
        return Err(NONE);
    }
    let domain = name(domain).ok_or(NONE)?;
    // By the letter it is the receiving host's business whether case counts; none of them has it count.
    Ok(format!("{}@{domain}", local.to_lowercase()))
}

fn digits<'a>(value: &'a str, length: usize, what: &'static str) -> Result<Cow<'a, str>, IndicatorError> {
    if value.len() != length || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(IndicatorError::Value(what));
    }
    match value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Ok(Cow::Owned(value.to_ascii_lowercase())),
        false => Ok(Cow::Borrowed(value)),
    }
}

fn cve(value: &str) -> Result<String, IndicatorError> {
    const NONE: IndicatorError = IndicatorError::Value("CVE, like CVE-2021-44228");
    let upper = value.to_ascii_uppercase();
    let (year, number) = upper.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).ok_or(NONE)?;
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let holds = year.len() == 4 && (4..=19).contains(&number.len()) && all_digits(year) && all_digits(number);
    if holds { Ok(upper) } else { Err(NONE) }
}

/// Windows finds a file by any case of its name, other systems do not.
fn path(value: &str) -> Cow<'_, str> {
    let is_windows = value.contains('\\') || value.as_bytes().get(1) == Some(&b':');
    if is_windows { Cow::Owned(value.to_lowercase()) } else { Cow::Borrowed(value) }
}

/// In lower case, with the whole name of its hive.
fn registry_key(value: &str) -> String {
    const HIVES: [(&str, &str); 5] = [
        ("hklm", "hkey_local_machine"),
        ("hkcu", "hkey_current_user"),
        ("hkcr", "hkey_classes_root"),
        ("hku", "hkey_users"),
        ("hkcc", "hkey_current_config"),
    ];
    let lower = value.to_lowercase();
    let (hive, rest) = lower.split_once('\\').map_or((lower.as_str(), None), |(hive, rest)| (hive, Some(rest)));
    let hive = hive.trim_end_matches(':');
    let whole = HIVES.iter().find(|(short, _)| *short == hive).map_or(hive, |(_, whole)| whole);
    match rest {
        Some(rest) => format!("{whole}\\{}", rest.trim_end_matches('\\')),
        None => whole.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(kind: &str, value: &str) -> Result<String, IndicatorError> {
        Indicator::new(kind, value).map(|indicator| indicator.value().to_owned())
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        for (kind, one, other, form) in [
            ("ip", "203.0.113.7", " 203.0.113.7/32 ", "203.0.113.7"),
            ("ip", "::ffff:203.0.113.7", "64:ff9b::203.0.113.7", "203.0.113.7"),
            ("ip", "2A00:1450:0:0::1", "[2a00:1450::1]", "2a00:1450::1"),
            ("domain", "Evil.EXAMPLE.", "evil.example", "evil.example"),
            ("domain", "bücher.example", "XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("url", "HTTP://Evil.example:80/a?b#c", "http://evil.example/a?b", "http://evil.example/a?b"),
            ("url", "evil.example", "http://evil.example./", "http://evil.example/"),
            ("url", "evil.example:8080/a", "http://EVIL.example:8080/a", "http://evil.example:8080/a"),
            (
                "url",
                "evil.example/?to=http://a",
                "http://evil.example/?to=http://a",
                "http://evil.example/?to=http://a",
            ),
            ("email", "John@Evil.Example", "john@evil.example", "john@evil.example"),
            (
                "hash_md5",
                "D41D8CD98F00B204E9800998ECF8427E",
                "d41d8cd98f00b204e9800998ecf8427e",
                "d41d8cd98f00b204e9800998ecf8427e",
            ),
            ("cve", "cve-2021-44228", "CVE-2021-44228", "CVE-2021-44228"),
            ("file_path", r"C:\Temp\A.exe", r"c:\temp\a.EXE", r"c:\temp\a.exe"),
            ("registry_key", r"HKLM\Software\X", r"hkey_local_machine\software\x\", r"hkey_local_machine\software\x"),
        ] {
            assert_eq!(canonical(kind, one).as_deref(), Ok(form), "{one}");
            assert_eq!(Indicator::new(kind, one), Indicator::new(kind, other), "{other}");
        }
        assert_ne!(Indicator::new("file_path", "/tmp/A"), Indicator::new("file_path", "/tmp/a"));
        assert_ne!(Indicator::new("mutex", "A"), Indicator::new("mutex", "a"));
        assert_ne!(Indicator::new("mutex", "a").unwrap().id(), Indicator::new("user_agent", "a").unwrap().id());
    }

    #[test]
    fn what_is_none_of_its_type_is_refused() {
        use IndicatorError as E;
        let long = "a".repeat(LONGEST + 1);
        for (kind, value, said) in [
            ("ips", "203.0.113.7", "no type"),
            ("ip", "203.0.113.0/24", "network"),
            ("ip", "203.0.113.7/33", "no address"),
            ("ip", "evil.example", "no address"),
            ("domain", "203.0.113.7", "no name"),
            ("domain", "a b", "no name"),
            ("url", "mailto:x@y.example", "no URL"),
            ("url", "file:///etc/passwd", "no URL"),
            ("email", "x y@evil.example", "no mail address"),
            ("email", "@evil.example", "no mail address"),
            ("hash_md5", "d41d8cd98f00b204e9800998ecf8427", "no MD5"),
            ("hash_sha256", "d41d8cd98f00b204e9800998ecf8427e", "no SHA-256"),
            ("cve", "CVE-21-44228", "no CVE"),
            ("mutex", "", "has 0 bytes"),
            ("mutex", &long, "has 2049 bytes"),
            ("mutex", "a\nb", "control"),
        ] {
            let refused = Indicator::new(kind, value).unwrap_err().to_string();
            assert!(refused.contains(said), "{kind} {value}: {refused}");
        }
        assert_eq!(Indicator::new(&long, "x"), Err(E::Type("a".repeat(64))));
    }
}
