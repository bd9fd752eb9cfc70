//! Points in time as most devices write them. A guest has no clock: it has the time that an event names, and that of its
//! receipt.

/// Milliseconds since 1970-01-01 UTC of `2024-03-05T12:34:56.123+01:00`, as RFC 3339 writes it: the `T` may be a space,
/// the fraction be left out; the zone, `Z` or an offset, may not. Nothing where there is no such day or hour.
#[must_use]
pub fn rfc3339_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let digits = |at: usize, count: usize| {
        bytes
            .get(at..at + count)?
            .iter()
            .try_fold(0i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let marks = [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")];
    if !marks.into_iter().all(|(at, wanted)| is(at, wanted.as_bytes())) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    // A leap second is read as the last second of its minute.
    if !(1..=12).contains(&month)
        || !(1..=days_in(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let (mut end, mut millis) = (19, 0);
    if is(end, b".") {
        let fraction = bytes[end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut places = bytes[end + 1..end + 1 + fraction].iter().chain(std::iter::repeat(&b'0'));
        millis = places.by_ref().take(3).fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        end += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    let offset = match (bytes.get(end)?, bytes.len() - end) {
        (b'Z' | b'z', 1) => 0,
        (sign @ (b'+' | b'-'), 6) if is(end + 3, b":") => {
            let (hours, minutes) = (digits(end + 1, 2)?, digits(end + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = ((day_number(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second.min(59);
    Some(seconds * 1000 + millis)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, by the calendar of today.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leap_days = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 477;
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    (year - 1970) * 365 + leap_days + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::rfc3339_ms;

    #[test]
    fn reads_what_the_standard_writes() {
        let known = [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-03-05T12:34:56.123+01:00", 1_709_638_496_123),
            ("2024-02-29 23:59:60.9999z", 1_709_251_199_999),
            ("1969-12-31T23:59:59.5Z", -500),
            ("2000-12-31T23:30:00-00:30", 978_307_200_000),
            ("1900-03-01T00:00:00Z", -2_203_891_200_000),
            ("0000-02-29T00:00:00Z", -62_162_121_600_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ];
        for (text, wanted) in known {
            assert_eq!(rfc3339_ms(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2024-03-05",
            "2024-03-05T12:34:56",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+1:00",
            "2024-01-01T00:00:00Z ",
            "2024-01-01T00:00:0éZ",
            "+024-01-01T00:00:00Z",
        ] {
            assert_eq!(rfc3339_ms(text), None, "{text}");
        }
    }
}
