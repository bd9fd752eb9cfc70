use super::{Civil, fraction, zone};

/// Reads a time with the month's name, or in the order of a locale, at the start of `text`, and says where it ends:
/// `Mar  5 12:34:56`, `Mar 5 2024 12:34:56.123 CET`, `2024 Mar 5 12:34:56`, `Tue Mar 5 12:34:56 2024`,
/// `Tue, 05 Mar 2024 12:34:56 GMT`, `05/Mar/2024:12:34:56 +0100`, `5-Mar-2024 12:34:56`, `26/03/2025:21:13:15 GMT`,
/// `3/30/2022 3:16:40 PM`.
#[must_use]
pub fn named(text: &str) -> Option<(Civil, usize)> {
    let mut cursor = Cursor { text, at: 0 };
    let mut civil = Civil::default();
    let first = cursor.token()?;
    match first {
        Token::Word(word) => {
            let month = match month(word) {
                Some(month) => month,
                None if is_weekday(word) => {
                    cursor.skip(b", ");
                    match cursor.token()? {
                        Token::Word(word) => month(word)?,
                        Token::Number(day, _) => {
                            civil.day = day;
                            cursor.skip(b" -/");
                            let Token::Word(word) = cursor.token()? else { return None };
                            civil.month = month(word)?;
                            cursor.skip(b" -/");
                            civil.year = Some(cursor.year()?);
                            return cursor.clock_time(civil);
                        }
                    }
                }
                None => return None,
            };
            civil.month = month;
            cursor.skip(b" ");
            let Token::Number(day, _) = cursor.token()? else { return None };
            civil.day = day;
            let before = cursor.at;
            cursor.skip(b", ");
            match cursor.year() {
                Some(year) => civil.year = Some(year),
                None => cursor.at = before,
            }
        }
        Token::Number(number, digits) => {
            let separator = *text.as_bytes().get(cursor.at)?;
            cursor.skip(b" -/");
            match (cursor.token()?, digits) {
                // 2024 Mar 5
                (Token::Word(word), 4) => {
                    civil.year = Some(number as i32);
                    civil.month = month(word)?;
                    cursor.skip(b" -/");
                    let Token::Number(day, _) = cursor.token()? else { return None };
                    civil.day = day;
                }
                // 05/Mar/2024
                (Token::Word(word), 1 | 2) => {
                    civil.day = number;
                    civil.month = month(word)?;
                    cursor.skip(b" -/");
                    civil.year = Some(cursor.year()?);
                }
                // 3/30/2022, or 26/03/2025 where the first cannot be a month or a colon stands before the hour.
                (Token::Number(second, 1 | 2), 1 | 2) if separator == b'/' => {
                    cursor.skip(b"/");
                    civil.year = Some(cursor.year()?);
                    let colon = text.as_bytes().get(cursor.at) == Some(&b':');
                    let day_first = number > 12 || colon && second <= 12;
                    (civil.day, civil.month) = if day_first { (number, second) } else { (second, number) };
                }
                _ => return None,
            }
        }
    }
    cursor.clock_time(civil)
}

enum Token<'t> {
    Word(&'t str),
    /// With its number of digits.
    Number(u32, usize),
}

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn skip(&mut self, any: &[u8]) {
        // At most four, so that padding is passed and no text is searched.
        self.at += self.rest().iter().take(4).take_while(|byte| any.contains(byte)).count();
    }

    fn token(&mut self) -> Option<Token<'t>> {
        let rest = self.rest();
        let digits = rest.iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            let value = super::number(rest, 0, digits)?;
            self.at += digits;
            return (digits < 5).then_some(Token::Number(value, digits));
        }
        let letters = rest.iter().take(10).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let word = &self.text[self.at..self.at + letters];
        self.at += letters;
        (letters > 2).then_some(Token::Word(word))
    }

    /// Four digits that are not the beginning of `12:34`.
    fn year(&mut self) -> Option<i32> {
        let before = self.at;
        match self.token() {
            Some(Token::Number(year, 4)) if (1970..2200).contains(&year) => Some(year as i32),
            _ => {
                self.at = before;
                None
            }
        }
    }

    /// `12:34:56`, with what may follow it: a fraction, AM or PM, a zone, a year.
    fn clock_time(mut self, mut civil: Civil) -> Option<(Civil, usize)> {
        self.skip(b" :T");
        let Token::Number(hour, 1 | 2) = self.token()? else { return None };
        civil.hour = hour;
        civil.minute = self.part()?;
        civil.second = self.part()?;
        if matches!(self.rest(), [b'.' | b',', b'0'..=b'9', ..]) {
            (civil.millis, self.at) = fraction(self.text.as_bytes(), self.at + 1);
        }
        if let [b' ', half @ (b'A' | b'P' | b'a' | b'p'), b'M' | b'm', ..] = self.rest() {
            civil.hour = civil.hour % 12 + if half.eq_ignore_ascii_case(&b'p') { 12 } else { 0 };
            self.at += 3;
        }
        self.zone(&mut civil);
        if civil.year.is_none() {
            let before = self.at;
            self.skip(b" ");
            civil.year = self.year();
            // `12:34:56 2024-…` and `12:34:56 1234: ` are something else.
            if civil.year.is_none() || matches!(self.rest(), [b'-' | b'/' | b':' | b'.', ..]) {
                civil.year = None;
                self.at = before;
            } else {
                self.zone(&mut civil);
            }
        }
        Some((civil, self.at))
    }

    fn part(&mut self) -> Option<u32> {
        if self.rest().first() != Some(&b':') {
            return None;
        }
        let part = super::number(self.text.as_bytes(), self.at + 1, 2)?;
        self.at += 3;
        Some(part)
    }

    fn zone(&mut self, civil: &mut Civil) {
        if civil.offset_min.is_none()
            && let Some((offset, end)) = zone::zone(self.text, self.at)
        {
            civil.offset_min = Some(offset);
            self.at = end;
        }
    }
}

/// Three letters, or the whole name.
fn month(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let at = MONTHS.iter().position(|name| is_short_or_whole(word, name))?;
    Some(at as u32 + 1)
}

fn is_weekday(word: &str) -> bool {
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        .iter()
        .any(|name| is_short_or_whole(word, name))
}

fn is_short_or_whole(word: &str, name: &str) -> bool {
    word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3])
}
