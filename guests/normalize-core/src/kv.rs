//! `key=value` pairs: logfmt, and the firewalls that separate pairs with a bar, a tab, a comma or a semicolon.

use aurora_guest::{Category, Kind, Severity, Utf8};

use crate::{
    audit,
    draft::{Draft, Meaning, Words},
    fault::Fault,
    meaning::{About, category, severity, title},
};

/// How strictly pairs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The whole text is pairs: a word alone is a key that is `true`, a broken quote is an error.
    Whole,
    /// Pairs stand somewhere in a message that is kept anyway: other words are passed over.
    Within,
}

/// Reads the pairs that stand from `at` on among other text.
pub fn within(text: &str, at: usize, event: &mut Draft<'_>) {
    // Only whole texts have anything to be wrong.
    let _ = read(text, at, Mode::Within, event);
}

/// Reads a text that is pairs and nothing else from `at` on, and answers how many there were.
///
/// # Errors
/// Where a quoted value is not followed by a separator.
pub fn whole(text: &str, at: usize, event: &mut Draft<'_>) -> Result<usize, Fault> {
    read(text, at, Mode::Whole, event)
}

fn read(text: &str, at: usize, mode: Mode, event: &mut Draft<'_>) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let separator = separator(&text[at..]);
    let is_end = |byte: u8| byte == separator || separator == b' ' && byte.is_ascii_whitespace() || byte == b'\n';
    let (mut at, mut pairs) = (at, 0);
    loop {
        while bytes.get(at).is_some_and(|&byte| is_end(byte) || byte.is_ascii_whitespace()) {
            at += 1;
        }
        if at >= bytes.len() {
            return Ok(pairs);
        }
        let (key, after) = key(text, at, is_end);
        // A key may be empty only where it is no key: `=x` is a word.
        if bytes.get(after) != Some(&b'=') || key.is_empty() {
            let end = after + bytes[after..].iter().position(|&byte| is_end(byte)).unwrap_or(bytes.len() - after);
            if mode == Mode::Whole {
                event.plain(text[at..end].trim(), "true");
            }
            at = end;
            continue;
        }
        at = value(text, key, after + 1, is_end, separator, mode, event)?;
        pairs += 1;
    }
}

/// The key at `at`, without its quotes, and where it ends.
fn key(text: &str, at: usize, is_end: impl Fn(u8) -> bool) -> (&str, usize) {
    let bytes = text.as_bytes();
    if bytes[at] == b'"'
        && let Some(length) = memchr::memchr(b'"', &bytes[at + 1..])
        && bytes.get(at + length + 2) == Some(&b'=')
    {
        return (&text[at + 1..at + 1 + length], at + length + 2);
    }
    let length = bytes[at..].iter().position(|&byte| byte == b'=' || is_end(byte)).unwrap_or(bytes.len() - at);
    (text[at..at + length].trim(), at + length)
}

/// Writes the value at `at`, and answers where it ends.
fn value(
    text: &str,
    key: &str,
    at: usize,
    is_end: impl Fn(u8) -> bool,
    separator: u8,
    mode: Mode,
    event: &mut Draft<'_>,
) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    if let Some(&quote @ (b'"' | b'\'')) = bytes.get(at)
        && let Some((end, escaped)) = quoted(bytes, at + 1, quote)
    {
        let after = bytes.get(end + 1);
        if after.is_none_or(|&byte| is_end(byte) || matches!(byte, b',' | b';')) {
            let raw = &text[at + 1..end];
            if escaped {
                event.field_with(key, |out| unescape(raw, quote, out));
            } else {
                event.field(key, raw);
            }
            // A comma behind the quotes is a separator of its own; a space follows it.
            return Ok(end + 1 + usize::from(matches!(after, Some(b',' | b';'))));
        }
        if mode == Mode::Whole {
            return Err(Fault::new(end + 1, "a separator after the closing quote"));
        }
    }
    let end = at + bytes[at..].iter().position(|&byte| is_end(byte)).unwrap_or(bytes.len() - at);
    let mut raw = &text[at..end];
    if separator != b' ' {
        raw = raw.trim();
    } else if let Some(cut) = raw.strip_suffix([',', ';']) {
        raw = cut;
    }
    event.field(key, raw);
    Ok(end)
}

/// The closing quote, and whether an escape stands before it.
fn quoted(bytes: &[u8], mut at: usize, quote: u8) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        at += memchr::memchr2(quote, b'\\', bytes.get(at..)?)?;
        if bytes[at] == quote {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// Only the quote and the backslash are escaped.
fn unescape(raw: &str, quote: u8, out: &mut Utf8) {
    let mut chars = raw.chars().peekable();
    while let Some(char) = chars.next() {
        match chars.peek() {
            Some(&next) if char == '\\' && (next as u32 == u32::from(quote) || next == '\\') => {
                out.push(next);
                chars.next();
            }
            _ => out.push(char),
        }
    }
}

/// What stands between the first pair and the second key.
fn separator(text: &str) -> u8 {
    let bytes = text.as_bytes();
    let Some(first) = memchr::memchr(b'=', bytes) else { return b' ' };
    let mut at = first + 1;
    if let Some(&quote @ b'"') = bytes.get(at) {
        at = quoted(bytes, at + 1, quote).map_or(at, |(end, _)| end + 1);
    }
    let Some(second) = memchr::memchr(b'=', &bytes[at..]) else { return b' ' };
    let between = &bytes[at..at + second];
    // The nearest of them before the second key; a space only where there is none.
    between.iter().rev().copied().find(|byte| matches!(byte, b'|' | b'\t')).unwrap_or_else(|| {
        let spaced = between.contains(&b' ');
        between.iter().copied().find(|byte| !spaced && matches!(byte, b',' | b';' | b'&')).unwrap_or(b' ')
    })
}

/// Whether a text is pairs and little else: at least two, and begun by one.
#[must_use]
pub fn is_pairs(text: &str) -> bool {
    let bytes = text.as_bytes();
    let key = |from: usize| {
        let length = bytes[from..].iter().take(64).take_while(|&&byte| is_key(byte)).count();
        length > 0 && bytes.get(from + length) == Some(&b'=')
    };
    let separator = separator(text);
    key(0)
        && bytes.iter().enumerate().any(|(at, &byte)| {
            (byte == separator || separator == b' ' && byte.is_ascii_whitespace())
                && at + 1 < bytes.len()
                && key(at + 1)
        })
}

/// Whether words that may be observables stand between or behind the pairs: `… dport=53 request: GET https://…`.
#[must_use]
pub fn says_more(text: &str) -> bool {
    let bytes = text.as_bytes();
    if separator(text) != b' ' {
        return false;
    }
    let mut at = 0;
    loop {
        at += bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let Some(length) = bytes[at..].iter().position(|&byte| byte == b'=' || byte.is_ascii_whitespace()) else {
            return is_telling(&text[at..]);
        };
        let after = at + length;
        if bytes[after] != b'=' {
            if is_telling(&text[at..after]) {
                return true;
            }
            at = after;
            continue;
        }
        at = match bytes.get(after + 1) {
            Some(&quote @ (b'"' | b'\'')) => quoted(bytes, after + 2, quote).map_or(after + 1, |(end, _)| end + 1),
            _ => after + 1,
        };
        at += bytes[at..].iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len() - at);
    }
}

/// Whether a word has the marks of an address, a name or a path within it.
fn is_telling(word: &str) -> bool {
    word.trim_end_matches(['.', ':', ',', ';']).contains(['.', ':', '@', '\\'])
}

/// Whether a message that begins with words goes on with pairs in quotes: `… event: text="…" type="…"`.
#[must_use]
pub fn has_quoted_pairs(text: &str) -> bool {
    memchr::memmem::find_iter(text.as_bytes(), b"=\"")
        .filter(|&at| at > 0 && is_key(text.as_bytes()[at - 1]))
        .nth(2)
        .is_some()
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@' | b'/')
}

/// What pairs mean, by the names that are common among those who write them. `stated` is the severity of a header around
/// them, which counts where they have none.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, stated: Option<Severity>, words: &mut Words) -> Meaning {
    if audit::fits(event) {
        return audit::meaning(event, about, words);
    }
    let (mut severity, mut key) = (None, "");
    // Within a syslog message `severity` is the header's, and the pairs' own came second.
    let own = if stated.is_some() { "severity.1" } else { "severity" };
    for name in [own, "level", "lvl", "sev", "pri", "priority", "Severity", "threat_level", "risk"] {
        if let Some(found) = event.get(name).and_then(severity::by_word) {
            (severity, key) = (Some(found), name);
            break;
        }
    }
    // SonicWall's `pri` is a number of syslog's scale.
    if severity.is_none()
        && event.get("sn").is_some()
        && let Some(number) = event.get("pri").and_then(|pri| pri.parse().ok()).filter(|number| *number < 8)
    {
        (severity, key) = (Some(severity::syslog(number)), "pri");
    }
    if severity.is_none() && stated.is_some() {
        key = "severity";
    }
    event.keep_severity(key);
    let message = event.first(&["msg", "message", "title", "logdesc", "event", "desc", "reason", "subject", "action"]);
    let said = event.first(&["msg", "title", "logdesc", "desc", "reason", "message.1"]);
    let sort = event
        .first(&["type", "log_type"])
        .filter(|_| said.is_none() && event.get("subtype").or(event.get("log_component")).is_some());
    match sort {
        // A firewall's record of traffic has no message of its own, and the whole line is none.
        Some(sort) => {
            words.title.push_str(title::line(sort));
            for (between, keys) in
                [(" ", &["subtype", "log_component"][..]), (": ", &["action", "log_subtype", "status"][..])]
            {
                if let Some(more) = event.first(keys) {
                    words.title.push_str(between);
                    words.title.push_str(title::line(more));
                }
            }
        }
        None => words.title.push_str(title::line(said.or(message).unwrap_or("Unknown Event"))),
    }
    let from = event.first(&["src", "srcip", "src_ip", "SRC", "SrcIP", "client_ip", "ClientIP"]);
    let to = event.first(&["dst", "dstip", "dst_ip", "dest_ip", "DST", "DstIP", "serverip"]);
    let from = from.map(|end| (end, event.first(&["srcport", "src_port", "spt", "SPT", "SrcPort", "s_port"])));
    let to = to.map(|end| (end, event.first(&["dstport", "dst_port", "dpt", "DPT", "DstPort"])));
    title::endpoints(&mut words.description, from, to);
    if words.description.is_empty() {
        words.description.push_str(title::paragraph(message.unwrap_or_default()));
    }
    let product = event.first(&["product", "vendor", "app"]);
    // Fortinet's serial numbers begin with the kind of the appliance.
    let fortinet = event.first(&["devid", "device_id"]).is_some_and(|id| id.starts_with('F') && id.len() > 14);
    let category = product
        .filter(|_| !fortinet)
        .and_then(category::by_product)
        .or_else(|| category::by_product(&about.context.source))
        .unwrap_or(Category::Network);
    let date = event.get("date").zip(event.get("time"));
    let timestamp_ms = match date {
        Some((date, time)) => {
            let mut whole = String::with_capacity(32);
            whole.push_str(date);
            whole.push(' ');
            whole.push_str(time);
            if let Some(zone) = event.get("tz").filter(|zone| zone.starts_with(['+', '-'])) {
                whole.push(' ');
                whole.push_str(zone);
            }
            about.time([event.get("eventtime"), Some(&whole)])
        }
        None => about.time(
            ["timestamp", "time", "ts", "@timestamp", "eventtime", "GenTime", "datetime", "date", "t"]
                .into_iter()
                .map(|key| event.get(key)),
        ),
    };
    Meaning {
        kind: Kind::Alert,
        severity: severity.or(stated).unwrap_or(Severity::Medium),
        category,
        timestamp_ms,
        device: None,
    }
}
