//! What a record's file is called: all that is known of it, so that the content needs no frame of ours.
//!
//! `<number>-<written, Unix ms>-<events>-<bytes>-<digest>.resp`. The digest is the first 32 hexadecimal digits of
//! SHA-256 over the content, a line feed, and the name up to the digest:
//! `{ cat FILE; printf '\n00000000000000000042-1795330000000-256-102400'; } | sha256sum`. So it vouches for the name as
//! well as for the content. The name comes last because a record has its number only when it is whole on disk.

use std::fmt;

use sha2::{Digest, Sha256};

/// Ending of a record's file.
pub(super) const ENDING: &str = ".resp";

/// Far more than there will ever be, and half of what fits: a name that says more is damaged, and counting on from it
/// cannot overflow.
pub(super) const NUMBER_MAX: u64 = u64::MAX / 2;

/// One record, as its file's name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Its place in the order, from 1.
    pub number: u64,
    /// When it was written, for its age only: clocks step.
    pub written_ms: i64,
    /// Events in it.
    pub events: u32,
    /// Length of the content.
    pub bytes: u64,
    digest: u128,
}

impl Name {
    /// The name of a record whose content `content` has taken in.
    pub fn seal(number: u64, written_ms: i64, events: u32, bytes: u64, content: Sha256) -> Self {
        let digest = digest(content, &head(number, written_ms, events, bytes));
        Self { number, written_ms, events, bytes, digest }
    }

    /// Reads a name, and only as we write it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix(ENDING)?.split('-');
        let mut part = || parts.next();
        let name = Self {
            number: part()?.parse().ok()?,
            written_ms: part()?.parse().ok()?,
            events: part()?.parse().ok()?,
            bytes: part()?.parse().ok()?,
            digest: u128::from_str_radix(part()?, 16).ok()?,
        };
        let sound = (1..=NUMBER_MAX).contains(&name.number) && name.to_string() == text;
        sound.then_some(name)
    }

    /// Whether this is the name of `content`, with nothing changed in either.
    pub fn is_of(&self, content: &[u8]) -> bool {
        let Self { number, written_ms, events, bytes, digest: expected } = *self;
        digest(Sha256::new_with_prefix(content), &head(number, written_ms, events, bytes)) == expected
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, written_ms, events, bytes, digest } = *self;
        write!(f, "{}-{digest:032x}{ENDING}", head(number, written_ms, events, bytes))
    }
}

fn head(number: u64, written_ms: i64, events: u32, bytes: u64) -> String {
    format!("{number:020}-{written_ms}-{events}-{bytes}")
}

fn digest(mut content: Sha256, head: &str) -> u128 {
    content.update(b"\n");
    content.update(head);
    let mut first = [0; 16];
    first.copy_from_slice(&content.finalize()[..16]);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::seal(42, 1_795_330_000_000, 256, 5, Sha256::new_with_prefix(b"hello"))
    }

    #[test]
    fn is_what_sha256sum_says() {
        // printf 'hello\n00000000000000000042-1795330000000-256-5' | sha256sum
        let expected = "00000000000000000042-1795330000000-256-5-a5c4666d36884637c3a8133e2dc1a1fb.resp";
        assert_eq!(name().to_string(), expected);
        assert_eq!(Name::parse(expected), Some(name()));
    }

    #[test]
    fn vouches_for_the_content_and_for_each_part_of_the_name() {
        assert!(name().is_of(b"hello"));
        assert!(!name().is_of(b"hellp"));
        assert!(!name().is_of(b"hell"));
        assert!(!Name { number: 43, ..name() }.is_of(b"hello"));
        assert!(!Name { written_ms: 0, ..name() }.is_of(b"hello"));
        assert!(!Name { events: 255, ..name() }.is_of(b"hello"));
        assert!(!Name { bytes: 6, ..name() }.is_of(b"hello"));
        assert!(!Name { digest: 0, ..name() }.is_of(b"hello"));
    }

    #[test]
    fn is_read_only_as_it_is_written() {
        let digest = "0123456789abcdef0123456789abcdef";
        let reads = |head: &str, tail: &str| Name::parse(&format!("{head}-{tail}")).is_some();
        assert!(reads("00000000000000000001-0-0-0", &format!("{digest}.resp")));
        for head in [
            "1-0-0-0",
            "00000000000000000000-0-0-0",
            "18446744073709551615-0-0-0",
            "+0000000000000000001-0-0-0",
            "00000000000000000001-00-0-0",
            "00000000000000000001--1-0-0",
            "00000000000000000001-0-4294967296-0",
            "00000000000000000001-0-0",
            "00000000000000000001-0-0-0-0",
        ] {
            assert!(!reads(head, &format!("{digest}.resp")), "{head}");
        }
        for tail in [
            &digest[1..],
            digest,
            &format!("{}.resp", digest.to_uppercase()),
            &format!("{digest}0.resp"),
            &format!("+{}.resp", &digest[1..]),
            &format!("{digest}.resp.1"),
        ] {
            assert!(!reads("00000000000000000001-0-0-0", tail), "{tail}");
        }
    }
}
