//! Paths of files: Windows with a drive, UNC, behind an environment variable, and Unix.
//!
//! A Windows path may have spaces in it and nothing says where it ends. The rules: within quotation marks it ends with
//! them. A component with spaces counts if a backslash follows and it neither names a program nor has two spaces in a
//! row. The last component ends at the first space, unless a few words on there is a file extension.

use aurora_guest::ObservableType;

use super::class::{ALNUM, WORD};
use super::class::{byte, class, wide_punctuation};
use super::registry;
use super::scan::Scan;

/// Longest component, NTFS and ext4 alike.
const COMPONENT: usize = 255;
/// How far a quotation mark may be that ends a quoted path.
const QUOTED: usize = 520;
/// How far a last component with spaces may reach, in bytes and words.
const LAST: (usize, usize) = (64, 5);

/// Directories at the root of Unix systems. `/index.php` is the path of a URL, and `/c` an option.
const ROOTS: &[&[u8]] = &[
    b"etc",
    b"usr",
    b"var",
    b"tmp",
    b"home",
    b"root",
    b"opt",
    b"bin",
    b"sbin",
    b"lib",
    b"lib64",
    b"dev",
    b"proc",
    b"sys",
    b"run",
    b"mnt",
    b"media",
    b"srv",
    b"boot",
    b"snap",
    b"private",
    b"Users",
    b"Library",
    b"Applications",
    b"System",
    b"Volumes",
    b"data",
    b"sdcard",
    b"storage",
    b"system",
];
/// Those of macOS, whose directories have spaces in their names.
const SPACED_ROOTS: &[&[u8]] = &[b"Library", b"Users", b"Applications", b"System", b"Volumes"];

const PROGRAMS: &[&[u8]] =
    &[b"exe", b"dll", b"bat", b"cmd", b"com", b"ps1", b"vbs", b"js", b"scr", b"sys", b"msi", b"msc"];
const EXTENSIONS: &[&[u8]] = &[
    b"exe", b"dll", b"bat", b"cmd", b"com", b"ps1", b"vbs", b"js", b"scr", b"sys", b"msi", b"msc", b"txt", b"log",
    b"doc", b"docx", b"docm", b"xls", b"xlsx", b"xlsm", b"ppt", b"pptx", b"pdf", b"zip", b"rar", b"7z", b"lnk", b"hta",
    b"jar", b"tmp", b"dat", b"ini", b"xml", b"json", b"html", b"htm", b"iso", b"img", b"vhd", b"rtf", b"csv", b"jse",
    b"wsf", b"cpl", b"ocx", b"drv", b"cab", b"appex", b"app", b"plist", b"dylib", b"db", b"py", b"php", b"aspx",
    b"jsp", b"evtx",
];

impl Scan<'_> {
    /// `C:\…` or `C:/…`, whose drive letter is the word `start..at`.
    pub(super) fn windows_path(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        if at - start != 1 || !bytes[start].is_ascii_alphabetic() || !self.at_boundary(start) {
            return None;
        }
        let separator = bytes[at + 1];
        if separator == b'/' && byte(bytes, at + 2) == b'/' {
            return None;
        }
        self.separated(start, at + 1, to, separator)
    }

    /// `%TEMP%\…`, whose first percent sign is at `at`.
    pub(super) fn variable_path(&mut self, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let mut end = at + 1;
        while end < at + 32 && (class(bytes, end) & ALNUM != 0 || matches!(byte(bytes, end), b'_' | b'(' | b')')) {
            end += 1;
        }
        if end == at + 1 || byte(bytes, end) != b'%' || byte(bytes, end + 1) != b'\\' {
            return None;
        }
        self.separated(at, end + 1, to, b'\\')
    }

    /// `\\host\share…` at `at`; the host counts too.
    pub(super) fn unc(&mut self, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let slashes = bytes[at..].iter().take(5).take_while(|&&b| b == b'\\').count();
        // Twice as many where the text is escaped.
        if !matches!(slashes, 2 | 4) || !self.at_boundary(at) {
            return None;
        }
        let host = at + slashes;
        let mut end = host;
        while end < host + COMPONENT && (class(bytes, end) & WORD != 0 || matches!(byte(bytes, end), b'?' | b'$')) {
            end += 1;
        }
        if end == host
            || byte(bytes, end) != b'\\'
            || class(bytes, end + slashes / 2) & WORD == 0 && byte(bytes, end + slashes / 2) != b'$'
        {
            return None;
        }
        if end - host == 1 && !matches!(bytes[host], b'.' | b'?') {
            return None;
        }
        let done = self.separated(at, end, to, b'\\')?;
        if class(bytes, host) & ALNUM != 0 && bytes[host..end].contains(&b'.') {
            self.dotted(host, end, to);
        }
        Some(done)
    }

    /// Components from the separator at `at` on.
    fn separated(&mut self, start: usize, at: usize, to: usize, separator: u8) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let quote = start.checked_sub(1).map_or(0, |before| bytes[before]);
        let end = if matches!(quote, b'"' | b'\'')
            && let Some(end) = quoted_end(bytes, at, quote)
        {
            end
        } else {
            components_end(bytes, at, separator)
        };
        if end <= at + 1 {
            return None;
        }
        self.push_path(ObservableType::FilePath, start, end);
        Some(end)
    }

    /// Reports a path, its doubled backslashes made single.
    pub(super) fn push_path(&mut self, kind: ObservableType, start: usize, end: usize) {
        let from = self.scratch.len();
        let text = &self.text[start..end];
        if let Some(doubled) = text.get(2..).and_then(|rest| rest.find("\\\\")) {
            let mut copied = start;
            let lead = start + if text.starts_with("\\\\\\\\") { 2 } else { 0 };
            let mut at = if lead > start { lead + 2 } else { start + 2 + doubled };
            copied = copied.max(lead);
            while let Some(next) = self.text[at..end].find("\\\\") {
                self.scratch.push_str(&self.text[copied..at + next + 1]);
                at += next + 2;
                copied = at;
            }
            self.scratch.push_str(&self.text[copied..end]);
            let scope = self.exact_scope(&self.scratch[from..]);
            self.push_scratch(kind, scope, from, self.scratch.len());
        } else {
            let scope = self.exact_scope(text);
            self.push(kind, scope, start, end);
        }
    }

    /// `../a/b` or `..\a\b`, whose dots are the word `start..at`.
    pub(super) fn relative_path(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        if !matches!(&bytes[start..at], b"." | b"..") || self.inside || !self.at_boundary(start) {
            return None;
        }
        if start > 0 && matches!(bytes[start - 1], b'/' | b'\\' | b')' | b']') {
            return None;
        }
        let separator = bytes[at];
        let mut name = at + 1;
        while bytes.get(name..name + 2) == Some(b"..") && byte(bytes, name + 2) == separator {
            name += 3;
        }
        if class(bytes, name) & ALNUM == 0 && byte(bytes, name) != b'.' {
            return None;
        }
        if separator == b'\\' {
            return self.separated(start, at, to, separator);
        }
        let mut end = name;
        while class(bytes, end) & WORD != 0 && wide_punctuation(bytes, end).is_none() || byte(bytes, end) == b'/' {
            end += 1;
        }
        while bytes[end - 1] == b'.' {
            end -= 1;
        }
        if end <= name {
            return None;
        }
        self.push_path(ObservableType::FilePath, start, end);
        Some(end)
    }

    /// `/etc/…` or `~/…`, whose first slash is at `at`.
    pub(super) fn unix_path(&mut self, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        let home = at > 0 && bytes[at - 1] == b'~';
        let start = at - usize::from(home);
        let before = start.checked_sub(1).map_or(b' ', |before| bytes[before]);
        if !matches!(
            before,
            b' ' | b'\t'
                | b'\r'
                | b'\n'
                | b'"'
                | b'\''
                | b'='
                | b'('
                | b'['
                | b','
                | b';'
                | b':'
                | b'<'
                | b'>'
                | b'`'
                | b'|'
                | b'{'
        ) {
            return None;
        }
        if requested(&bytes[..start]) {
            return None;
        }
        let mut end = at + 1;
        while class(bytes, end) & WORD != 0 {
            end += 1;
        }
        let root = &bytes[at + 1..end];
        if !home && (!ROOTS.contains(&root) || byte(bytes, end) != b'/') {
            return None;
        }
        let spaced = SPACED_ROOTS.contains(&root);
        let first = end;
        loop {
            let component = end;
            while class(bytes, end) & WORD != 0
                || matches!(byte(bytes, end), b'/' | b'+' | b'~' | b'@' | b'#' | b'%' | b'=')
            {
                end += 1;
            }
            if !spaced || byte(bytes, end) != b' ' || !begins_further_component(bytes, end + 1) || end == component {
                break;
            }
            end += 1;
        }
        end = end.min(floor_boundary(self.text, end));
        while end > start && matches!(bytes[end - 1], b'.' | b'=' | b'#' | b'@') {
            end -= 1;
        }
        if end <= first + usize::from(!home) {
            return None;
        }
        let scope = self.exact_scope(&self.text[start..end]);
        self.push(ObservableType::FilePath, scope, start, end);
        Some(end)
    }
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Whether what stands before is the method of an HTTP request, so that a URL's path follows.
fn requested(before: &[u8]) -> bool {
    [&b"GET "[..], b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS "].iter().any(|method| before.ends_with(method))
}

/// Whether the word at `at`, behind a space, goes on to a slash of its own: `File System/HFS`.
fn begins_further_component(bytes: &[u8], at: usize) -> bool {
    let mut end = at;
    while end < at + COMPONENT && class(bytes, end) & WORD != 0 {
        end += 1;
    }
    end > at && byte(bytes, end) == b'/'
}

fn quoted_end(bytes: &[u8], at: usize, quote: u8) -> Option<usize> {
    let limit = bytes.len().min(at + QUOTED);
    for (index, &b) in bytes[at..limit].iter().enumerate() {
        match b {
            _ if b == quote => {
                // A backslash before it escapes the mark and is no part of the path.
                return Some(at + index - usize::from(bytes[at + index - 1] == b'\\' && index > 1));
            }
            b'\n' | b'\r' | b':' | b'"' | b'<' | b'>' | b'|' | b'*' => return None,
            b'/' if matches!(byte(bytes, (at + index).wrapping_sub(1)), b' ') => return None,
            _ => {}
        }
    }
    None
}

/// End of the path whose first separator is at `at`.
fn components_end(bytes: &[u8], mut at: usize, separator: u8) -> usize {
    loop {
        // Escaped texts double the backslash.
        let mut first = at;
        while byte(bytes, first) == separator && first < at + 2 {
            first += 1;
        }
        match component_end(bytes, first, separator) {
            Some(end) => at = end,
            None => {
                let end = last_component_end(bytes, first);
                return if end > first { end } else { at };
            }
        }
    }
}

/// Where the component at `first` meets its separator.
pub(super) fn component_end(bytes: &[u8], first: usize, separator: u8) -> Option<usize> {
    let limit = bytes.len().min(first + COMPONENT);
    let mut at = first;
    let mut word = first;
    while at < limit {
        let b = bytes[at];
        match b {
            _ if b == separator => {
                let another = bytes[..at].ends_with(b" ") && byte(bytes, at + 1) == separator;
                return (at > first && !another).then_some(at);
            }
            b' ' => {
                if byte(bytes, at + 1) == b' ' || at == first || has_extension(&bytes[word..at], PROGRAMS) {
                    return None;
                }
                word = at + 1;
                if registry::begins(bytes, word) || matches!(byte(bytes, word), b'-' | b'/' | b'.') {
                    return None;
                }
            }
            // A placeholder, `<username>`.
            b'<' => {
                let close = bytes[at..limit].iter().position(|&b| b == b'>' || b == separator)?;
                if bytes[at + close] != b'>' {
                    return None;
                }
                at += close;
            }
            0..0x20 | b':' | b'/' | b'"' | b'>' | b'|' | b'\\' => return None,
            b'*' | b'?' if word > first => return None,
            0x80.. if wide_punctuation(bytes, at).is_some() => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where a last component at `first` ends.
fn last_component_end(bytes: &[u8], first: usize) -> usize {
    let mut end = word_of_path(bytes, first);
    if end == first {
        return first;
    }
    if !has_any_extension(&bytes[first..end]) {
        let (mut words, mut at) = (1, end);
        while words < LAST.1 && byte(bytes, at) == b' ' && class(bytes, at + 1) & ALNUM != 0 && at < first + LAST.0 {
            let word = at + 1;
            at = word_of_path(bytes, word);
            words += 1;
            if at == word || byte(bytes, at) == b'\\' || byte(bytes, at) == b':' {
                break;
            }
            if has_extension(trim(&bytes[word..at]), EXTENSIONS) {
                end = at;
                break;
            }
        }
    }
    first + trim(&bytes[first..end]).len()
}

/// End of the run of bytes at `at` that file names have and that no sentence puts behind them.
fn word_of_path(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    let mut round = 0u32;
    while end < bytes.len() && end < at + COMPONENT {
        match bytes[end] {
            b'<' => match bytes[end..].iter().take(COMPONENT).position(|&b| b == b'>') {
                Some(close) => end += close,
                None => break,
            },
            // Sysmon's call traces: `ntdll.dll+9c584`.
            b'+' if has_extension(&bytes[at..end], PROGRAMS) => break,
            b'(' => round += 1,
            b')' if round > 0 => round -= 1,
            0..=0x20 | b'"' | b'\'' | b',' | b';' | b':' | b'>' | b'|' | b'/' | b'\\' | b')' | b'`' => break,
            0x80.. if wide_punctuation(bytes, end).is_some() => break,
            _ => {}
        }
        end += 1;
    }
    while end > at && end < bytes.len() && bytes[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    end
}

fn trim(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|b| !matches!(b, b'.' | b'!' | b']' | b'}')).map_or(0, |last| last + 1);
    // `{GUID}` keeps its brace.
    if kept < text.len() && text[kept] == b'}' && text[..kept].contains(&b'{') {
        &text[..kept + 1]
    } else {
        &text[..kept]
    }
}

fn extension(word: &[u8]) -> Option<&[u8]> {
    let dot = word.iter().rposition(|&b| b == b'.')?;
    Some(&word[dot + 1..])
}

fn has_any_extension(word: &[u8]) -> bool {
    extension(trim(word)).is_some_and(|ext| (1..=5).contains(&ext.len()) && ext.iter().all(u8::is_ascii_alphanumeric))
}

fn has_extension(word: &[u8], known: &[&[u8]]) -> bool {
    extension(word).is_some_and(|ext| known.iter().any(|known| ext.eq_ignore_ascii_case(known)))
}
