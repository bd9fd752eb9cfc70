//! A value as it is kept: a byte that says what it is, when it ends, and the value itself. A counter also has the marks of
//! its last events. `broker/redis_streams/state.lua` reads and writes the same.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | `b` for bytes, `c` for a counter |
//! | 8 | when it ends, milliseconds since 1970 by the clock of Redis, big end first |
//! | rest of `b` | the value |
//! | 8 of `c` | the count, big end first |
//! | 16 each of `c` | mark of an event, and the count after it, the last event last |

use super::{MARKS, MOST};

/// What is in front of a value.
pub(crate) const HEAD: usize = 9;

/// One mark with its count.
const MARKED: usize = 16;

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes that the guest has put there.
    Bytes(Vec<u8>),
    /// A counter.
    Counter {
        /// How far it is.
        count: i64,
        /// Its last events, the last one last, each with the count after it.
        marks: Vec<([u8; 8], i64)>,
    },
}

/// By what a counter knows an event again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which event.
    pub id: [u8; 8],
    /// Whether it may have been there before.
    pub may_repeat: bool,
}

impl Value {
    /// As a guest reads it.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Counter { count, .. } => count.to_string().into_bytes(),
        }
    }

    /// Bytes that it takes beside its key.
    pub(crate) fn size(&self) -> usize {
        HEAD + match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Counter { marks, .. } => 8 + MARKED * marks.len(),
        }
    }

    /// What an addition begins with.
    pub(crate) fn to_counter(value: Option<Self>) -> Option<Self> {
        match value {
            None => Some(Self::Counter { count: 0, marks: Vec::new() }),
            Some(counter @ Self::Counter { .. }) => Some(counter),
            Some(Self::Bytes(bytes)) => {
                let digits = bytes.strip_prefix(b"-").unwrap_or(&bytes);
                let fits = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
                let count = str::from_utf8(&bytes).ok().filter(|_| fits)?.parse().ok()?;
                Some(Self::Counter { count, marks: Vec::new() })
            }
        }
    }

    /// The count that belongs to an event that was counted before.
    pub(crate) fn count_of(&self, mark: Mark) -> Option<i64> {
        match self {
            Self::Counter { marks, .. } if mark.may_repeat => {
                marks.iter().rev().find(|(known, _)| *known == mark.id).map(|(_, count)| *count)
            }
            _ => None,
        }
    }

    /// Adds to a counter, and gives the count after it. Of bytes it makes none.
    pub(crate) fn add(&mut self, mark: Option<Mark>, by: i64) -> i64 {
        let Self::Counter { count, marks } = self else { return 0 };
        *count = count.saturating_add(by).clamp(-MOST, MOST);
        if let Some(mark) = mark {
            marks.push((mark.id, *count));
        }
        *count
    }

    /// Forgets the marks beyond [`MARKS`].
    pub(crate) fn trim(&mut self) {
        if let Self::Counter { marks, .. } = self {
            marks.drain(..marks.len().saturating_sub(MARKS));
        }
    }

    /// What is kept in `bytes`, unless it has ended at `now_ms`, or is none of ours.
    pub(crate) fn read(bytes: &[u8], now_ms: u64) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let (ends, rest) = rest.split_first_chunk()?;
        if u64::from_be_bytes(*ends) <= now_ms {
            return None;
        }
        match kind {
            b'b' => Some(Self::Bytes(rest.to_vec())),
            b'c' => {
                let (count, rest) = rest.split_first_chunk()?;
                let marked = |chunk: &[u8]| {
                    let (mark, rest) = chunk.split_first_chunk()?;
                    Some((*mark, i64::from_be_bytes(*rest.first_chunk()?)))
                };
                let marks = rest.chunks_exact(MARKED).filter_map(marked).collect();
                Some(Self::Counter { count: i64::from_be_bytes(*count), marks })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_on_and_nothing_else_does() {
        let counted = |text: &str| Value::to_counter(Some(Value::Bytes(text.into())));
        for (text, count) in [("0", 0), ("12", 12), ("-7", -7), ("999999999999999", 999_999_999_999_999)] {
            assert_eq!(counted(text), Some(Value::Counter { count, marks: Vec::new() }), "{text}");
        }
        for text in ["", "-", "+1", " 1", "1 ", "1.5", "0x1", "1e3", "1000000000000000", "--1", "١"] {
            assert_eq!(counted(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_none_of_ours_is_not_there() {
        let ends = 100u64.to_be_bytes();
        let stored = |kind: u8, rest: &[u8]| [&[kind][..], &ends, rest].concat();
        assert_eq!(Value::read(&stored(b'b', b"x"), 99), Some(Value::Bytes(b"x".to_vec())));
        assert_eq!(Value::read(&stored(b'b', b"x"), 100), None, "it has ended");
        for bytes in [&b""[..], b"b", b"b1234567", &stored(b'c', b"1234567"), &stored(b'x', b"")] {
            assert_eq!(Value::read(bytes, 0), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_counter_stays_within_what_a_script_can_count() {
        let mut counter = Value::Counter { count: 0, marks: Vec::new() };
        assert_eq!(counter.add(None, i64::MAX), MOST);
        assert_eq!(counter.add(None, i64::MIN), -MOST);
        assert_eq!(counter.add(None, 1), 1 - MOST);
    }
}
