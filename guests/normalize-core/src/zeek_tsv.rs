//! Zeek's own log format: a header that names the columns, then a line a record.
//!
//! Lines reach a guest one by one, and it remembers nothing from batch to batch, so a record is understood only behind
//! its header in the same batch, from the same context.

use crate::{draft::Draft, fault::Fault};

/// What a header says.
#[derive(Clone, Debug)]
pub struct Columns {
    separator: String,
    set_separator: String,
    empty: String,
    unset: String,
    path: String,
    fields: Vec<String>,
    /// `types[i]` of `fields[i]`; may be missing.
    types: Vec<String>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            separator: "\t".to_owned(),
            set_separator: ",".to_owned(),
            empty: "(empty)".to_owned(),
            unset: "-".to_owned(),
            path: String::new(),
            fields: Vec::new(),
            types: Vec::new(),
        }
    }
}

impl Columns {
    /// Takes up one line of a header, which begins with `#`.
    pub fn header(&mut self, line: &str) {
        // `#separator` is the one line that is not itself separated by the separator.
        if let Some(separator) = line.strip_prefix("#separator ") {
            *self = Self { separator: unescape(separator), ..Self::default() };
            return;
        }
        let mut parts = line.split(self.separator.as_str());
        let name = parts.next().unwrap_or_default();
        match name {
            "#set_separator" => self.set_separator = parts.next().map(unescape).unwrap_or_default(),
            "#empty_field" => self.empty = parts.next().unwrap_or_default().to_owned(),
            "#unset_field" => self.unset = parts.next().unwrap_or_default().to_owned(),
            "#path" => self.path = parts.next().unwrap_or_default().to_owned(),
            "#fields" => self.fields = parts.map(str::to_owned).collect(),
            "#types" => self.types = parts.map(str::to_owned).collect(),
            _ => {}
        }
    }

    /// Whether the columns are named yet.
    #[must_use]
    pub fn known(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Whether a line has as many values as there are columns.
    #[must_use]
    pub fn fits(&self, line: &str) -> bool {
        self.known() && line.split(self.separator.as_str()).count() == self.fields.len()
    }

    /// Reads the record `line`, which stands at `at` of the payload. Unset values and empty sets give no field, and
    /// the elements of sets and vectors one each, as in Zeek's JSON.
    ///
    /// # Errors
    /// If it has more or fewer values than there are columns.
    pub fn read(&self, line: &str, at: usize, event: &mut Draft<'_>) -> Result<(), Fault> {
        if !self.path.is_empty() {
            event.plain("_path", &self.path);
        }
        let mut values = line.split(self.separator.as_str());
        let mut key = String::new();
        for (index, field) in self.fields.iter().enumerate() {
            let Some(value) = values.next() else {
                return Err(Fault::new(at + line.len(), "as many values as the header has columns"));
            };
            let kind = self.types.get(index).map_or("", String::as_str);
            if value == self.unset {
                continue;
            }
            let many = kind.starts_with("set[") || kind.starts_with("vector[") || kind.starts_with("table[");
            if value == self.empty {
                if !many {
                    event.plain(field, "");
                }
                continue;
            }
            if many && !self.set_separator.is_empty() {
                for (number, element) in value.split(self.set_separator.as_str()).enumerate() {
                    key.clear();
                    key.push_str(field);
                    key.push('.');
                    crate::draft::push_number(&mut key, number as u64);
                    put(event, &key, element, kind);
                }
            } else {
                put(event, field, value, kind);
            }
        }
        match values.next() {
            None => Ok(()),
            Some(_) => Err(Fault::new(at + line.len(), "no more values than the header has columns")),
        }
    }
}

fn put(event: &mut Draft<'_>, key: &str, value: &str, kind: &str) {
    if matches!(kind, "time" | "interval" | "count" | "int" | "port" | "bool" | "double" | "enum") {
        event.plain(key, value);
    } else if value.contains("\\x") {
        event.field(key, &unescape(value));
    } else {
        event.field(key, value);
    }
}

/// `\x2c` as the byte that it is, where the bytes make UTF-8; else as it is written.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut bytes = Vec::new();
        let mut length = 0;
        while let Some(byte) =
            rest[length..].strip_prefix("\\x").and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok())
        {
            bytes.push(byte);
            length += 4;
        }
        match str::from_utf8(&bytes) {
            Ok(decoded) if length > 0 => out.push_str(decoded),
            _ => {
                length = length.max(2);
                out.push_str(&rest[..length]);
            }
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_escapes_that_make_utf8() {
        assert_eq!(unescape(r"a\x2c b\xc3\xa9"), "a, bé");
        assert_eq!(unescape(r"\xff\x2c\xzz\x"), r"\xff\x2c\xzz\x");
    }

    #[test]
    fn learns_the_columns_of_its_header() {
        let mut columns = Columns::default();
        columns.header(r"#separator \x09");
        columns.header("#fields\tts\tuid");
        assert!(columns.fits("1.0\tC1") && !columns.fits("1.0"));
    }
}
