use super::{Civil, Clock, fraction, named, number, zone};

/// Reads `text` by a pattern of Java's SimpleDateFormat, in which LEEF's `devTimeFormat` is written: the letters
/// `y M d H h m s S a E z Z X` and anything else as itself. A run of spaces matches a run of spaces.
#[must_use]
pub fn by_pattern(text: &str, pattern: &str, clock: Clock) -> Option<i64> {
    let (bytes, letters) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut next) = (0, 0);
    let mut civil = Civil { month: 1, day: 1, ..Civil::default() };
    let mut afternoon = None;
    let mut quoted = false;
    while let Some(&letter) = letters.get(next) {
        let run = letters[next..].iter().take_while(|&&other| other == letter).count();
        next += run;
        match letter {
            b'\'' => quoted ^= run % 2 == 1,
            other if quoted => at = literal(bytes, at, run, other)?,
            b' ' => at += bytes.get(at..)?.iter().take_while(|&&byte| byte == b' ').count(),
            b'E' => at += bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_alphabetic()).count(),
            b'M' if run > 2 => {
                // Borrow the month's name by reading it as if it began a whole time.
                let end = at + bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
                let mut whole = String::from(&text[at..end]);
                whole.push_str(" 1 00:00:00");
                civil.month = named(&whole)?.0.month;
                at = end;
            }
            b'a' => {
                afternoon = Some(matches!(bytes.get(at)?, b'P' | b'p'));
                at += 2;
            }
            b'z' | b'Z' | b'X' => {
                let (offset, end) = zone::zone(text, at)?;
                civil.offset_min = Some(offset);
                at = end;
            }
            b'S' => (civil.millis, at) = fraction(bytes, at.min(bytes.len())),
            b'y' | b'M' | b'd' | b'H' | b'h' | b'm' | b's' => {
                // Single-digit days are padded with a space by syslog's own habit.
                at += usize::from(bytes.get(at) == Some(&b' '));
                let most = if letter == b'y' && run > 2 { 4 } else { 2 };
                let digits = bytes.get(at..)?.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 {
                    return None;
                }
                let value = number(bytes, at, digits)?;
                at += digits;
                match letter {
                    b'y' if digits == 2 => civil.year = Some(2000 + value as i32),
                    b'y' => civil.year = Some(value as i32),
                    b'M' => civil.month = value,
                    b'd' => civil.day = value,
                    b'm' => civil.minute = value,
                    b's' => civil.second = value,
                    _ => civil.hour = value,
                }
            }
            other if other.is_ascii_alphabetic() => return None,
            other => at = literal(bytes, at, run, other)?,
        }
    }
    if let Some(afternoon) = afternoon {
        civil.hour = civil.hour % 12 + if afternoon { 12 } else { 0 };
    }
    civil.to_ms(clock)
}

/// Passes `run` times the byte `other`.
fn literal(bytes: &[u8], at: usize, run: usize, other: u8) -> Option<usize> {
    bytes.get(at..at + run)?.iter().all(|&byte| byte == other).then_some(at + run)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { received_ms: 1_710_072_000_000, offset_min: 0 };

    #[test]
    fn reads_by_the_patterns_that_leef_sources_declare() {
        for (pattern, text) in [
            ("MMM dd yyyy HH:mm:ss", "Mar  5 2024 12:34:56"),
            ("MMM dd yyyy HH:mm:ss.SSS", "Mar 05 2024 12:34:56.000"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2024-03-05T13:34:56.000+0100"),
            ("MMM dd yyyy HH:mm:ss z", "Mar 05 2024 07:34:56 EST"),
            ("dd/MM/yy hh:mm:ss a", "05/03/24 12:34:56 PM"),
        ] {
            assert_eq!(by_pattern(text, pattern, CLOCK), Some(1_709_642_096_000), "{pattern}");
        }
    }

    #[test]
    fn refuses_a_text_that_does_not_follow_the_pattern() {
        assert_eq!(by_pattern("Mar  5 12:34:56", "MMM dd yyyy HH:mm:ss", CLOCK), None);
        assert_eq!(by_pattern("", "yyyy", CLOCK), None);
        assert_eq!(by_pattern("2024", "QQQQ", CLOCK), None);
    }
}
