//! Hexadecimal digits, as devices write bytes.

/// The bytes that `text` spells; none if it is anything but pairs of hexadecimal digits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    // A radix parser would take a sign.
    text.as_bytes().chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

/// Lower-case digits.
pub(super) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `text` in lower case, if it is the 64 digits of a SHA-256.
pub(super) fn sha256(text: &str) -> Option<String> {
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_pairs_of_digits_and_nothing_else() {
        assert_eq!(decode("00fFa1"), Some(vec![0, 0xff, 0xa1]));
        assert_eq!(decode(""), Some(Vec::new()));
        for odd in ["0", "0x", "+1", " 1", "g0", "é"] {
            assert_eq!(decode(odd), None, "{odd}");
        }
        assert_eq!(encode(&[0, 0xff, 0xa1]), "00ffa1");
        assert_eq!(sha256(&"A".repeat(64)), Some("a".repeat(64)));
        assert_eq!((sha256(&"a".repeat(63)), sha256(&"g".repeat(64))), (None, None));
    }
}
