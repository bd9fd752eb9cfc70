//! Values of fields whose meaning is known: no search, only the question whether the value is what it should be.

use aurora_guest::ObservableType;

use super::class::{byte, word_end};
use super::scan::Scan;
use super::{address, hash};

impl Scan<'_> {
    /// Reports the whole text as a `kind`, if it is one.
    pub(super) fn typed(&mut self, kind: ObservableType) {
        let trimmed = self.text.trim();
        let start = trimmed.as_ptr() as usize - self.text.as_ptr() as usize;
        // What is behind the value is cut off for good; what is before it keeps the spans right.
        self.text = &self.text[..start + trimmed.len()];
        self.bytes = self.text.as_bytes();
        if matches!(trimmed, "" | "-" | "N/A" | "n/a" | "(none)" | "null" | "unknown") {
            return;
        }
        let end = self.bytes.len();
        match kind {
            ObservableType::Ip => self.typed_address(start),
            ObservableType::Domain => self.typed_domain(start),
            ObservableType::Url => self.typed_url(start),
            // Names of people stand in such fields too, and `joe.black` looks like a domain.
            ObservableType::Email => {
                if trimmed.contains(['@', '[', '(', '{']) {
                    self.run(start, end);
                }
            }
            ObservableType::HashMd5 | ObservableType::HashSha1 | ObservableType::HashSha256 => {
                // The length says which it is; fields called `hash` hold any.
                if let Some(kind) = hash::kind(&self.bytes[start..]) {
                    let scope = self.exact_scope(trimmed);
                    self.push_lower(kind, scope, start, end);
                }
            }
            ObservableType::Cve => {
                let from = self.scratch.len();
                if hash::cve(&self.bytes[start..], self.scratch) {
                    let scope = self.exact_scope(&self.scratch[from..]);
                    self.push_written(kind, scope, from, start);
                }
            }
            ObservableType::FilePath => {
                let path = trimmed.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(trimmed);
                let start = start + usize::from(path.len() < trimmed.len());
                if is_path(path.as_bytes()) {
                    self.push_path(kind, start, start + path.len());
                }
            }
            ObservableType::RegistryKey => {
                let hive = word_end(self.bytes, start);
                if trimmed.contains('\\') && (byte(self.bytes, hive) != b':' || byte(self.bytes, hive + 1) == b'\\') {
                    if byte(self.bytes, hive) == b':' {
                        let from = self.scratch.len();
                        self.scratch.push_str(&self.text[start..hive]);
                        self.scratch.push_str(&self.text[hive + 1..]);
                        let scope = self.exact_scope(&self.scratch[from..]);
                        self.push_scratch(kind, scope, from, self.scratch.len());
                    } else {
                        self.push_path(kind, start, end);
                    }
                }
            }
            ObservableType::Mutex | ObservableType::UserAgent => {
                let scope = self.exact_scope(trimmed);
                self.push(kind, scope, start, end);
                // A lookup that is to be run wherever the agent is logged names who answers it.
                if kind == ObservableType::UserAgent && trimmed.contains("${") {
                    self.run(start, end);
                }
            }
        }
    }

    fn typed_address(&mut self, start: usize) {
        let bytes = self.bytes;
        let end = bytes.len();
        if self.v4(start, end) {
            return;
        }
        let inner = start + usize::from(bytes[start] == b'[');
        let stop = address::v6_extent(bytes, inner);
        if let Some(address) = address::v6(&bytes[inner..stop])
            && (stop == end || matches!(bytes[stop], b']' | b'%' | b'/'))
        {
            let scope = self.v6_scope(address);
            self.push(ObservableType::Ip, scope, inner, stop);
            return;
        }
        // With a port or prefix length, defanged, or several in a list.
        self.run(start, end);
    }

    fn typed_domain(&mut self, start: usize) {
        let end = self.bytes.len();
        if self.v4(start, end) {
            return;
        }
        if !self.certain_host(start) {
            self.run(start, end);
        }
    }

    fn typed_url(&mut self, start: usize) {
        let before = self.found.len();
        // The names of files in a path look like domains (`/virus/eicar.com`, `/bins.sh`); its query may hold anything.
        let url = &self.text[start..];
        if url.starts_with('/') && !url.starts_with("//") && !url.contains("://") {
            if let Some(query) = url.find('?') {
                self.run(start + query + 1, self.bytes.len());
            }
            return;
        }
        self.run(start, self.bytes.len());
        // A field that holds a URL holds nothing else: what was found must begin with it.
        if self.found[before..].iter().any(|found| found.kind == ObservableType::Url) {
            return;
        }
        // `//host/path`, or a host alone, is as good as the field makes it; a path alone is none.
        if !self.text[start..].starts_with('/') && self.found.len() == before {
            self.certain_host(start);
        }
    }
}

/// Whether a field's value is a path at all: `System` and `cmd.exe` are names.
fn is_path(text: &[u8]) -> bool {
    !text.iter().any(|b| *b < 0x20)
        && match text {
            [drive, b':', b'\\' | b'/', _, ..] => drive.is_ascii_alphabetic(),
            [b'\\' | b'/', _, ..] | [b'~', b'/', _, ..] | [b'.', b'/' | b'\\', _, ..] => true,
            [b'%', rest @ ..] => rest.windows(2).any(|two| two == b"%\\"),
            _ => false,
        }
}
