//! What is not found in a text by what it is: observables of the event that never leave, and the values of fields that are
//! removed, for a title is often made of one.

use std::ops::Range;

use super::{
    reading::{self, Reading},
    words::Signs,
};

/// Shortest one that is looked for: a shorter one is in many words.
pub(super) const SHORTEST: usize = 4;

/// Values of fields that say nothing by themselves.
const COMMON: [&str; 4] = ["true", "false", "null", "none"];

/// Such texts of one event, in lower case.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Adds `text`, and what it reads.
    pub fn add(&mut self, text: &str) {
        self.push(text);
        reading::each(text, |read, _| self.push(read));
    }

    fn push(&mut self, text: &str) {
        let text = text.trim();
        if text.len() >= SHORTEST && !COMMON.contains(&text) {
            let lower: String = text.chars().flat_map(char::to_lowercase).collect();
            if !self.0.contains(&lower) {
                self.0.push(lower);
            }
        }
    }

    /// Finds them in `text`, as it stands and as it reads, in whatever case.
    pub fn find(&self, text: &str, mut found: impl FnMut(Range<usize>)) {
        if self.0.is_empty() {
            return;
        }
        self.find_plain(text, &mut found);
        if Signs::in_text(text).is_odd() {
            reading::each(text, |read, place| self.find_plain(read, &mut |range: Range<usize>| found(place(range))));
        }
    }

    /// Whether one of them is in `text`.
    pub fn are_in(&self, text: &str) -> bool {
        let mut are_there = false;
        self.find(text, |_| are_there = true);
        are_there
    }

    fn find_plain(&self, text: &str, found: &mut impl FnMut(Range<usize>)) {
        if text.is_ascii() {
            // Byte by byte of the same length, so that places in one are places in the other.
            self.find_lower(&text.to_ascii_lowercase(), found);
        } else {
            let lower = Reading::lower(text);
            self.find_lower(&lower.text, &mut |range: Range<usize>| found(lower.place(&range)));
        }
    }

    fn find_lower(&self, lower: &str, found: &mut impl FnMut(Range<usize>)) {
        for secret in &self.0 {
            for (start, _) in lower.match_indices(secret.as_str()) {
                let end = start + secret.len();
                let [before, after] = [lower.as_bytes()[..start].last(), lower.as_bytes().get(end)];
                if ![before, after].into_iter().flatten().any(u8::is_ascii_alphanumeric) {
                    found(start..end);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(secret: &str, text: &'t str) -> Vec<&'t str> {
        let (mut secrets, mut ranges) = (Secrets::default(), Vec::new());
        secrets.add(secret);
        secrets.find(text, |range| {
            if !ranges.contains(&range) {
                ranges.push(range);
            }
        });
        ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn finds_them_in_whatever_case_and_spelling() {
        for (secret, text, expected) in [
            ("Müllerx", "login of MÜLLERX and müllerx.", &["MÜLLERX", "müllerx"][..]),
            (r"PLANTX\jdoe", r#"{"u":"plantx\\jdoe"}"#, &[r"plantx\\jdoe"]),
            (r"PLANTX\\jdoe", r"of plantx\jdoe", &[r"plantx\jdoe"]),
            ("j.doe", r"\nJ%2eDOE", &["J%2eDOE"]),
            ("jdoe", "é jdoe", &["jdoe"]),
        ] {
            assert_eq!(found(secret, text), expected, "{text}");
        }
    }

    #[test]
    fn leaves_longer_words_and_those_that_say_nothing_alone() {
        for (secret, text) in [("jdoe", "jdoes and xjdoe"), ("joe", "joe"), ("true", "true"), ("abcd", "abc")] {
            assert_eq!(found(secret, text), [] as [&str; 0], "{text}");
        }
    }
}
