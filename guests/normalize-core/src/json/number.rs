use crate::fault::Fault;

/// The end of the number that begins at `at`, by the grammar of RFC 8259.
pub fn scan(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut end = at + usize::from(bytes[at] == b'-');
    match bytes.get(end) {
        Some(b'0') => end += 1,
        Some(b'1'..=b'9') => end = digits(bytes, end),
        _ => return Err(Fault::new(end, "a digit")),
    }
    if bytes.get(end) == Some(&b'.') {
        let from = end + 1;
        end = digits(bytes, from);
        if end == from {
            return Err(Fault::new(end, "a digit"));
        }
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let from = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(bytes, from);
        if end == from {
            return Err(Fault::new(end, "a digit"));
        }
    }
    Ok(end)
}

fn digits(bytes: &[u8], from: usize) -> usize {
    let mut end = from;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    end
}
