//! Text that only grows, for the columns of a batch.
//!
//! A guest copies thousands of short strings a batch, and in WebAssembly each copy of unknown length is a call out of
//! the compiled code. Here a short string is moved in registers, which made the stock normalizer half again as fast.

use std::{fmt, ops::Range};

/// A UTF-8 buffer, as a `String`, with cheap appending of short strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    /// UTF-8 at all times: bytes come in only as whole `str`s and `char`s, and leave only between characters.
    bytes: Vec<u8>,
}

impl Utf8 {
    /// Empty, with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Appends a string.
    #[inline]
    pub fn push_str(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        let length = self.bytes.len() + rest.len();
        if rest.len() > 96 {
            self.bytes.extend_from_slice(rest);
            return;
        }
        while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
            self.bytes.extend_from_slice(chunk);
            rest = after;
        }
        let (low, high) = short(rest);
        let mut both = [0; 16];
        both[..8].copy_from_slice(&low.to_le_bytes());
        both[8..].copy_from_slice(&high.to_le_bytes());
        self.bytes.extend_from_slice(&both);
        // Cut off what was moved beyond the end, before anybody can see it.
        self.bytes.truncate(length);
    }

    /// Appends a character.
    #[inline]
    pub fn push(&mut self, char: char) {
        if char.is_ascii() {
            self.bytes.push(char as u8);
        } else {
            self.bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// Appends a part of itself.
    ///
    /// # Panics
    /// If the range is not within it, or cuts a character.
    pub fn extend_from_within(&mut self, range: Range<usize>) {
        assert!(self.as_str().is_char_boundary(range.start) && self.as_str().is_char_boundary(range.end));
        self.bytes.extend_from_within(range);
    }

    /// Shortens it; does nothing if it is no longer than `length`.
    ///
    /// # Panics
    /// If that cuts a character.
    #[inline]
    pub fn truncate(&mut self, length: usize) {
        if length < self.bytes.len() {
            assert!(self.as_str().is_char_boundary(length));
            self.bytes.truncate(length);
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Its length in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of it.
    #[inline]
    #[must_use]
    // Checking each field that is read back costs a tenth of a guest's time.
    #[allow(unsafe_code)]
    pub fn as_str(&self) -> &str {
        // SAFETY: see `bytes`; no function of this type breaks what it says, and nothing else can reach the field.
        unsafe { str::from_utf8_unchecked(&self.bytes) }
    }

    /// Its bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Write for Utf8 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

/// Up to fifteen bytes, little end first, by loads that overlap.
#[inline]
fn short(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let shift = 8 * (16 - bytes.len()) as u32;
        // A length of eight leaves nothing for the upper half.
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last).checked_shr(shift).unwrap_or(0))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        (u64::from(first) | u64::from(last) << (8 * (bytes.len() - 4)), 0)
    } else {
        (bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)), 0)
    }
}

/// Whether two strings are the same; as `==`, word by word where that would be a call that goes byte by byte.
#[inline]
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    same_bytes(a.as_bytes(), b.as_bytes())
}

/// [`same`], where it is not worth the time to know that the bytes are text.
#[inline]
pub(crate) fn same_bytes(mut a: &[u8], mut b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.len() < 16 {
        return short(a) == short(b);
    }
    let tail = (a.last_chunk::<8>(), b.last_chunk::<8>());
    while let (Some((x, after_a)), Some((y, after_b))) = (a.split_first_chunk::<8>(), b.split_first_chunk::<8>()) {
        if u64::from_le_bytes(*x) != u64::from_le_bytes(*y) {
            return false;
        }
        (a, b) = (after_a, after_b);
    }
    tail.0 == tail.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_strings_of_every_length() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZé".repeat(3);
        for start in 0..20 {
            for end in start..text.len() {
                let Some(part) = text.get(start..end) else { continue };
                let mut out = Utf8::with_capacity(0);
                out.push_str("<");
                out.push_str(part);
                out.push('é');
                assert_eq!(out.as_str(), format!("<{part}é"));
            }
        }
    }

    #[test]
    fn compares_strings_of_every_length() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyz0123456789";
        for length in 0..text.len() {
            let part = &text[..length];
            assert!(same(part, part.to_owned().as_str()));
            for at in 0..length {
                let mut other = part.to_owned();
                other.replace_range(at..=at, "!");
                assert!(!same(part, &other));
            }
            assert!(!same(part, &text[..length + 1]));
        }
    }
}
