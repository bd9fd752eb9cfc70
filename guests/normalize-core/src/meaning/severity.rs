//! Severity by each source's own scale. The tables stand in the README with their documents.

use aurora_guest::Severity::{self, Critical, High, Info, Low, Medium};

/// A word of any product. Unknown words have no severity.
#[must_use]
pub fn by_word(word: &str) -> Option<Severity> {
    const WORDS: [(&str, Severity); 45] = [
        ("critical", Critical),
        ("high", High),
        ("medium", Medium),
        ("low", Low),
        ("info", Info),
        ("informational", Info),
        ("information", Info),
        ("warning", Medium),
        ("warn", Medium),
        ("error", High),
        ("err", High),
        ("notice", Low),
        ("debug", Info),
        ("crit", Critical),
        ("alert", Critical),
        ("emergency", Critical),
        ("emerg", Critical),
        ("panic", Critical),
        ("fatal", Critical),
        ("severe", Critical),
        ("serious", Critical),
        ("very-high", Critical),
        ("very high", Critical),
        ("veryhigh", Critical),
        ("very_high", Critical),
        ("urgent", Critical),
        ("important", High),
        ("major", High),
        ("moderate", Medium),
        ("minor", Low),
        ("very-low", Info),
        ("very low", Info),
        ("verbose", Info),
        ("trace", Info),
        ("none", Info),
        ("normal", Info),
        ("ok", Info),
        ("success", Info),
        ("audit success", Info),
        ("audit_success", Info),
        ("audit failure", Low),
        ("audit_failure", Low),
        ("failure", Medium),
        ("negligible", Info),
        ("unknown", Medium),
    ];
    let word = word.trim();
    WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|&(_, severity)| severity)
}

/// CEF and LEEF: 0..3 low, 4..6 medium, 7..8 high, 9..10 very high, or a word. What is outside the scale is medium.
#[must_use]
pub fn cef(text: &str) -> Severity {
    match text.trim().parse::<f32>() {
        Ok(number) if (0.0..4.0).contains(&number) => Low,
        Ok(number) if (4.0..7.0).contains(&number) => Medium,
        Ok(number) if (7.0..9.0).contains(&number) => High,
        Ok(number) if (9.0..=10.0).contains(&number) => Critical,
        Ok(_) => Medium,
        Err(_) => by_word(text).unwrap_or(Medium),
    }
}

/// Syslog: RFC 5424, table 2.
#[must_use]
pub fn syslog(number: u8) -> Severity {
    match number {
        0..=2 => Critical,
        3 => High,
        4 => Medium,
        5 => Low,
        _ => Info,
    }
}

/// Suricata's priority: 1 is worst.
#[must_use]
pub fn suricata(text: &str) -> Severity {
    match text {
        "1" => High,
        "2" => Medium,
        "3" => Low,
        "4" | "5" | "6" => Info,
        _ => Medium,
    }
}

/// Wazuh's rule level, 0..15, in the bands of its own dashboard; 0 is what its rules ignore.
#[must_use]
pub fn wazuh(text: &str) -> Severity {
    match text.parse::<u32>() {
        Ok(0) => Info,
        Ok(1..=6) => Low,
        Ok(7..=11) => Medium,
        Ok(12..=14) => High,
        Ok(_) => Critical,
        Err(_) => Medium,
    }
}

/// The level of a Windows event.
#[must_use]
pub fn windows(text: &str) -> Severity {
    match text {
        "1" => Critical,
        "2" => High,
        "3" => Medium,
        "0" | "4" | "5" => Info,
        _ => by_word(text).unwrap_or(Info),
    }
}

/// OCSF's `severity_id`. 0 is unknown, 99 another scale.
#[must_use]
pub fn ocsf(text: &str) -> Severity {
    match text {
        "1" => Info,
        "2" => Low,
        "4" => High,
        "5" | "6" => Critical,
        _ => Medium,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_bands_of_cef() {
        let bands = [Low, Low, Low, Low, Medium, Medium, Medium, High, High, Critical, Critical];
        for (number, severity) in bands.into_iter().enumerate() {
            assert_eq!(cef(&number.to_string()), severity, "{number}");
        }
        assert_eq!(cef("Very-High"), Critical);
        assert_eq!(cef("25"), Medium);
        assert_eq!(cef(""), Medium);
    }

    #[test]
    fn knows_words_in_any_case() {
        assert_eq!(by_word("HIGH"), Some(High));
        assert_eq!(by_word("Informational"), Some(Info));
        assert_eq!(by_word("purple"), None);
    }
}
