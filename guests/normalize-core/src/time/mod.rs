//! Points in time as sources write them, turned into milliseconds since 1970-01-01 UTC.
//!
//! What a source leaves out is inferred by two rules. A time without a zone is in the site's `utc_offset` (UTC by
//! default). A time without a year is in the latest year that puts it no more than a day after the host received the
//! event: a guest has no other clock, and a day covers any zone.

mod epoch;
mod iso;
mod named;
mod pattern;
mod zone;

pub use iso::iso;
pub use named::named;
pub use pattern::by_pattern;

/// What a guest knows of time when it reads one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// When the host received the event.
    pub received_ms: i64,
    /// Minutes east of UTC, for times without a zone.
    pub offset_min: i32,
}

/// A date and time as written. What is absent was not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Civil {
    pub year: Option<i32>,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub millis: u32,
    /// Minutes east of UTC.
    pub offset_min: Option<i32>,
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 1440 * MINUTE;

impl Civil {
    /// Milliseconds since 1970-01-01 UTC; nothing if there is no such day or hour.
    #[must_use]
    pub fn to_ms(self, clock: Clock) -> Option<i64> {
        let Some(year) = self.year else {
            let (this_year, ..) = civil_of_day(clock.received_ms.div_euclid(DAY));
            // 29 February exists only in some years, so look back further than one.
            return (this_year - 8..=this_year + 1).rev().find_map(|year| {
                let at = Self { year: Some(year), ..self }.to_ms(clock)?;
                (at <= clock.received_ms + DAY).then_some(at)
            });
        };
        let possible = (1..=12).contains(&self.month)
            && (1..=days_in(year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            // A leap second is read as the last second of its minute.
            && self.second <= 60;
        if !possible {
            return None;
        }
        let day = day_of_civil(year, self.month, self.day);
        let second = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second.min(59));
        let offset = self.offset_min.unwrap_or(clock.offset_min);
        Some(day * DAY + second * 1000 + i64::from(self.millis) - i64::from(offset) * MINUTE)
    }
}

/// Reads a time in any form known here: ISO 8601, seconds to nanoseconds since 1970, or with the month's name.
#[must_use]
pub fn read(text: &str, clock: Clock) -> Option<i64> {
    let text = text.trim();
    match text.as_bytes().first()? {
        b'0'..=b'9' => match iso(text) {
            Some((civil, _)) => civil.to_ms(clock),
            None => epoch::epoch(text).or_else(|| named(text)?.0.to_ms(clock)),
        },
        _ => named(text)?.0.to_ms(clock),
    }
}

/// Minutes east of UTC of a zone that is all of `text`: `+02:00`, `CET`.
#[must_use]
pub fn offset(text: &str) -> Option<i32> {
    zone::zone(text, 0).filter(|&(_, end)| end == text.len()).map(|(offset, _)| offset)
}

/// Seconds to nanoseconds since 1970, in parts.
#[must_use]
pub fn of_epoch(text: &str) -> Option<Civil> {
    let ms = epoch::epoch(text)?;
    let (year, month, day) = civil_of_day(ms.div_euclid(DAY));
    let second = ms.rem_euclid(DAY) / 1000;
    Some(Civil {
        year: Some(year),
        month,
        day,
        hour: (second / 3600) as u32,
        minute: (second / 60 % 60) as u32,
        second: (second % 60) as u32,
        millis: ms.rem_euclid(1000) as u32,
        offset_min: Some(0),
    })
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn day_of_civil(year: i32, month: u32, day: u32) -> i64 {
    // Years that begin in March put the leap day last, so that months have fixed places in a year.
    let year = i64::from(year) - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (i64::from(month) + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that is `day` days after 1970-01-01.
fn civil_of_day(day: i64) -> (i32, u32, u32) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = (of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    ((year + era * 400) as i32 + i32::from(month <= 2), month, date)
}

fn days_in(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The number that `count` digits at `at` make.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    let digits = bytes.get(at..at + count)?;
    digits.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// The digits of a fraction of a second at `at`: milliseconds, and their end.
fn fraction(bytes: &[u8], at: usize) -> (u32, usize) {
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let millis = (0..3).fold(0, |sum, i| sum * 10 + if i < digits { u32::from(bytes[at + i] - b'0') } else { 0 });
    (millis, at + digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-03-10T12:00:00Z.
    const CLOCK: Clock = Clock { received_ms: 1_710_072_000_000, offset_min: 0 };

    #[test]
    fn days_go_there_and_back() {
        for day in (-800_000..800_000).step_by(37) {
            let (year, month, date) = civil_of_day(day);
            assert_eq!(day_of_civil(year, month, date), day);
        }
        assert_eq!(day_of_civil(1970, 1, 1), 0);
        assert_eq!(day_of_civil(2000, 2, 29), 11_016);
    }

    #[test]
    fn reads_every_form_of_one_moment() {
        for text in [
            "2024-03-05T12:34:56.123Z",
            "2024-03-05T12:34:56.123456+00:00",
            "2024-03-05 12:34:56,123",
            "2024-03-05T14:34:56.123+0200",
            "2024/03/05 12:34:56.123",
            "1709642096.123456",
            "1709642096123",
            "1709642096123456",
            "1709642096123456789",
            "Mar  5 12:34:56.123",
            "Mar  5 2024 12:34:56.123",
            "2024 Mar  5 12:34:56.123 UTC",
            "Mar  5 07:34:56.123 EST",
        ] {
            assert_eq!(read(text, CLOCK), Some(1_709_642_096_123), "{text}");
        }
        for text in [
            "Tue Mar  5 12:34:56 2024",
            "Tue, 05 Mar 2024 12:34:56 GMT",
            "05/Mar/2024:13:34:56 +0100",
            "5-Mar-2024 12:34:56",
            "3/5/2024 12:34:56 PM",
            "1709642096",
        ] {
            assert_eq!(read(text, CLOCK), Some(1_709_642_096_000), "{text}");
        }
    }

    #[test]
    fn takes_the_year_that_is_not_in_the_future() {
        let new_year = Clock { received_ms: 1_704_067_260_000, offset_min: 0 };
        assert_eq!(read("Dec 31 23:59:59", new_year), Some(1_704_067_199_000));
        assert_eq!(read("Jan  1 00:00:59", new_year), Some(1_704_067_259_000));
        assert_eq!(read("Jan  1 12:00:00", new_year), Some(1_704_110_400_000), "a zone ahead of ours");
    }

    #[test]
    fn finds_the_last_29_of_february() {
        let in_2026 = Clock { received_ms: 1_772_323_200_000, offset_min: 0 };
        assert_eq!(read("Feb 29 00:00:00", in_2026), Some(1_709_164_800_000));
    }

    #[test]
    fn applies_the_site_offset_only_where_no_zone_is_written() {
        let east = Clock { offset_min: 120, ..CLOCK };
        assert_eq!(read("2024-03-05 14:34:56", east), Some(1_709_642_096_000));
        assert_eq!(read("2024-03-05 12:34:56Z", east), Some(1_709_642_096_000));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "-", "yesterday", "2024-13-05T12:34:56Z", "2024-02-30T12:34:56Z", "25:61:00", "12", "Mar"] {
            assert_eq!(read(text, CLOCK), None, "{text}");
        }
    }
}
