//! `%ASA-4-106023: …`, `%SYS-5-CONFIG_I: …`: facility, severity and mnemonic as Cisco's devices write them.

use std::fmt::Write as _;

use super::message::of_network;
use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
};

/// The parts of the mark, and where the text behind it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark<'t> {
    facility: &'t str,
    severity: u8,
    mnemonic: &'t str,
    text: usize,
}

/// Finds the mark near the beginning of a message.
#[must_use]
pub fn find(message: &str) -> Option<Mark<'_>> {
    let head = &message[..message.floor_char_boundary(96)];
    let start = head.find('%')? + 1;
    let word = message[start..].split([' ', ':']).next()?;
    // `%%10SC/6/…` is another maker's; a facility may itself hold hyphens (`SYSMGR-STANDBY-3-SHUTDOWN_START`).
    let (digit, _) = word.match_indices('-').find_map(|(at, _)| {
        let digit = word[at + 1..].strip_suffix(|_: char| true).map(|_| word.as_bytes()[at + 1])?;
        (digit.is_ascii_digit() && digit < b'8' && word.as_bytes().get(at + 2) == Some(&b'-')).then_some((at, digit))
    })?;
    let facility = &word[..digit];
    let mnemonic = &word[digit + 3..];
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
    };
    // Firepower writes a class behind its name: `%FTD-session-4-106023`.
    let product = facility.split_once('-').map_or(facility, |(product, class)| {
        if class.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') { product } else { facility }
    });
    if !plain(product) || !plain(mnemonic) {
        return None;
    }
    let rest = &message[start + word.len()..];
    let text = message.len() - rest.trim_start_matches([':', ' ']).len();
    Some(Mark { facility, severity: word.as_bytes()[digit + 1] - b'0', mnemonic, text })
}

/// Whether the text begins with a mark, which then is as good as a priority.
#[must_use]
pub fn begins(text: &str) -> bool {
    text.starts_with('%') && find(text).is_some()
}

/// What the message means: its own severity, not that of the priority, which many devices leave at a default.
pub fn meaning(mark: Mark<'_>, message: &str, event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    event.plain("cisco.facility", mark.facility);
    let digit = [b'0' + mark.severity];
    let digit = str::from_utf8(&digit).unwrap_or_default();
    event.plain("cisco.severity", digit);
    event.plain("cisco.mnemonic", mark.mnemonic);
    event.plain("severity.source_value", digit);
    let _ = write!(words.title, "{}-{}: {}", mark.facility, mark.mnemonic, title::line(&message[mark.text..]));
    words.description.push_str(title::paragraph(message));
    of_network(severity::syslog(mark.severity), about.time([]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_mark_apart() {
        let mark = find("%ASA-4-106023: Deny tcp src outside").expect("a mark");
        assert_eq!((mark.facility, mark.severity, mark.mnemonic, mark.text), ("ASA", 4, "106023", 15));
        let mark = find("%SYSMGR-STANDBY-3-SHUTDOWN_START: The System").expect("a mark");
        assert_eq!((mark.facility, mark.severity, mark.mnemonic), ("SYSMGR-STANDBY", 3, "SHUTDOWN_START"));
        let mark = find("%FTD-session-6-302013: Built").expect("a mark");
        assert_eq!((mark.facility, mark.severity, mark.mnemonic), ("FTD-session", 6, "302013"));
    }

    #[test]
    fn leaves_other_percent_signs_alone() {
        for text in ["100% of 5-6-x", "%%10SC/6/SC_AAA_LAUNCH(l): x", "%-4-", "%ASA-9-1: x", "50%-3-é"] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
