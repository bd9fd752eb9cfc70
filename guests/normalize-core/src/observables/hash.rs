//! Hashes and CVE numbers: both are known by their form alone.

use aurora_guest::ObservableType;

/// The kind of hash that `text` is. Decimal digits only are a long number, not a hash.
pub(super) fn kind(text: &[u8]) -> Option<ObservableType> {
    let kind = match text.len() {
        32 => ObservableType::HashMd5,
        40 => ObservableType::HashSha1,
        64 => ObservableType::HashSha256,
        _ => return None,
    };
    (text.iter().all(u8::is_ascii_hexdigit) && text.iter().any(u8::is_ascii_alphabetic)).then_some(kind)
}

/// Digests of something else than a file's bytes.
const OTHERS: &[&[u8]] = &[b"imphash", b"authentihash", b"ja3", b"ja3s", b"hassh"];

/// Whether what stands before `start` says that this is another digest of the same length: Sysmon's `IMPHASH=` is a
/// fingerprint of the import table and no MD5 of anything.
pub(super) fn is_other(bytes: &[u8], start: usize) -> bool {
    let before = &bytes[start.saturating_sub(16)..start];
    let end = before.iter().rposition(|b| !matches!(b, b'=' | b':' | b' ' | b'"')).map_or(0, |last| last + 1);
    let label = &before[..end];
    OTHERS
        .iter()
        .any(|other| label.len() >= other.len() && label[label.len() - other.len()..].eq_ignore_ascii_case(other))
}

/// Writes the CVE number that is all of `text` in its canonical form. `CVE-2021-44228`, `cve 2021-44228`,
/// `CVE_2021_44228` (Suricata's metadata), `2021-44228` (a field called cve).
pub(super) fn cve(text: &[u8], out: &mut String) -> bool {
    let rest = match text.get(..3) {
        Some(head) if head.eq_ignore_ascii_case(b"cve") => match text.get(3) {
            Some(b'-' | b'_' | b' ' | b',' | b':') => &text[4..],
            _ => return false,
        },
        _ => text,
    };
    let rest = rest.trim_ascii();
    let rest = &rest[..rest.iter().rposition(|b| b.is_ascii_digit()).map_or(0, |last| last + 1)];
    if rest.len() < 9 || rest.len() > 4 + 1 + 19 || !matches!(rest[4], b'-' | b'_') {
        return false;
    }
    let (year, number) = (&rest[..4], &rest[5..]);
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if !digits(year) || !digits(number) || !(&b"1999"[..]..=&b"2099"[..]).contains(&year) {
        return false;
    }
    out.push_str("CVE-");
    out.extend(year.iter().map(|&b| b as char));
    out.push('-');
    out.extend(number.iter().map(|&b| b as char));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_cve_numbers_in_their_canonical_form() {
        for (text, want) in [
            ("CVE-2021-44228", "CVE-2021-44228"),
            ("cve-2014-1000", "CVE-2014-1000"),
            ("cve 2014-1001", "CVE-2014-1001"),
            ("CVE_2021_44228", "CVE-2021-44228"),
            ("2021-44228", "CVE-2021-44228"),
            ("CVE-2021-44228-", "CVE-2021-44228"),
        ] {
            let mut out = String::new();
            assert!(cve(text.as_bytes(), &mut out), "{text}");
            assert_eq!(out, want);
        }
        for bad in [
            "CVE-2021-1",
            "CVE-20211-44228",
            "cve",
            "CVE-abcd-1234",
            "CVE2021-44228",
            "5021-4422",
            "CVE-1800-0001",
            "CVE-2100-0001",
            "2021-44x28",
        ] {
            assert!(!cve(bad.as_bytes(), &mut String::new()), "{bad}");
        }
    }

    #[test]
    fn takes_no_number_for_a_hash() {
        assert_eq!(kind(&[b'0'; 32]), None);
        assert_eq!(kind(&[b'a'; 32]), Some(ObservableType::HashMd5));
        assert_eq!(kind(&[b'a'; 33]), None);
        assert_eq!(kind(b"g8b329da9893e34099c7d8ad5cb9c940"), None);
    }
}
