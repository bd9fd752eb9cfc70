//! What each byte may mean, so that the scan looks at most bytes once and at most of them no further.

/// Belongs to a word: a run of letters, digits, `.`, `-`, `_` and anything beyond ASCII.
pub(super) const WORD: u16 = 1;
/// `.`
pub(super) const DOT: u16 = 1 << 1;
/// `-` or `_`
pub(super) const DASH: u16 = 1 << 2;
/// A word byte that is no hexadecimal digit.
pub(super) const NOT_HEX: u16 = 1 << 3;
/// A letter beyond `f`: what a UUID cannot contain.
pub(super) const FAR_LETTER: u16 = 1 << 4;
/// A capital `T`, as in `DOT` and `AT`.
pub(super) const CAPITAL_T: u16 = 1 << 5;
/// Beyond ASCII.
pub(super) const HIGH: u16 = 1 << 6;
/// Ends a word and may say more about it: the scan stops and looks.
pub(super) const JOINT: u16 = 1 << 7;
/// May stand in the local part of an e-mail address.
pub(super) const LOCAL: u16 = 1 << 8;
/// Behind a space, may begin a defanged dot or at sign.
pub(super) const AFTER_SPACE: u16 = 1 << 9;
/// A small letter of ASCII.
pub(super) const SMALL: u16 = 1 << 11;
/// A letter or digit of ASCII.
pub(super) const ALNUM: u16 = 1 << 10;

/// The classes of every byte.
pub(super) static CLASS: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric() {
            class |= WORD | LOCAL | ALNUM;
            if !b.is_ascii_hexdigit() {
                class |= NOT_HEX | FAR_LETTER;
            }
        }
        if b.is_ascii_lowercase() {
            class |= SMALL;
        }
        if b >= 0x80 {
            class |= WORD | HIGH | NOT_HEX;
        }
        class |= match b {
            b'.' => WORD | DOT | NOT_HEX | LOCAL,
            b'-' | b'_' => WORD | DASH | NOT_HEX | LOCAL,
            b'T' => CAPITAL_T,
            b'+' | b'%' => LOCAL,
            _ => 0,
        };
        class |= match b {
            b':' | b'@' | b'\\' | b'/' | b'[' | b'(' | b'{' | b'<' | b'>' | b'^' | b'%' | b']' | b')' | b'}' | b'*'
            | b' ' => JOINT,
            _ => 0,
        };
        class |= match b {
            b'[' | b'(' | b'{' | b'@' | b'D' | b'A' | b'\\' | b' ' | b':' => AFTER_SPACE,
            _ => 0,
        };
        table[byte] = class;
        byte += 1;
    }
    table
}

/// The classes of the byte at `index`; none beyond the end.
pub(super) fn class(bytes: &[u8], index: usize) -> u16 {
    bytes.get(index).map_or(0, |&b| CLASS[b as usize])
}

/// The byte at `index`; zero beyond the end.
pub(super) fn byte(bytes: &[u8], index: usize) -> u8 {
    bytes.get(index).copied().unwrap_or(0)
}

/// Whether a label of a name may begin at `index`.
pub(super) fn begins_label(bytes: &[u8], index: usize) -> bool {
    class(bytes, index) & (ALNUM | HIGH) != 0
}

/// Length of the punctuation mark or space beyond ASCII at `index`: quotation marks, dashes, ideographic stops,
/// fullwidth brackets, no-break spaces. They end words, though their bytes look like letters of another script.
pub(super) fn wide_punctuation(bytes: &[u8], index: usize) -> Option<usize> {
    match (byte(bytes, index), byte(bytes, index + 1), byte(bytes, index + 2)) {
        (0xC2, 0x80..=0xBF, _) => Some(2),
        (0xE2, 0x80, _) | (0xE3, 0x80, 0x80..=0x84 | 0x88..=0xBF) | (0xEF, 0xBB, 0xBF) => Some(3),
        (0xEF, 0xBC, 0x80..=0x8F | 0x9A..=0xA0 | 0xBB..=0xBF) | (0xEF, 0xBD, 0x80 | 0x9B..=0xA5) => Some(3),
        _ => None,
    }
}

/// End of the word that begins at `start`.
pub(super) fn word_end(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    while class(bytes, end) & WORD != 0 {
        if class(bytes, end) & HIGH != 0 && wide_punctuation(bytes, end).is_some() {
            break;
        }
        end += 1;
    }
    end
}
