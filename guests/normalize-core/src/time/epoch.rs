/// Reads a count since 1970-01-01 UTC. Its length tells the unit: up to 11 digits seconds (with a fraction or not),
/// then milliseconds, microseconds, nanoseconds. Eight digits and fewer are some other number.
#[must_use]
pub fn epoch(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.len() < 9 || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: i64 = whole.parse().ok()?;
    match whole.len() {
        9..=11 => {
            let (millis, _) = super::fraction(fraction.as_bytes(), 0);
            Some(count * 1000 + i64::from(millis))
        }
        12..=14 => Some(count),
        15..=17 => Some(count / 1000),
        _ => Some(count / 1_000_000),
    }
}
