//! MITRE ATT&CK technique ids: `T1059`, `T1059.001`, and the ICS matrix's `T0800`, in text that speaks of them.

use aurora_guest::EventWriter;

/// Notes the ids in the value of the field at `index`.
pub fn note(event: &mut EventWriter<'_>, index: usize) {
    let mut from = 0;
    while let Some((at, id)) = next(event.value(index), from) {
        event.technique(id.as_str());
        from = at;
    }
}

/// One id, in capitals.
#[derive(Clone, Copy)]
struct Id {
    bytes: [u8; 9],
    length: usize,
}

impl Id {
    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// The first id at or after `from`, and where to go on.
fn next(text: &str, from: usize) -> Option<(usize, Id)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(found) = memchr::memchr2(b'T', b't', bytes.get(at..)?) {
        let start = at + found;
        at = start + 1;
        if start > 0 && bytes[start - 1].is_ascii_alphanumeric() {
            continue;
        }
        let Some(main) = digits(bytes, start + 1, 4) else { continue };
        if bytes[start + 1] > b'1' {
            continue;
        }
        let mut id = Id { bytes: *b"T0000.000", length: 5 };
        id.bytes[1..5].copy_from_slice(&bytes[start + 1..main]);
        at = main;
        // Sigma writes `attack.t1059.001`, some products `T1059/001`.
        if matches!(bytes.get(main), Some(b'.' | b'/')) && digits(bytes, main + 1, 3).is_some() {
            id.bytes[6..].copy_from_slice(&bytes[main + 1..main + 4]);
            id.length = 9;
            at = main + 4;
        }
        return Some((at, id));
    }
    None
}

/// The end of exactly `count` digits at `at`, not followed by a letter or another digit.
fn digits(bytes: &[u8], at: usize, count: usize) -> Option<usize> {
    let end = at + count;
    let whole = bytes.get(at..end)?.iter().all(u8::is_ascii_digit);
    (whole && !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        let (mut from, mut ids) = (0, Vec::new());
        while let Some((at, id)) = next(text, from) {
            ids.push(id.as_str().to_owned());
            from = at;
        }
        ids
    }

    #[test]
    fn takes_ids_in_every_spelling() {
        assert_eq!(ids("T1059"), ["T1059"]);
        assert_eq!(ids("technique_id=T1218.010,technique_name=Regsvr32"), ["T1218.010"]);
        assert_eq!(ids("attack.t1059.001 attack.execution T0855"), ["T1059.001", "T0855"]);
    }

    #[test]
    fn refuses_what_only_looks_like_one() {
        assert!(ids("T10599 NT1059 T105 T9999 T1059x").is_empty());
    }
}
