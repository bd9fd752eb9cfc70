//! JSON, flattened into fields as it is read: nested keys joined with dots, elements of arrays by their position
//! (`tags.0`), numbers in their own spelling. `null` and empty containers hold no value and give no field.
//!
//! Written by hand because this is the hottest path of the project: the values go straight from the payload into the
//! column that crosses to the host. A property test holds it to serde_json's opinion of what is JSON.

mod number;
mod string;

use aurora_guest::Utf8;

use crate::{
    draft::{Draft, push_number},
    fault::Fault,
};

/// Deepest nesting read. Real events stay below 20.
const DEPTH: usize = 128;

/// Reads the object or array that begins at `at` (after white space), and answers where it ends.
///
/// # Errors
/// Where it is no JSON.
pub fn flatten(text: &str, at: usize, draft: &mut Draft<'_>, path: &mut Utf8) -> Result<usize, Fault> {
    path.clear();
    let mut reader = Reader { text, bytes: text.as_bytes(), at, draft, path };
    reader.space();
    reader.value(0)?;
    Ok(reader.at)
}

/// Where the value that begins at `at` ends, without reading its meaning.
///
/// # Errors
/// If it does not end.
pub fn end_of(text: &str, at: usize) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let (mut at, mut open) = (at, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string::scan(bytes, at + 1)?.end,
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(Fault::new(at, "`}` or `]`"))
}

/// Where the list of `{"Records":[{…},{…}]}` begins, if that is all that stands at `at`: the way in which AWS packs
/// events.
#[must_use]
pub fn records(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let key = skip_space(bytes, at + 1);
    if !text.get(key..)?.starts_with("\"Records\"") {
        return None;
    }
    let colon = skip_space(bytes, key + "\"Records\"".len());
    let list = skip_space(bytes, colon + 1);
    let of_objects = bytes.get(colon) == Some(&b':')
        && bytes.get(list) == Some(&b'[')
        && bytes.get(skip_space(bytes, list + 1)) == Some(&b'{');
    let end = if of_objects { end_of(text, list).ok()? } else { return None };
    (bytes.get(skip_space(bytes, end)) == Some(&b'}')).then_some(list)
}

/// The first byte at or after `at` that is not white space.
#[must_use]
pub fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

struct Reader<'t, 'd, 'e> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    draft: &'d mut Draft<'e>,
    /// Key of the value under work.
    path: &'d mut Utf8,
}

impl Reader<'_, '_, '_> {
    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.bytes.get(self.at) {
            Some(b'"') => {
                let string = string::scan(self.bytes, self.at + 1)?;
                let raw = &self.text[self.at + 1..string.end];
                if string.escaped {
                    string::check(raw.as_bytes(), self.at + 1)?;
                    self.draft.field_with(self.path.as_str(), |out| string::unescape(raw, out));
                } else {
                    self.draft.field(self.path.as_str(), raw);
                }
                self.at = string.end + 1;
                Ok(())
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => {
                let end = number::scan(self.bytes, self.at)?;
                self.draft.plain(self.path.as_str(), &self.text[self.at..end]);
                self.at = end;
                Ok(())
            }
            _ => Err(Fault::new(self.at, "a JSON value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        if depth == DEPTH {
            return Err(Fault::new(self.at, "at most 128 levels of nesting"));
        }
        self.at += 1;
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        let length = self.path.len();
        loop {
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(Fault::new(self.at, "a key in quotes"));
            }
            let key = string::scan(self.bytes, self.at + 1)?;
            let raw = &self.text[self.at + 1..key.end];
            if length > 0 {
                self.path.push('.');
            }
            if key.escaped {
                string::check(raw.as_bytes(), self.at + 1)?;
                string::unescape(raw, self.path);
            } else {
                self.path.push_str(raw);
            }
            self.at = key.end + 1;
            self.space();
            if !self.take(b':') {
                return Err(Fault::new(self.at, "`:`"));
            }
            self.space();
            self.value(depth + 1)?;
            self.path.truncate(length);
            self.space();
            if self.take(b',') {
                self.space();
            } else if self.take(b'}') {
                return Ok(());
            } else {
                return Err(Fault::new(self.at, "`,` or `}`"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        if depth == DEPTH {
            return Err(Fault::new(self.at, "at most 128 levels of nesting"));
        }
        self.at += 1;
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        let length = self.path.len();
        for index in 0.. {
            if length > 0 {
                self.path.push('.');
            }
            push_number(self.path, index);
            self.value(depth + 1)?;
            self.path.truncate(length);
            self.space();
            if self.take(b',') {
                self.space();
            } else if self.take(b']') {
                break;
            } else {
                return Err(Fault::new(self.at, "`,` or `]`"));
            }
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Fault::new(self.at, "a JSON value"));
        }
        self.at += word.len();
        if word != "null" {
            self.draft.plain(self.path.as_str(), word);
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn space(&mut self) {
        self.at = skip_space(self.bytes, self.at);
    }
}
