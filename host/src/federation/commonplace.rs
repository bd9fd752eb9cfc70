//! What everybody has, and what is therefore no indicator wherever it is seen: the empty file, public resolvers, the shells
//! of every system, browsers. The values stand in `commonplace.txt`.

use std::{borrow::Cow, collections::HashSet, net::IpAddr, sync::LazyLock};

use super::{host::Host, networks::meanings};
use crate::sandbox::ObservableType;

/// The list that comes with the host.
pub(super) static COMMONPLACE: LazyLock<Commonplace> =
    LazyLock::new(|| Commonplace::of(include_str!("commonplace.txt")));

/// Values by how they are compared.
#[derive(Debug, Default)]
pub(super) struct Commonplace {
    addresses: HashSet<IpAddr>,
    /// These and no names below them, for those may be somebody's own; `www` is no name of its own.
    names: HashSet<&'static str>,
    /// Digests, paths, and keys of the registry, which have no value in common.
    values: HashSet<&'static str>,
    /// What user agents begin with, in whatever case.
    agents: Vec<&'static str>,
}

/// What programs write where they have nothing to say.
const NOTHING: [&str; 8] = ["-", "0", "n/a", "nil", "none", "null", "undefined", "unknown"];

impl Commonplace {
    fn of(text: &'static str) -> Self {
        let mut all = Self::default();
        for line in lines(text) {
            // A test finds what is no value of its type.
            all.take(line);
        }
        all
    }

    /// Takes in a line; false if it is not understood, or was there before.
    fn take(&mut self, line: &'static str) -> bool {
        use ObservableType as T;
        let Some((kind, value)) = line.split_once(' ') else { return false };
        match ObservableType::ALL.into_iter().find(|known| known.as_str() == kind) {
            Some(T::Ip) => value.parse::<IpAddr>().is_ok_and(|address| self.addresses.insert(address)),
            Some(T::Domain) => self.names.insert(value),
            Some(T::HashMd5 | T::HashSha1 | T::HashSha256 | T::FilePath | T::RegistryKey) => self.values.insert(value),
            Some(T::UserAgent) => {
                self.agents.push(value);
                true
            }
            Some(T::Url | T::Email | T::Cve | T::Mutex) | None => false,
        }
    }

    /// Whether the observable `value`, which is or names `host`, is one that everybody has.
    pub fn has(&self, kind: ObservableType, value: &str, host: Option<&Host<'_>>) -> bool {
        use ObservableType as T;
        let value = value.trim();
        match kind {
            T::Ip | T::Domain => self.has_host(host),
            // What lies on such a host may well be bad.
            T::Url => self.has_host(host) && names_host_only(value),
            // So may be who writes from there.
            T::Email | T::Cve => false,
            T::HashMd5 | T::HashSha1 | T::HashSha256 => is_one_digit(value) || self.values.contains(&*lower(value)),
            T::FilePath => is_nothing(value) || self.has_path(value),
            T::RegistryKey => is_nothing(value) || self.values.contains(behind_hive(&lower(value))),
            T::Mutex => is_nothing(value),
            T::UserAgent => is_nothing(value) || self.agents.iter().any(|start| begins(value, start)),
        }
    }

    fn has_host(&self, host: Option<&Host<'_>>) -> bool {
        match host {
            Some(Host::Address(address)) => self.addresses.contains(&meanings(*address)[0]),
            Some(Host::Name(name)) => {
                let name: &str = name;
                self.names.contains(name) || name.strip_prefix("www.").is_some_and(|name| self.names.contains(name))
            }
            Some(Host::Network(_)) | None => false,
        }
    }

    /// Of Windows whatever the drive, and whether in the folder of 64 bits or in that of 32.
    fn has_path(&self, value: &str) -> bool {
        // Elsewhere case counts.
        if value.starts_with('/') {
            return self.values.contains(value);
        }
        let mut path = value.to_lowercase().replace('/', "\\");
        for (other, usual) in [("%systemroot%", "\\windows"), ("%windir%", "\\windows")] {
            path = path.replace(other, usual);
        }
        for other in ["\\syswow64\\", "\\sysnative\\"] {
            path = path.replace(other, SYSTEM);
        }
        let path = path.split_once(':').filter(|(drive, _)| drive.len() == 1).map_or(&*path, |(_, path)| path);
        let path = if path.len() > 1 { path.trim_end_matches('\\') } else { path };
        let is_bare = !path.contains('\\');
        self.values.contains(path) || is_bare && self.values.contains(format!("\\windows{SYSTEM}{path}").as_str())
    }
}

/// The folder of the system, within its own.
const SYSTEM: &str = "\\system32\\";

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn lower(value: &str) -> Cow<'_, str> {
    match value.chars().any(char::is_uppercase) {
        true => Cow::Owned(value.to_lowercase()),
        false => Cow::Borrowed(value),
    }
}

fn is_nothing(value: &str) -> bool {
    value.is_empty() || NOTHING.iter().any(|nothing| value.eq_ignore_ascii_case(nothing))
}

/// A digest that nobody has computed.
fn is_one_digit(digest: &str) -> bool {
    let digits = digest.as_bytes();
    digits.first().is_some_and(|first| digits.iter().all(|digit| digit.eq_ignore_ascii_case(first)))
}

fn begins(value: &str, start: &str) -> bool {
    value.as_bytes().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// Whether a URL is of a host as a whole, and of no page there.
fn names_host_only(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    !rest.trim_end_matches('/').contains(['/', '?', '#'])
}

/// A key of the registry, in lower case, behind its hive; in that of all users behind the user as well.
fn behind_hive(key: &str) -> &str {
    let key = key.trim_end_matches('\\');
    let Some((hive, rest)) = key.split_once('\\') else { return key };
    match hive.trim_end_matches(':') {
        "hku" | "hkey_users" => rest.split_once('\\').map_or(rest, |(_, rest)| rest),
        hive if hive.starts_with("hk") => rest,
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use ObservableType as T;

    use super::*;
    use crate::{federation::host::host_of, intel::Indicator};

    fn has(kind: ObservableType, value: &str) -> bool {
        let host = host_of(kind, value).unwrap();
        COMMONPLACE.has(kind, value, host.as_ref())
    }

    #[test]
    fn every_line_of_the_list_is_understood_and_found() {
        let mut all = Commonplace::default();
        for line in lines(include_str!("commonplace.txt")) {
            assert!(all.take(line), "{line}");
            let (kind, value) = line.split_once(' ').unwrap();
            let kind = ObservableType::ALL.into_iter().find(|known| known.as_str() == kind).unwrap();
            let value = if kind == T::RegistryKey { format!("HKLM\\{value}") } else { value.to_owned() };
            assert!(has(kind, &value), "{line}");
            // Also as it comes to the table.
            let indicator = Indicator::of(kind, &value).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(has(kind, indicator.value()), "{indicator}");
        }
    }

    #[test]
    fn what_everybody_has_is_known_however_it_is_written() {
        for (kind, value) in [
            (T::Ip, "::ffff:8.8.8.8"),
            (T::Domain, "WWW.GitHub.com."),
            (T::Domain, "1.1.1.1"),
            (T::Url, "https://www.google.com/"),
            (T::Url, "gmail.com"),
            (T::HashMd5, "D41D8CD98F00B204E9800998ECF8427E"),
            (T::HashSha1, "ffffffffffffffffffffFFFFFFFFFFFFFFFFFFFF"),
            (T::HashMd5, "00000000000000000000000000000000"),
            (T::FilePath, r"C:\Windows\SysWOW64\cmd.exe"),
            (T::FilePath, r"%SystemRoot%\System32\svchost.exe"),
            (T::FilePath, "d:/windows/system32/RunDll32.exe"),
            (T::FilePath, r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"),
            (T::FilePath, "cmd.exe"),
            (T::RegistryKey, r"HKU\S-1-5-21-1-2-3-1001\Software\Microsoft\Windows\CurrentVersion\Run"),
            (T::RegistryKey, r"HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\RunOnce\"),
            (T::Mutex, "None"),
            (T::UserAgent, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
            (T::UserAgent, "curl/8.5.0"),
            (T::UserAgent, "-"),
        ] {
            assert!(has(kind, value), "{value}");
        }
    }

    #[test]
    fn what_somebody_has_of_his_own_is_not_among_it() {
        for (kind, value) in [
            (T::Ip, "8.8.8.9"),
            (T::Ip, "8.8.8.0/24"),
            (T::Domain, "evil.github.com"),
            (T::Domain, "evilgmail.com"),
            (T::Url, "https://github.com/evil/tool/raw/main/x.exe"),
            (T::Url, "https://www.google.com?q=evil"),
            (T::Email, "evil@gmail.com"),
            (T::HashMd5, "d41d8cd98f00b204e9800998ecf8427f"),
            (T::FilePath, "/bin/SH"),
            (T::FilePath, "/tmp/bin/sh"),
            (T::FilePath, r"C:\Temp\svchost.exe"),
            (T::FilePath, r"C:\Windows\svchost.exe"),
            (T::RegistryKey, r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run\Evil"),
            (T::Mutex, "Global\\none"),
            (T::UserAgent, "Mozilla/5.0"),
            (T::UserAgent, "evil curl/8.5.0"),
            (T::Cve, "CVE-2021-44228"),
        ] {
            assert!(!has(kind, value), "{value}");
        }
    }
}
