//! An entry on one line of a terminal.

use serde_json::Value;

use super::entry::Entry;
use crate::cli::terminal::plain;

/// Letters of a line's last column, which has no end otherwise.
const TEXT: usize = 400;

/// Its line, without the end of line. `colour`: with the terminal's colours.
pub(super) fn line(entry: &Entry<'_>, show_restricted: bool, colour: bool) -> String {
    let time = entry.time().format("%H:%M:%S%.3f");
    if let Some(mark) = entry.mark.filter(|_| !show_restricted) {
        let text = format!("{time} {:<11} {} {mark}, hidden; --show-restricted shows it", entry.stage, entry.id);
        return if colour { painted(&text, "2") } else { text };
    }
    let (word, rest) = match entry.stage {
        "audit" => (entry.text("agent"), format!("{}: {}", entry.text("action"), entry.text("details"))),
        "dead-letter" => (entry.text("stage"), format!("{}: {}", from(entry), entry.text("reason"))),
        "outbox" => (entry.text("kind"), format!("{} {}", entry.text("subject"), what(entry))),
        "raw" | "stream" => ("", fields(entry)),
        _ => (entry.text("severity"), format!("{:<8} {:<18} {}", entry.text("category"), from(entry), what(entry))),
    };
    let code = match (entry.stage, word) {
        ("dead-letter", _) => "33",
        (_, "critical") => "1;31",
        (_, "high") => "31",
        (_, "medium") => "33",
        (_, "low") => "36",
        _ => "2",
    };
    let word = format!("{:<9}", cut(word, 11));
    let word = if colour { painted(&word, code) } else { word };
    format!("{time} {:<11} {word} {}", entry.stage, cut(&rest, TEXT)).trim_end().to_owned()
}

fn painted(text: &str, code: &str) -> String {
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// The device, else the source.
fn from<'a>(entry: &'a Entry<'_>) -> &'a str {
    Some(entry.device()).filter(|device| !device.is_empty()).unwrap_or_else(|| entry.text("source"))
}

/// What an event or an indicator is about.
fn what<'a>(entry: &'a Entry<'_>) -> &'a str {
    ["title", "value", "status"]
        .map(|name| entry.text(name))
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

fn fields(entry: &Entry<'_>) -> String {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields: Vec<_> = entry.fields.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    fields.join(" ")
}

fn cut(text: &str, most: usize) -> String {
    let begin: String = text.chars().take(most).collect();
    let is_cut = begin.len() < text.len();
    plain(&begin) + if is_cut { "…" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{entry::tests::entry, stage::Watched},
        *,
    };

    fn shown(stage: &'static str, fields: &[&[u8]]) -> String {
        line(&entry(&Watched { stage, name: "s".to_owned() }, fields), false, false)
    }

    #[test]
    fn an_event_is_one_line_whatever_a_device_wrote() {
        let data = br#"{"title":"Valve\u001b[2J\nopen","device_id":"pump_1"}"#;
        let text = shown("normalized", &[b"data", data, b"severity", b"high", b"category", b"cps"]);
        assert_eq!(text, "02:53:20.123 normalized  high      cps      pump_1             Valve\\u{1b}[2J\\nopen");
    }

    #[test]
    fn each_stage_shows_what_matters_there() {
        let letter = shown("dead-letter", &[b"stage", b"normalize", b"reason", b"no JSON", b"source", b"mqtt"]);
        assert_eq!(letter, "02:53:20.123 dead-letter normalize mqtt: no JSON");
        let audit = shown("audit", &[b"agent", b"aurora-host", b"action", b"start", b"details", b"x"]);
        assert_eq!(audit, "02:53:20.123 audit       aurora-host start: x");
        let message = shown("outbox", &[b"subject", b"a.b", b"kind", b"ioc", b"data", br#"{"value":"10.0.0.1"}"#]);
        assert_eq!(message, "02:53:20.123 outbox      ioc       a.b 10.0.0.1");
        let raw = shown("raw", &[b"payload", b"CEF:0|x", b"format", b"cef"]);
        assert!(raw.contains("payload=CEF:0|x") && raw.contains("format=cef"), "{raw}");
    }

    #[test]
    fn what_tlp_forbids_is_not_on_it() {
        let text = shown("normalized", &[b"data", br#"{"title":"secret","fields":{"tlp":"amber+strict"}}"#]);
        assert!(!text.contains("secret") && text.contains("TLP:AMBER+STRICT, hidden"), "{text}");
    }
}
