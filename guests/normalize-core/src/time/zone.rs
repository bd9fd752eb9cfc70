/// Reads a zone at `at`, after at most one space: minutes east of UTC, and where it ends.
#[must_use]
pub fn zone(text: &str, at: usize) -> Option<(i32, usize)> {
    let bytes = text.as_bytes();
    let start = at + usize::from(bytes.get(at) == Some(&b' '));
    match bytes.get(start)? {
        sign @ (b'+' | b'-') => {
            let hours = super::number(bytes, start + 1, 2)?;
            let mut end = start + 3;
            let colon = usize::from(bytes.get(end) == Some(&b':'));
            let minutes = super::number(bytes, end + colon, 2);
            if minutes.is_some() {
                end += colon + 2;
            }
            let minutes = minutes.unwrap_or(0);
            if hours > 14 || minutes > 59 || bytes.get(end).is_some_and(u8::is_ascii_digit) {
                return None;
            }
            let offset = (hours * 60 + minutes) as i32;
            Some((if *sign == b'-' { -offset } else { offset }, end))
        }
        _ => {
            let letters = bytes[start..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let end = start + letters;
            if bytes.get(end).is_some_and(u8::is_ascii_digit) {
                return None;
            }
            Some((abbreviation(&text[start..end])?, end))
        }
    }
}

/// Abbreviations that network gear writes. Where one stands for several zones the most populous user in syslog
/// archives is meant: `IST` India, `CST` and `EST` North America, `BST` Britain.
fn abbreviation(name: &str) -> Option<i32> {
    let hours_and_minutes = match name {
        "Z" | "z" | "UTC" | "GMT" | "WET" => 0,
        "BST" | "CET" | "MEZ" | "WEST" => 60,
        "CEST" | "MESZ" | "EET" | "SAST" => 120,
        "EEST" | "MSK" => 180,
        "IST" => 330,
        "SGT" | "HKT" | "AWST" => 480,
        "JST" | "KST" => 540,
        "AEST" => 600,
        "AEDT" => 660,
        "NZST" => 720,
        "NZDT" => 780,
        "AST" | "EDT" => -240,
        "EST" | "CDT" => -300,
        "CST" | "MDT" => -360,
        "MST" | "PDT" => -420,
        "PST" | "AKDT" => -480,
        "AKST" => -540,
        "HST" => -600,
        "BRT" | "ADT" => -180,
        _ => return None,
    };
    Some(hours_and_minutes)
}
