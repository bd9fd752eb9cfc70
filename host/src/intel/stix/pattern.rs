//! Patterns: single comparisons for equality, and what is an OR of such. That is what an indicator of ours can say, and what
//! most of those in circulation do. A pattern that says more is not cut down to what is understood: half of an AND would
//! match what nobody meant.

use crate::{intel::Indicator, sandbox::ObservableType};

/// Longest pattern that is looked at, bytes, and most alternatives of one.
const LONGEST: usize = 64 << 10;
const ALTERNATIVES: usize = 1000;

/// Most round brackets that stand in each other.
const DEEPEST: usize = 16;

/// Of a path: what stands in front of the last separator, and behind it.
const NAME: &str = "file:name";
const FOLDER: &str = "file:parent_directory_ref.path";

const PATHS: [(&str, ObservableType); 11] = [
    ("ipv4-addr:value", ObservableType::Ip),
    ("ipv6-addr:value", ObservableType::Ip),
    ("domain-name:value", ObservableType::Domain),
    ("url:value", ObservableType::Url),
    ("email-addr:value", ObservableType::Email),
    ("file:hashes.MD5", ObservableType::HashMd5),
    ("file:hashes.'SHA-1'", ObservableType::HashSha1),
    ("file:hashes.'SHA-256'", ObservableType::HashSha256),
    ("windows-registry-key:key", ObservableType::RegistryKey),
    ("mutex:name", ObservableType::Mutex),
    ("network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'", ObservableType::UserAgent),
];

/// The pattern of an indicator; none for a vulnerability, which is an object of its own.
pub(super) fn write(indicator: &Indicator) -> Option<String> {
    let (kind, value) = (indicator.kind(), indicator.value());
    let path = match kind {
        ObservableType::Cve => return None,
        ObservableType::FilePath => return Some(of_path(value)),
        ObservableType::Ip if value.contains(':') => "ipv6-addr:value",
        _ => PATHS.into_iter().find(|(_, known)| *known == kind)?.0,
    };
    Some(format!("[{path} = {}]", quoted(value)))
}

/// Whatever it is cut into, it has to be the same when it is put together again.
fn of_path(value: &str) -> String {
    let is_separator = |sign: char| sign == '/' || (sign == '\\' && !value.starts_with('/'));
    let cut = value.rfind(is_separator).filter(|at| at + 1 < value.len());
    let cut = cut.and_then(|at| {
        let name = &value[at + 1..];
        // With its separator, where another one would be taken for it.
        let folders = [&value[..at], &value[..=at]].into_iter().filter(|folder| !folder.is_empty());
        folders.map(|folder| (folder, name)).find(|(folder, name)| joined(folder, name) == value)
    });
    match cut {
        Some((folder, name)) => format!("[{NAME} = {} AND {FOLDER} = {}]", quoted(name), quoted(folder)),
        None => format!("[{NAME} = {}]", quoted(value)),
    }
}

/// A name in its folder.
fn joined(folder: &str, name: &str) -> String {
    if folder.ends_with(['/', '\\']) {
        return format!("{folder}{name}");
    }
    let is_windows = !folder.starts_with('/') && (folder.contains('\\') || folder.ends_with(':'));
    format!("{folder}{}{name}", if is_windows { '\\' } else { '/' })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// What a pattern says: type and value of each alternative.
///
/// # Errors
/// What is not understood.
pub(super) fn read(pattern: &str) -> Result<Vec<(ObservableType, String)>, String> {
    if pattern.len() > LONGEST {
        return Err(format!("a pattern of {} bytes", pattern.len()));
    }
    let (mut rest, mut all) = (Rest(pattern), Vec::new());
    observations(&mut rest, &mut all, 0)?;
    if rest.is_over() { Ok(all) } else { Err(format!("{:?} behind an observation", rest.shown())) }
}

/// Observations with OR between them, some of them in brackets of their own.
fn observations(rest: &mut Rest<'_>, all: &mut Vec<(ObservableType, String)>, depth: usize) -> Result<(), String> {
    loop {
        if rest.opens(depth)? {
            observations(rest, all, depth + 1)?;
            rest.closes()?;
        } else {
            all.extend(observation(rest)?);
        }
        if all.len() > ALTERNATIVES {
            return Err(format!("more than {ALTERNATIVES} alternatives"));
        }
        if !rest.takes_word("OR") {
            return Ok(());
        }
    }
}

/// What stands between a pair of square brackets.
#[derive(Default)]
struct Observation {
    found: Vec<(String, String)>,
    ands: usize,
    ors: usize,
}

fn observation(rest: &mut Rest<'_>) -> Result<Vec<(ObservableType, String)>, String> {
    if !rest.takes('[') {
        return Err(format!("{:?} where an observation begins", rest.shown()));
    }
    let mut observation = Observation::default();
    comparisons(rest, &mut observation, 0)?;
    if !rest.takes(']') {
        return Err(format!("{:?} behind a comparison", rest.shown()));
    }
    let Observation { found, ands, ors } = observation;
    if ands > 0 {
        let of = |path: &str| found.iter().find(|(known, _)| known == path).map(|(_, value)| value.as_str());
        return match (of(NAME), of(FOLDER)) {
            (Some(name), Some(folder)) if ands == 1 && ors == 0 => {
                Ok(vec![(ObservableType::FilePath, joined(folder, name))])
            }
            _ => Err("an AND".to_owned()),
        };
    }
    found.into_iter().map(alternative).collect()
}

/// Comparisons with words between them. Where all the words are OR, and where there is but one, brackets say nothing more.
fn comparisons(rest: &mut Rest<'_>, of: &mut Observation, depth: usize) -> Result<(), String> {
    loop {
        if rest.opens(depth)? {
            comparisons(rest, of, depth + 1)?;
            rest.closes()?;
        } else {
            comparison(rest, of)?;
        }
        if rest.takes_word("OR") {
            of.ors += 1;
        } else if rest.takes_word("AND") {
            of.ands += 1;
        } else {
            return Ok(());
        }
    }
}

fn alternative((path, value): (String, String)) -> Result<(ObservableType, String), String> {
    if path == NAME {
        return Ok((ObservableType::FilePath, value));
    }
    let bare = path.replace(['\'', '"'], "").to_ascii_lowercase();
    let known = PATHS.into_iter().find(|(known, _)| known.replace('\'', "").to_ascii_lowercase() == bare);
    // Of early tools.
    let known = known.map(|(_, kind)| kind).or(match bare.as_str() {
        "file:hashes.sha1" => Some(ObservableType::HashSha1),
        "file:hashes.sha256" => Some(ObservableType::HashSha256),
        _ => None,
    });
    known.map(|kind| (kind, value)).ok_or_else(|| format!("the path {path}"))
}

/// A path, and a text that it equals, or texts of which it is one.
fn comparison(rest: &mut Rest<'_>, of: &mut Observation) -> Result<(), String> {
    let path = rest.path();
    if path.is_empty() {
        return Err(format!("{:?} where a path is expected", rest.shown()));
    }
    let text = |rest: &mut Rest<'_>| rest.text().ok_or_else(|| format!("{:?} where a text is expected", rest.shown()));
    if rest.takes_word("IN") {
        if !rest.takes('(') {
            return Err(format!("{:?} where a list is expected", rest.shown()));
        }
        of.found.push((path.clone(), text(rest)?));
        while rest.takes(',') {
            of.ors += 1;
            of.found.push((path.clone(), text(rest)?));
        }
        return rest.closes();
    }
    if !rest.takes('=') {
        return Err(format!("the comparison {:?}", rest.shown()));
    }
    // `==` is an older spelling.
    rest.takes('=');
    of.found.push((path, text(rest)?));
    Ok(())
}

/// What of a pattern has not been read.
struct Rest<'p>(&'p str);

impl Rest<'_> {
    fn skip(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn is_over(&mut self) -> bool {
        self.skip();
        self.0.is_empty()
    }

    fn takes(&mut self, sign: char) -> bool {
        self.skip();
        self.0.strip_prefix(sign).map(|rest| self.0 = rest).is_some()
    }

    /// Whether a bracket opens here, inside of `depth` others.
    fn opens(&mut self, depth: usize) -> Result<bool, String> {
        if !self.takes('(') {
            return Ok(false);
        }
        if depth < DEEPEST { Ok(true) } else { Err(format!("more than {DEEPEST} brackets in each other")) }
    }

    fn closes(&mut self) -> Result<(), String> {
        if self.takes(')') { Ok(()) } else { Err(format!("{:?} where a bracket closes", self.shown())) }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.skip();
        let rest =
            self.0.strip_prefix(word).filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
        rest.map(|rest| self.0 = rest).is_some()
    }

    /// Letters, digits and the signs of paths, with quoted parts.
    fn path(&mut self) -> String {
        self.skip();
        let (mut end, mut quoted) = (0, None);
        for (at, sign) in self.0.char_indices() {
            let is_part = quoted.is_some() || sign.is_ascii_alphanumeric() || ":.-_'\"".contains(sign);
            if !is_part {
                break;
            }
            quoted = match quoted {
                None => Some(sign).filter(|sign| "'\"".contains(*sign)),
                Some(quote) => Some(quote).filter(|quote| *quote != sign),
            };
            end = at + sign.len_utf8();
        }
        let (path, rest) = self.0.split_at(end);
        let path = path.to_owned();
        self.0 = rest;
        path
    }

    /// A text between quotation marks.
    fn text(&mut self) -> Option<String> {
        self.skip();
        let inner = self.0.strip_prefix('\'')?;
        let (mut text, mut signs) = (String::new(), inner.char_indices());
        while let Some((at, sign)) = signs.next() {
            match sign {
                '\'' => {
                    self.0 = &inner[at + 1..];
                    return Some(text);
                }
                '\\' => text.push(signs.next()?.1),
                sign => text.push(sign),
            }
        }
        None
    }

    /// Its beginning, for a person.
    fn shown(&self) -> String {
        self.0.chars().take(24).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (kind, value, pattern) in [
            ("ip", "45.155.205.233", "[ipv4-addr:value = '45.155.205.233']"),
            ("ip", "2a00:1450::1", "[ipv6-addr:value = '2a00:1450::1']"),
            ("hash_sha1", &"a".repeat(40), &format!("[file:hashes.'SHA-1' = '{}']", "a".repeat(40))),
            ("mutex", r"it's \ here", r"[mutex:name = 'it\'s \\ here']"),
            (
                "file_path",
                r"c:\temp\a b.exe",
                r"[file:name = 'a b.exe' AND file:parent_directory_ref.path = 'c:\\temp']",
            ),
            ("file_path", "/tmp", "[file:name = 'tmp' AND file:parent_directory_ref.path = '/']"),
            ("file_path", r"c:\a", r"[file:name = 'a' AND file:parent_directory_ref.path = 'c:']"),
            ("file_path", "a.exe", "[file:name = 'a.exe']"),
            ("file_path", "c:/evil.exe", "[file:name = 'evil.exe' AND file:parent_directory_ref.path = 'c:/']"),
            ("file_path", r"/tmp/a\b", r"[file:name = 'a\\b' AND file:parent_directory_ref.path = '/tmp']"),
            ("file_path", r"c:\a/b", r"[file:name = 'b' AND file:parent_directory_ref.path = 'c:\\a/']"),
            ("file_path", "/a//b", "[file:name = 'b' AND file:parent_directory_ref.path = '/a//']"),
            ("file_path", r"\a", r"[file:name = 'a' AND file:parent_directory_ref.path = '\\']"),
            ("file_path", "/tmp/", "[file:name = '/tmp/']"),
            (
                "user_agent",
                "x/1",
                "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'x/1']",
            ),
        ] {
            let indicator = Indicator::new(kind, value).unwrap();
            assert_eq!(write(&indicator).as_deref(), Some(pattern));
            assert_eq!(read(pattern), Ok(vec![(indicator.kind(), value.to_owned())]));
        }
        assert_eq!(write(&Indicator::new("cve", "CVE-2021-44228").unwrap()), None);
    }

    #[test]
    fn alternatives_are_read_wherever_they_stand() {
        let pattern = "[domain-name:value='a.net' OR url:value = 'http://b.net/'] OR [ ipv4-addr:value = '45.1.2.3' ]";
        let values: Vec<_> = read(pattern).unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["a.net", "http://b.net/", "45.1.2.3"]);
        for pattern in [
            "([domain-name:value = 'a.net'] OR ([domain-name:value = 'b.net']))",
            "[(domain-name:value = 'a.net') OR (domain-name:value = 'b.net')]",
            "[((domain-name:value = 'a.net' OR domain-name:value = 'b.net'))]",
            "[domain-name:value IN ('a.net','b.net')]",
            "[domain-name:value IN ( 'a.net' ) OR domain-name:value = 'b.net']",
        ] {
            let values: Vec<_> = read(pattern).unwrap().into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, ["a.net", "b.net"], "{pattern}");
        }
        for path in ["hashes.'SHA-256'", "hashes.\"SHA-256\"", "hashes.SHA-256"] {
            let found = read(&format!("[file:{path} = 'ab']"));
            assert_eq!(found, Ok(vec![(ObservableType::HashSha256, "ab".to_owned())]), "{path}");
        }
        let early = read("[file:hashes.SHA256 == 'ab' OR file:hashes.md5 = 'cd']").unwrap();
        assert_eq!(early[0].0.as_str(), "hash_sha256");
    }

    #[test]
    fn what_says_more_than_that_is_not_cut_down_to_it() {
        for (pattern, said) in [
            ("", "where an observation begins"),
            ("[", "where a path"),
            ("[ipv4-addr:value = '1.2.3.4' AND domain-name:value = 'a.net']", "an AND"),
            ("[file:name = 'a' AND file:parent_directory_ref.path = 'b' OR mutex:name = 'c']", "an AND"),
            ("[ipv4-addr:value LIKE '1.2.%']", "the comparison \"LIKE"),
            ("[ipv4-addr:value != '1.2.3.4']", "the comparison"),
            ("[ipv4-addr:value IN ['1.2.3.4']]", "where a list"),
            ("[ipv4-addr:value IN ('1.2.3.4']", "where a bracket closes"),
            ("[ipv4-addr:value NOT IN ('1.2.3.4')]", "the comparison"),
            ("[file:name IN ('a', 'b') AND file:parent_directory_ref.path = 'c']", "an AND"),
            ("([ipv4-addr:value = '1.2.3.4']", "where a bracket closes"),
            ("([ipv4-addr:value = '1.2.3.4']) WITHIN 5 SECONDS", "WITHIN"),
            ("[NOT ipv4-addr:value = '1.2.3.4']", "the comparison"),
            ("[NOT (ipv4-addr:value = '1.2.3.4')]", "the comparison"),
            ("[ipv4-addr:value = '1.2.3.4'] FOLLOWEDBY [mutex:name = 'a']", "FOLLOWEDBY"),
            ("[ipv4-addr:value = '1.2.3.4'] REPEATS 5 TIMES", "REPEATS"),
            ("[ipv4-addr:value = 7]", "where a text"),
            ("[ipv4-addr:value = '1.2.3.4", "where a text"),
            ("[ipv4-addr:value = '1.2.3.4\\", "where a text"),
            ("[process:pid = '7']", "the path process:pid"),
            ("[mutex:name = 'a'] ORDER", "behind an observation"),
        ] {
            let refused = read(pattern).unwrap_err();
            assert!(refused.contains(said), "{pattern}: {refused}");
        }
        for deep in ["(".repeat(60_000), format!("[{}", "(".repeat(60_000))] {
            assert!(read(&deep).unwrap_err().contains("brackets in each other"));
        }
        let many = vec!["[mutex:name = 'a']"; 1001].join(" OR ");
        assert!(read(&many).unwrap_err().contains("alternatives"));
    }
}
