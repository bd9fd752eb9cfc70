//! What TLP forbids to show around. A site's own events carry no TLP of the host's, so it is what a source or another
//! site has written into them, wherever it stands.

use std::fmt;

use crate::sandbox::Tlp;

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

/// Longest tag of a markup language that may stand between them as well, bytes: `TLP:<b>RED</b>`.
const TAG: usize = 64;

/// What stands before the two hyphens of the id of a marking in STIX.
const DEFINITION: &[u8] = b"marking-definition";

/// Those of TLP 1 are fixed in section 7.2.1.4 of STIX 2.1, those of TLP 2.0 in an extension of the same committee.
const IDS: [(Tlp, &[u8; 36]); 9] = [
    (Tlp::Clear, b"613f2e26-407d-48c7-9eca-b8e91df99dc9"),
    (Tlp::Clear, b"94868c89-83c2-464b-929b-a1a8aa3c8487"),
    (Tlp::Green, b"34098fce-860f-48ae-8e50-ebd3cc5e41da"),
    (Tlp::Green, b"bab4a63c-aed9-4cf5-a766-dfca5abac2bb"),
    (Tlp::Amber, b"f88d31f6-486f-44da-b317-01333bde0b82"),
    (Tlp::Amber, b"55d920b0-5e8b-4f79-9ee9-91f868d9b421"),
    (Tlp::AmberStrict, b"939a9414-2ddd-4d32-a0cd-375ea402b003"),
    (Tlp::Red, b"5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
    (Tlp::Red, b"e828b379-4e03-4974-9ac4-e53a884c97c1"),
];

impl Mark {
    /// The strictest mark in `text`: `TLP:RED`, `"tlp": "amber+strict"`, `tlp=amber-strict`. A word too many is hidden
    /// rather than one too few.
    pub fn of(text: &[u8]) -> Option<Self> {
        match marking(text)? {
            Tlp::Red => Some(Self::Red),
            Tlp::AmberStrict => Some(Self::AmberStrict),
            Tlp::Amber | Tlp::Green | Tlp::Clear => None,
        }
    }
}

/// The strictest marking in `text`, those included that keep nothing from a screen.
pub(crate) fn marking(text: &[u8]) -> Option<Tlp> {
    if !is_marked(text) {
        return None;
    }
    let ids = hyphens(text).filter_map(|at| {
        let id = text.get(at + 2..)?.first_chunk::<36>()?;
        IDS.iter().find(|(_, known)| known.eq_ignore_ascii_case(id)).map(|(tlp, _)| *tlp)
    });
    let lower = text.to_ascii_lowercase();
    let begins = lower.windows(3).enumerate().filter(|(_, word)| word == b"tlp").map(|(at, _)| at + 3);
    begins.filter_map(|at| colour(&lower[at..])).chain(ids).reduce(Tlp::stricter)
}

/// How a field marks what it is in, by its value or by its key. One whose key has the word `tlp` in it marks, whatever its
/// value is: where that cannot be read, as nothing may be.
pub(crate) fn of_field(key: &str, value: &str) -> Option<Tlp> {
    let said = marking(value.as_bytes());
    if !is_marked(key.as_bytes()) {
        return said;
    }
    let said = [said, marking(key.as_bytes())].into_iter().flatten().reduce(Tlp::stricter);
    let value = value.trim();
    if !names_tlp(key) || value.is_empty() || is_version(key) {
        return said;
    }
    let read = Tlp::read(value).or_else(|| marking(format!("tlp:{value}").as_bytes()));
    [said, read].into_iter().flatten().reduce(Tlp::stricter).or(Some(Tlp::Red))
}

/// Whether `text` has a word in it that every mark has. Few do, and each event that leaves is asked.
pub(crate) fn is_marked(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'p', b'P', text).any(|at| at > 1 && text[at - 2..at].eq_ignore_ascii_case(b"tl"))
        || hyphens(text).next().is_some()
}

/// Where the two hyphens of ids of markings stand.
fn hyphens(text: &[u8]) -> impl Iterator<Item = usize> {
    let begins = memchr::memmem::find_iter(text, b"--");
    begins.filter(move |&at| {
        at.checked_sub(DEFINITION.len()).is_some_and(|from| text[from..at].eq_ignore_ascii_case(DEFINITION))
    })
}

/// Whether one of the words of `key` is `tlp`: `event.tlp`, `tlp_level`, `tlpLevel`, `eventTLP`.
fn names_tlp(key: &str) -> bool {
    let bytes = key.as_bytes();
    bytes.windows(3).enumerate().any(|(at, word)| {
        let begins = match at.checked_sub(1).map(|before| bytes[before]) {
            Some(before) if before.is_ascii_alphanumeric() => {
                word[0].is_ascii_uppercase() && !before.is_ascii_uppercase()
            }
            _ => true,
        };
        let ends = || word == b"TLP" || !bytes.get(at + 3).is_some_and(u8::is_ascii_lowercase);
        begins && matches!(word, b"tlp" | b"Tlp" | b"TLP") && ends()
    })
}

/// Which edition of TLP somebody speaks of marks nothing.
fn is_version(key: &str) -> bool {
    key.len() >= 7 && key.as_bytes()[key.len() - 7..].eq_ignore_ascii_case(b"version")
}

fn colour(rest: &[u8]) -> Option<Tlp> {
    // What is in a tag may be the colour itself.
    let behind = [behind_signs(rest, BETWEEN), behind_tags(rest)];
    behind.into_iter().flatten().filter_map(word).reduce(Tlp::stricter)
}

fn word(rest: &[u8]) -> Option<Tlp> {
    const WORDS: [(&[u8], Tlp); 5] = [
        (b"red", Tlp::Red),
        (b"amber", Tlp::Amber),
        (b"green", Tlp::Green),
        (b"clear", Tlp::Clear),
        (b"white", Tlp::Clear),
    ];
    let (rest, tlp) = WORDS.into_iter().find_map(|(word, tlp)| Some((rest.strip_prefix(word)?, tlp)))?;
    if tlp == Tlp::Amber && behind_signs(rest, 2).is_some_and(|rest| rest.starts_with(b"strict")) {
        return Some(Tlp::AmberStrict);
    }
    (!rest.first().is_some_and(u8::is_ascii_alphanumeric)).then_some(tlp)
}

/// What follows at most `most` bytes that are neither letters nor digits.
fn behind_signs(text: &[u8], most: usize) -> Option<&[u8]> {
    let signs = text.iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
    (signs <= most).then(|| &text[signs..])
}

/// The same, each tag among them as one of them; none if there is no tag.
fn behind_tags(text: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut is_tagged) = (text, false);
    for _ in 0..BETWEEN {
        match rest.first()? {
            b'<' => {
                let end = rest.iter().take(TAG).position(|byte| *byte == b'>')?;
                (rest, is_tagged) = (&rest[end + 1..], true);
            }
            byte if byte.is_ascii_alphanumeric() => break,
            _ => rest = &rest[1..],
        }
    }
    is_tagged.then_some(rest)
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
            ("TLP:<b>RED</b>", Some(Mark::Red)),
            (r#"tlp <span class="x">: red</span>"#, Some(Mark::Red)),
            ("tlp <red>", Some(Mark::Red)),
            ("by marking-definition--5E57C739-391A-4EB3-B6BE-7D15CA92D5ED", Some(Mark::Red)),
            ("TLP:AMBER", None),
            ("TLP:AMBERGRIS", None),
            ("marking-definition--00000000-0000-4000-8000-000000000000", None),
            ("marking-definition--", None),
            ("TLP:REDACTED", None),
            ("tlp:green", None),
            ("a red light on the tlp", None),
            ("tlp", None),
            ("", None),
        ] {
            assert_eq!(Mark::of(text.as_bytes()), mark, "{text}");
        }
    }

    #[test]
    fn reads_every_marking_of_both_editions() {
        for (text, tlp) in [
            ("restricted, TLP:AMBER", Some(Tlp::Amber)),
            ("tlp:green", Some(Tlp::Green)),
            ("TLP:WHITE", Some(Tlp::Clear)),
            ("tlp-clear", Some(Tlp::Clear)),
            ("tlp:green, tlp:amber", Some(Tlp::Amber)),
            ("marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Some(Tlp::Green)),
            ("tlp:greenish", None),
            ("the light is green", None),
        ] {
            assert_eq!(marking(text.as_bytes()), tlp, "{text}");
        }
    }

    #[test]
    fn a_field_that_is_called_so_marks_and_most_strictly_where_it_cannot_be_read() {
        for (key, value, tlp) in [
            ("tlp", "amber", Some(Tlp::Amber)),
            ("event.tlp", "RED (internal)", Some(Tlp::Red)),
            ("tlp", "red, unlike the TLP:GREEN ones", Some(Tlp::Red)),
            ("tlp_level", "GREEN", Some(Tlp::Green)),
            ("tlpLevel", "red", Some(Tlp::Red)),
            ("marking.tlp.label", "TLP:WHITE", Some(Tlp::Clear)),
            ("eventTLP", "2", Some(Tlp::Red)),
            ("TLPColor", "#ff2b2b", Some(Tlp::Red)),
            ("tags.tlp:green", "true", Some(Tlp::Green)),
            ("note", "TLP:AMBER", Some(Tlp::Amber)),
            ("tlp", "", None),
            ("tlp_version", "2.0", None),
            ("outlplace", "x", None),
            ("tlpx", "1", None),
            ("note", "amber", None),
        ] {
            assert_eq!(of_field(key, value), tlp, "{key}={value}");
        }
    }
}
