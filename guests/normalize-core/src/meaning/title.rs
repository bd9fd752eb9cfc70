//! Titles and descriptions: what a person reads first.

use aurora_guest::Utf8;

/// Longest title, in bytes.
const TITLE: usize = 160;
/// Longest description, in bytes.
const DESCRIPTION: usize = 1024;

/// The first line of `text`, cut to a title's length.
#[must_use]
pub fn line(text: &str) -> &str {
    let text = text.trim_start();
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    cut(line, TITLE).trim_end()
}

/// `text` cut to a description's length.
#[must_use]
pub fn paragraph(text: &str) -> &str {
    cut(text.trim(), DESCRIPTION)
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Appends `source → destination` with the ports that are known, or the end that is.
pub fn endpoints(out: &mut Utf8, from: Option<(&str, Option<&str>)>, to: Option<(&str, Option<&str>)>) {
    let mut end = |address: &str, port: Option<&str>| {
        let v6 = port.is_some() && address.contains(':');
        if v6 {
            out.push('[');
        }
        out.push_str(address);
        if v6 {
            out.push(']');
        }
        if let Some(port) = port.filter(|&port| port != "0") {
            out.push(':');
            out.push_str(port);
        }
    };
    match (from, to) {
        (Some(from), Some(to)) => {
            end(from.0, from.1);
            end(" → ", None);
            end(to.0, to.1);
        }
        (Some(from), None) => {
            end("from ", None);
            end(from.0, from.1);
        }
        (None, Some(to)) => {
            end("to ", None);
            end(to.0, to.1);
        }
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        let text = format!("{}é tail\nsecond line", "x".repeat(159));
        assert_eq!(line(&text).len(), 159);
        assert_eq!(line("  one \r\n two"), "one");
    }

    #[test]
    fn writes_both_ends() {
        let mut out = Utf8::default();
        endpoints(&mut out, Some(("192.0.2.1", Some("80"))), Some(("2001:db8::1", Some("443"))));
        assert_eq!(out.as_str(), "192.0.2.1:80 → [2001:db8::1]:443");
    }
}
