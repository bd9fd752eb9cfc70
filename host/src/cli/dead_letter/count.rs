use std::{
    collections::HashMap,
    io::{self, Write},
};

use serde::Serialize;

use super::list::{Format, kept};
use crate::{cli::terminal::cut, pipeline::Letter};

/// Letters by stage, guest and reason: what fails, and how often.
#[derive(Debug, Default)]
pub(super) struct Counting {
    groups: HashMap<Key, Group>,
    total: usize,
}

/// What letters have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Key {
    stage: String,
    guest: String,
    /// Numbers in it are `N`: a reason with a line and a column is one reason.
    reason: String,
}

/// The letters of one key.
#[derive(Clone, Debug, Serialize)]
struct Group {
    count: usize,
    bytes: usize,
    newest: String,
    oldest: String,
    /// The newest of them, to be shown.
    id: String,
}

/// Most groups. Reasons come from guests, so their number is not ours to trust.
const GROUPS: usize = 10_000;

/// The reason of the letters beyond [`GROUPS`].
const OTHERS: &str = "(of more kinds than are told apart)";

/// Most bytes of a reason that tell a group from others.
const REASON: usize = 256;

impl Counting {
    /// Counts a letter. They come newest first.
    pub fn add(&mut self, letter: &Letter) {
        self.total += 1;
        let mut key = Key { stage: letter.stage.clone(), guest: letter.guest.clone(), reason: pattern(&letter.reason) };
        if self.groups.len() >= GROUPS && !self.groups.contains_key(&key) {
            key = Key { stage: String::new(), guest: String::new(), reason: OTHERS.to_owned() };
        }
        let when = kept(letter).to_rfc3339();
        let new =
            || Group { count: 0, bytes: 0, newest: when.clone(), oldest: String::new(), id: letter.id.to_string() };
        let group = self.groups.entry(key).or_insert_with(new);
        group.count += 1;
        group.bytes += letter.size;
        group.oldest = when;
    }

    /// How many letters were counted.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Writes the largest groups, at most `limit`.
    pub fn write(&self, out: &mut impl Write, format: Format, limit: usize) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            key: &'a Key,
            #[serde(flatten)]
            group: &'a Group,
        }
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by(|(a, x), (b, y)| y.count.cmp(&x.count).then_with(|| a.reason.cmp(&b.reason)));
        if format == Format::Text && !groups.is_empty() {
            writeln!(out, "{:>7} {:<9} {:<12} {:<17} REASON", "COUNT", "STAGE", "GUEST", "NEWEST")?;
        }
        for (key, group) in groups.into_iter().take(limit) {
            match format {
                Format::Text => {
                    let guest = key.guest.strip_prefix("sha256:").unwrap_or(&key.guest);
                    let guest: String = guest.chars().take(12).collect();
                    writeln!(
                        out,
                        "{:>7} {:<9} {:<12} {:<17} {}",
                        group.count,
                        cut(&key.stage, 9),
                        cut(&guest, 12),
                        group.id,
                        cut(&key.reason, 51)
                    )?;
                }
                Format::Json => {
                    serde_json::to_writer(&mut *out, &Line { key, group })?;
                    out.write_all(b"\n")?;
                }
            }
        }
        Ok(())
    }
}

/// `reason` with `N` for each number.
fn pattern(reason: &str) -> String {
    let mut pattern = String::with_capacity(reason.len().min(REASON));
    let mut in_number = false;
    for letter in reason.chars() {
        if pattern.len() >= REASON {
            break;
        }
        if letter.is_ascii_digit() {
            if !std::mem::replace(&mut in_number, true) {
                pattern.push('N');
            }
        } else {
            in_number = false;
            pattern.push(letter);
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EntryId;

    #[test]
    fn reasons_that_differ_in_numbers_are_one_group() {
        let mut counting = Counting::default();
        for (ms, reason) in [(30, "EOF at line 1 column 33"), (20, "EOF at line 2 column 5"), (10, "a trap")] {
            let fields = [("stage", "normalize"), ("reason", reason)];
            let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
            counting.add(&Letter::new(EntryId { ms, sequence: 0 }, fields.into()));
        }
        let mut out = Vec::new();
        counting.write(&mut out, Format::Text, 10).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].trim_start().starts_with('2') && lines[0].ends_with("EOF at line N column N"), "{text}");
        assert!(lines[0].contains("30-0"), "not the newest: {text}");
    }
}
