//! Paths of files: Windows with a drive, UNC, behind an environment variable, and Unix.
//!
//! Where a Windows path ends is [`super::component`]'s business.

use aurora_guest::ObservableType;

use super::class::{ALNUM, WORD};
use super::class::{byte, class, wide_punctuation};
use super::component::{COMPONENT, components_end, quoted_end};
use super::scan::Scan;

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
        let local = before == b'/' && bytes[..start].ends_with(b"file://");
        if !local
            && start != self.begun
            && !matches!(
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
            )
        {
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
