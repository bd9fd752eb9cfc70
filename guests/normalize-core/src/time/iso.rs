use super::{Civil, fraction, number, zone};

/// Reads `2024-03-05T12:34:56.123+01:00` at the start of `text`, and says where it ends. The date may be written with
/// `/`, the `T` as a space, the fraction behind a comma, the zone be absent, `Z`, an offset or an abbreviation.
#[must_use]
pub fn iso(text: &str) -> Option<(Civil, usize)> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let between = bytes[4];
    if !matches!(between, b'-' | b'/') || bytes[7] != between || !matches!(bytes[10], b'T' | b't' | b' ' | b'_' | b':')
    {
        return None;
    }
    let mut civil = Civil {
        year: Some(number(bytes, 0, 4)? as i32),
        month: number(bytes, 5, 2)?,
        day: number(bytes, 8, 2)?,
        hour: number(bytes, 11, 2)?,
        minute: number(bytes, 14, 2)?,
        second: number(bytes, 17, 2)?,
        ..Civil::default()
    };
    let mut end = 19;
    if matches!(bytes.get(end), Some(b'.' | b',')) && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        (civil.millis, end) = fraction(bytes, end + 1);
    }
    if let Some((offset, after)) = zone::zone(text, end) {
        civil.offset_min = Some(offset);
        end = after;
    }
    Some((civil, end))
}
