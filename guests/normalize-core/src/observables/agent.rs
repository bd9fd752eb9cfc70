//! User agents in running text. Browsers only: they all begin with `Mozilla/` or `Opera/`; anything shorter
//! (`curl/8.5.0`) is a name and a version like any other, and is taken from fields that are known to hold one.

use aurora_guest::ObservableType;

use super::class::ALNUM;
use super::class::{byte, class};
use super::scan::Scan;

/// Longest user agent; what is longer is cut there.
const LONGEST: usize = 1024;

impl Scan<'_> {
    /// The user agent whose first product is the word `start..at`. What is in it, versions above all, is not looked at.
    pub(super) fn agent(&mut self, start: usize, at: usize, to: usize) -> Option<usize> {
        let bytes = &self.bytes[..to];
        if !is_browser(&bytes[start..at]) || !byte(bytes, at + 1).is_ascii_digit() {
            return None;
        }
        let limit = to.min(start + LONGEST);
        let mut end = at;
        let mut next = product_end(bytes, at + 1, limit);
        while let Some(found) = next {
            end = found;
            if byte(bytes, end) != b' ' {
                break;
            }
            next = part_end(bytes, end + 1, limit);
        }
        let scope = self.exact_scope(self.text.get(start..end)?);
        self.push(ObservableType::UserAgent, scope, start, end);
        Some(end)
    }
}

fn is_browser(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"mozilla") || word.eq_ignore_ascii_case(b"opera")
}

/// End of one part: a comment in brackets, `product/version`, or one of the few words that stand alone.
fn part_end(bytes: &[u8], at: usize, limit: usize) -> Option<usize> {
    if byte(bytes, at) == b'(' {
        let mut depth = 0u32;
        for (index, &b) in bytes[at..limit].iter().enumerate() {
            match b {
                // Nobody nests deeper, and each depth could begin an agent that is read to its end again.
                b'(' if depth == 8 => return None,
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at + index + 1);
                    }
                }
                // Cut short by whoever logged it.
                b'"' => return Some(at + index),
                0..0x20 => return None,
                _ => {}
            }
        }
        return None;
    }
    let word = product_end(bytes, at, limit)?;
    let text = &bytes[at..word];
    if byte(bytes, word) == b'/' && byte(bytes, word + 1).is_ascii_alphanumeric() && !is_browser(text) {
        return product_end(bytes, word + 1, limit);
    }
    [&b"gecko"[..], b"like", b"mobile", b"safari"].iter().any(|known| text.eq_ignore_ascii_case(known)).then_some(word)
}

fn product_end(bytes: &[u8], at: usize, limit: usize) -> Option<usize> {
    let mut end = at;
    while end < limit && (class(bytes, end) & ALNUM != 0 || matches!(bytes[end], b'.' | b'-' | b'_' | b'+')) {
        end += 1;
    }
    while end > at && matches!(bytes[end - 1], b'.' | b'-') {
        end -= 1;
    }
    (end > at).then_some(end)
}
