//! Files of what never leaves: warning lists as MISP keeps them, or plain lines.
//!
//! A list of MISP is a JSON object with `name`, `type` (`cidr`, `hostname`, `string`, `substring` or `regex`), `list`, and
//! optionally `matching_attributes`, the types of observables that it speaks of. Of plain lines each is a network or an
//! address, a name (with all names below it), or any other text, which an observable must equal; `#` begins a comment.

use std::{borrow::Cow, collections::HashSet, fmt, fs, io::Read as _, path::Path};

use regex::RegexSet;
use serde::Deserialize;

use super::{
    host::Host,
    names::{Names, canonical},
    networks::{Networks, network},
};
use crate::sandbox::ObservableType;

/// One list.
#[derive(Clone, Default)]
pub(super) struct WarningList {
    name: String,
    /// Types of observables that it speaks of; none: all.
    types: Option<Vec<ObservableType>>,
    networks: Networks,
    names: Names,
    /// In lower case, as the rest.
    exact: HashSet<Box<str>>,
    parts: Vec<Box<str>>,
    patterns: RegexSet,
    entries: usize,
}

/// Largest file. The longest list of MISP, a million names, has 20 MB.
const LARGEST: u64 = 256 << 20;

#[derive(Deserialize)]
struct Misp {
    name: String,
    #[serde(rename = "type")]
    kind: MispKind,
    list: Vec<String>,
    #[serde(default)]
    matching_attributes: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MispKind {
    Cidr,
    Hostname,
    String,
    Substring,
    Regex,
}

impl WarningList {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, without its path.
    pub fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot be read: {error}");
        // Opening a pipe would wait for somebody to write to it.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err("is not a file".to_owned());
        }
        let mut text = String::new();
        let read = fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
        match read.map_err(failed)? as u64 {
            0 => Err("is empty".to_owned()),
            size if size > LARGEST => Err(format!("is larger than {} MiB", LARGEST >> 20)),
            _ => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                if text.trim_start().starts_with('{') { Self::misp(&text) } else { Self::lines(&text, &stem) }
            }
        }
    }

    fn misp(text: &str) -> Result<Self, String> {
        let misp: Misp = serde_json::from_str(text).map_err(|error| format!("is no warning list of MISP: {error}"))?;
        let mut list = Self { name: misp.name, types: types(&misp.matching_attributes), ..Self::default() };
        list.entries = misp.list.len();
        let entries = misp.list.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
        let lower = |entry: &str| entry.to_lowercase().into();
        match misp.kind {
            MispKind::Cidr => {
                let read = |entry: &str| network(entry).ok_or_else(|| format!("has {entry:?}, which is no network"));
                list.networks = Networks::new(entries.map(read).collect::<Result<Vec<_>, _>>()?);
            }
            MispKind::Hostname => {
                let read = |entry| name(entry).ok_or_else(|| format!("has {entry:?}, which is no name of a host"));
                list.names = Names::new(entries.map(read).collect::<Result<Vec<_>, _>>()?);
            }
            MispKind::String => list.exact = entries.map(lower).collect(),
            MispKind::Substring => list.parts = entries.map(lower).collect(),
            MispKind::Regex => {
                let patterns: Vec<_> = entries.map(pattern).collect();
                list.patterns = RegexSet::new(patterns).map_err(|error| format!("has a bad pattern: {error}"))?;
            }
        }
        Ok(list)
    }

    fn lines(text: &str, stem: &str) -> Result<Self, String> {
        let mut list = Self { name: stem.to_owned(), ..Self::default() };
        let (mut networks, mut names) = (Vec::new(), Vec::new());
        let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(line, _)| line).trim());
        for line in lines.filter(|line| !line.is_empty()) {
            list.entries += 1;
            if let Some(network) = network(line) {
                networks.push(network);
            } else if let Some(name) = name(line).filter(|name| name.contains('.')) {
                names.push(name);
            } else if line.starts_with(|c: char| c.is_ascii_digit()) && line.contains('/') {
                return Err(format!("has {line:?}, which is no network"));
            } else {
                list.exact.insert(line.to_lowercase().into());
            }
        }
        if list.entries == 0 {
            return Err("has no entry".to_owned());
        }
        (list.networks, list.names) = (Networks::new(networks), Names::new(names));
        Ok(list)
    }

    /// What it calls itself, or its file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has the observable `value`, which is or names `host`.
    pub fn has(&self, kind: ObservableType, value: &str, host: Option<&Host<'_>>) -> bool {
        if self.types.as_ref().is_some_and(|types| !types.contains(&kind)) {
            return false;
        }
        let lower = || match value.chars().any(char::is_uppercase) {
            true => Cow::Owned(value.to_lowercase()),
            false => Cow::Borrowed(value),
        };
        let of_host = match host {
            Some(Host::Address(address)) => self.networks.contains(*address),
            Some(Host::Network(network)) => self.networks.overlap(network),
            Some(Host::Name(name)) => self.names.contains(name) || self.exact.contains(&**name),
            None => false,
        };
        of_host
            || !self.exact.is_empty() && self.exact.contains(&*lower())
            || !self.parts.is_empty() && self.parts.iter().any(|part| lower().contains(&**part))
            || !self.patterns.is_empty() && self.patterns.is_match(value)
    }
}

/// Its name and how long it is: thousands of entries would be no log line.
impl fmt::Debug for WarningList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} entries)", self.name, self.entries)
    }
}

/// A name that stands for what is below it anyway.
fn name(text: &str) -> Option<Cow<'_, str>> {
    canonical(text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text))
}

/// A pattern as PHP writes it, between slashes and with flags behind them, or a bare one.
fn pattern(entry: &str) -> String {
    let parts = entry.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
    match parts {
        Some((pattern, flags)) if flags.bytes().all(|flag| flag.is_ascii_lowercase()) => {
            let flags: String = flags.chars().filter(|flag| "imsx".contains(*flag)).collect();
            let pattern = pattern.replace("\\/", "/");
            if flags.is_empty() { pattern } else { format!("(?{flags}){pattern}") }
        }
        _ => entry.to_owned(),
    }
}

/// Our types for MISP's; none where the list speaks of none, or of none of ours, for then it is meant for all that fits.
fn types(attributes: &[String]) -> Option<Vec<ObservableType>> {
    use ObservableType as T;
    let of = |part: &str| match part {
        "ip" | "ip-src" | "ip-dst" => Some(T::Ip),
        "domain" | "hostname" => Some(T::Domain),
        "url" | "uri" | "link" => Some(T::Url),
        "md5" => Some(T::HashMd5),
        "sha1" => Some(T::HashSha1),
        "sha256" => Some(T::HashSha256),
        "vulnerability" => Some(T::Cve),
        "filename" => Some(T::FilePath),
        "regkey" => Some(T::RegistryKey),
        "mutex" => Some(T::Mutex),
        "user-agent" => Some(T::UserAgent),
        email if email.starts_with("email") && !email.contains("subject") => Some(T::Email),
        _ => None,
    };
    let types: Vec<_> = attributes.iter().flat_map(|attribute| attribute.split('|')).filter_map(of).collect();
    (!types.is_empty()).then_some(types)
}

#[cfg(test)]
mod tests {
    use ObservableType as T;

    use super::*;

    fn read(text: &str) -> Result<WarningList, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        WarningList::read(file.path())
    }

    fn address(text: &str) -> Option<Host<'_>> {
        Some(Host::Address(text.parse().unwrap()))
    }

    fn host(text: &str) -> Option<Host<'_>> {
        Some(Host::Name(text.into()))
    }

    #[test]
    fn reads_each_type_of_misp() {
        let list = read(r#"{"name":"resolvers","version":3,"type":"cidr","list":["9.9.9.9","2a00:5::/32"]}"#).unwrap();
        assert_eq!((list.name(), format!("{list:?}").as_str()), ("resolvers", "resolvers (2 entries)"));
        assert!(list.has(T::Ip, "9.9.9.9", address("9.9.9.9").as_ref()));
        assert!(list.has(T::Url, "http://9.9.9.9/", address("9.9.9.9").as_ref()));
        assert!(!list.has(T::Ip, "9.9.9.8", address("9.9.9.8").as_ref()));

        let list = read(r#"{"name":"n","type":"hostname","list":[".big.com","Other.net"]}"#).unwrap();
        assert!(list.has(T::Domain, "a.big.com", host("a.big.com").as_ref()));
        assert!(list.has(T::Domain, "other.net", host("other.net").as_ref()));
        assert!(!list.has(T::Domain, "notbig.com", host("notbig.com").as_ref()));

        let empty = "D41D8CD98F00B204E9800998ECF8427E";
        let list = read(&format!(
            r#"{{"name":"n","type":"string","list":["{empty}"],"matching_attributes":["md5","filename|md5"]}}"#
        ));
        let list = list.unwrap();
        assert!(list.has(T::HashMd5, &empty.to_lowercase(), None) && list.has(T::FilePath, empty, None));
        assert!(!list.has(T::HashSha1, empty, None), "it speaks of other types");

        let list = read(r#"{"name":"n","type":"substring","list":["/Probe/"]}"#).unwrap();
        assert!(list.has(T::Url, "http://x.com/probe/1", None) && !list.has(T::Url, "http://x.com/prober", None));

        let list = read(r#"{"name":"n","type":"regex","list":["/^[a-z]+\\.Cloud\\.com$/i","^x/y$"]}"#).unwrap();
        assert!(list.has(T::Domain, "abc.cloud.com", None) && list.has(T::Url, "x/y", None));
        assert!(!list.has(T::Domain, "a1.cloud.com", None));
    }

    #[test]
    fn reads_plain_lines_each_as_what_it_is() {
        let list = read("# ours\n45.0.0.0/8\n*.vendor.com  # theirs\nJohn@vendor.net\nCVE-2024-1\n").unwrap();
        assert!(list.has(T::Ip, "45.1.2.3", address("45.1.2.3").as_ref()));
        assert!(list.has(T::Domain, "a.vendor.com", host("a.vendor.com").as_ref()));
        assert!(list.has(T::Email, "john@vendor.net", None) && list.has(T::Cve, "cve-2024-1", None));
        assert!(!list.has(T::Email, "jane@vendor.net", None));
    }

    #[test]
    fn says_what_is_wrong_with_a_list() {
        for (text, said) in [
            ("", "is empty"),
            ("# nothing\n", "has no entry"),
            ("10.0.0.0/33\n", "\"10.0.0.0/33\", which is no network"),
            ("{\"name\":\"n\"}", "is no warning list of MISP"),
            (r#"{"name":"n","type":"cidr","list":["x"]}"#, "has \"x\", which is no network"),
            (r#"{"name":"n","type":"hostname","list":["a b"]}"#, "has \"a b\", which is no name"),
            (r#"{"name":"n","type":"regex","list":["("]}"#, "has a bad pattern"),
            (r#"{"name":"n","type":"soundex","list":[]}"#, "unknown variant `soundex`"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
        assert!(WarningList::read(Path::new("/")).unwrap_err().contains("not a file"));
        assert!(WarningList::read(Path::new("/nothing/there")).unwrap_err().contains("cannot be read"));
    }
}
