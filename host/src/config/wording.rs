//! Turns what the deserializer says into what is wrong and what to do about it.

use std::fmt::Write as _;

/// A deserializer's message in our own words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wording {
    pub what: String,
    pub remedy: String,
    /// Of an unknown key: the key itself, and the one that was probably meant.
    pub unknown: Option<(String, Option<String>)>,
}

/// Explains `message`, which is about `key`.
pub(super) fn explain(message: &str, key: &str) -> Wording {
    let message = message.trim_end();
    if let Some(rest) = message.strip_prefix("unknown field `") {
        return unknown_key(rest);
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        return unknown_choice(rest);
    }
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) {
        return misfit(if is_secret(key) { "something else" } else { found }, expected);
    }
    match message {
        "wanted string or table" => {
            wording("is not a string".to_owned(), "put the value in quotes, as in \"5\"".to_owned())
        }
        "invalid socket address syntax" => wording("is not an address with a port".to_owned(), ADDRESS.to_owned()),
        _ => wording(message.to_owned(), String::new()),
    }
}

const ADDRESS: &str = "write it like \"127.0.0.1:9464\" or \"[::1]:9464\"";

fn wording(what: String, remedy: String) -> Wording {
    Wording { what, remedy, unknown: None }
}

fn is_secret(key: &str) -> bool {
    key.ends_with("token") || key.ends_with("password")
}

fn unknown_key(rest: &str) -> Wording {
    let (name, rest) = rest.split_once("`, ").unwrap_or((rest, ""));
    let known = backticked(rest);
    let meant = closest(name, &known);
    let remedy = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    Wording { what: "unknown key".to_owned(), remedy, unknown: Some((name.to_owned(), meant.map(str::to_owned))) }
}

fn unknown_choice(rest: &str) -> Wording {
    let (name, rest) = rest.split_once("`, ").unwrap_or((rest, ""));
    let choices: Vec<String> = backticked(rest).iter().map(|choice| format!("{choice:?}")).collect();
    wording(format!("unknown value {name:?}"), format!("choose one of {}", choices.join(", ")))
}

fn backticked(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn misfit(found: &str, expected: &str) -> Wording {
    let found_text = found.starts_with("string");
    let (expected, remedy) = match expected {
        "a duration" => ("a duration".to_owned(), "write it with its unit, like \"250ms\", \"30s\" or \"7d\""),
        "an integer or string" | "parsable string" | "integer overflow" => {
            ("a size".to_owned(), "write it like \"64MiB\", or as a number of bytes")
        }
        "a string" | "path string" => ("a string".to_owned(), "put it in quotes"),
        "socket address" => ("an address with a port".to_owned(), ADDRESS),
        "a sequence" => ("a list".to_owned(), "write it like [\"one\", \"two\"]"),
        "a map" => ("a table".to_owned(), "write its keys below a [section] of their own"),
        other if other.starts_with("struct ") => {
            ("a table".to_owned(), "write its keys below a [section] of their own")
        }
        other => match whole_number(other) {
            Some(range) if found_text => (range, "write the number without quotes"),
            Some(range) => (range, "write a number in this range"),
            None => (other.to_owned(), "give a value of that kind"),
        },
    };
    wording(format!("is {}, expected {expected}", noun(found)), remedy.to_owned())
}

fn noun(found: &str) -> String {
    match found {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "something else" => found.to_owned(),
        other => format!("the {}", other.replace('`', "")),
    }
}

fn whole_number(name: &str) -> Option<String> {
    let most = match name {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" | "usize" => return Some("a whole number, not negative".to_owned()),
        _ => return None,
    };
    let mut range = String::from("a whole number from 0 to ");
    let _ = write!(range, "{most}");
    Some(range)
}

/// The candidate that `name` was probably meant to be.
pub(super) fn closest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let tolerance = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (distance(&name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words; two letters exchanged count as one, because that is how people mistype.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut rows = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[(i - 1) * width + j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let least = replaced.min(rows[(i - 1) * width + j] + 1).min(rows[i * width + j - 1] + 1);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped { least.min(rows[(i - 2) * width + j - 2] + 1) } else { least }
            };
        }
    }
    rows[rows.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_exchanged_are_one_edit() {
        assert_eq!(distance("ulr", "url"), 1);
        assert_eq!(distance("", "url"), 3);
        assert_eq!(distance("cret", "cert"), 1);
        assert_eq!(distance("batch", "batch_bytes"), 6);
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(closest("ulr", &["url", "ca", "key"]), Some("url"));
        assert_eq!(closest("Keep-Alive", &["keep_alive", "key"]), Some("keep_alive"));
        assert_eq!(closest("colour", &["url", "ca", "key"]), None);
    }

    #[test]
    fn a_value_in_a_secret_key_is_not_repeated() {
        let wording = explain("invalid type: integer `1234`, expected a string", "ingest.token");
        assert!(!wording.what.contains("1234"), "{wording:?}");
        assert!(explain("invalid type: integer `1234`, expected a string", "site.id").what.contains("1234"));
    }
}
