//! What TLP forbids to show around. A site's own events carry no TLP of the host's, so it is what a source or another
//! site has written into them, wherever it stands.

use std::fmt;

/// A mark of the Traffic Light Protocol that keeps what it is on from a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// For this organisation only.
    AmberStrict,
    /// For the eyes of those only who were told.
    Red,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AmberStrict => "TLP:AMBER+STRICT",
            Self::Red => "TLP:RED",
        })
    }
}

/// Most characters between `tlp` and the colour, as in `\"tlp\" : \"red\"`.
const BETWEEN: usize = 8;

impl Mark {
    /// The strictest mark in `text`: `TLP:RED`, `"tlp": "amber+strict"`, `tlp=amber-strict`. A word too many is hidden
    /// rather than one too few.
    pub fn of(text: &[u8]) -> Option<Self> {
        if !is_marked(text) {
            return None;
        }
        let text = text.to_ascii_lowercase();
        let begins = text.windows(3).enumerate().filter(|(_, word)| word == b"tlp").map(|(at, _)| at + 3);
        begins.filter_map(|at| colour(&text[at..])).max()
    }
}

/// Whether `text` has a word in it that every mark has. Few do, and each event that leaves is asked.
pub(crate) fn is_marked(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'p', b'P', text).any(|at| at > 1 && text[at - 2..at].eq_ignore_ascii_case(b"tl"))
}

fn colour(rest: &[u8]) -> Option<Mark> {
    let rest = behind_signs(rest, BETWEEN)?;
    if let Some(rest) = rest.strip_prefix(b"red") {
        return (!rest.first().is_some_and(u8::is_ascii_alphanumeric)).then_some(Mark::Red);
    }
    let rest = behind_signs(rest.strip_prefix(b"amber")?, 2)?;
    rest.starts_with(b"strict").then_some(Mark::AmberStrict)
}

/// What follows at most `most` bytes that are neither letters nor digits.
fn behind_signs(text: &[u8], most: usize) -> Option<&[u8]> {
    let signs = text.iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
    (signs <= most).then(|| &text[signs..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_marks_however_they_are_written() {
        for (text, mark) in [
            (r#"{"tlp":"red"}"#, Some(Mark::Red)),
            (r#"{"fields":{"tlp": "AMBER+STRICT"}}"#, Some(Mark::AmberStrict)),
            (r#""{\"tlp\" : \"amber_strict\"}""#, Some(Mark::AmberStrict)),
            ("seen under TLP:RED, do not pass on", Some(Mark::Red)),
            ("tlp=amber-strict", Some(Mark::AmberStrict)),
            ("tlp:amber+strict but also TLP:RED", Some(Mark::Red)),
            ("TLP:AMBER", None),
            ("TLP:REDACTED", None),
            ("tlp:green", None),
            ("a red light on the tlp", None),
            ("tlp", None),
            ("", None),
        ] {
            assert_eq!(Mark::of(text.as_bytes()), mark, "{text}");
        }
    }
}
