use super::{Header, cisco, structured};
use crate::{fault::Fault, time};

/// Reads a header of RFC 3164, which describes what was seen and not what to write: any part may be missing, Cisco
/// puts sequence numbers and an origin before the time, relays put a second header behind the first.
///
/// # Errors
/// If there is neither a priority nor a time.
pub fn read(text: &str, at: usize, priority: Option<u8>) -> Result<Header<'_>, Fault> {
    let mut header = Header { priority, ..Header::default() };
    let mut rest = &text[at..];
    let mut time = stamp(rest);
    if time.is_none() {
        rest = cisco_prefix(rest, &mut header);
        time = stamp(rest);
    }
    match time {
        Some((civil, length)) => {
            header.time = Some(civil);
            header.stamp = Some(&rest[..length]);
            rest = &rest[length..];
        }
        None if priority.is_none() && !cisco::begins(rest) => {
            return Err(Fault::new(at, "a syslog priority `<0>` to `<191>`, or a time"));
        }
        None => {}
    }
    // IOS writes `time: %FAC-5-X`; what follows then is no host.
    let colon = rest.starts_with(':');
    rest = rest.trim_start_matches([':', ' ', '\t']);
    if colon {
        rest = tag(rest, &mut header);
    } else {
        let whole = rest;
        rest = host(rest, &mut header);
        // Without a time the words of a message must not be taken for a host: only a tag behind it proves one.
        if header.time.is_none() && header.hostname.is_some() && tag_at(rest, &mut header).is_none() {
            header.hostname = None;
            rest = whole;
        }
        // A relay's header around the origin's own: the inner one is nearer to the event.
        if let Some((civil, length)) = stamp(rest) {
            header.time = Some(civil);
            header.stamp = Some(&rest[..length]);
            rest = host(rest[length..].trim_start(), &mut header);
        }
        rest = tag(rest, &mut header);
    }
    // IronPort's appliances and Cisco's controllers write the tag before the time.
    if header.time.is_none()
        && header.appname.is_some()
        && let Some((civil, length)) = stamp(rest)
    {
        header.time = Some(civil);
        header.stamp = Some(&rest[..length]);
    }
    // rsyslog writes structured data here too. Brackets alone prove nothing: `[error] [pid 7]`.
    if rest.starts_with('[')
        && let Some(end) = structured::end(rest)
        && rest[..end].contains("=\"")
    {
        let start = text.len() - rest.len();
        header.structured = Some((start, start + end));
        rest = rest[end..].trim_start_matches(' ');
    }
    header.message = text.len() - rest.len();
    Ok(header)
}

/// `22191: host: 022546: .Mar 5 …`: sequence numbers, an origin id, the mark of an unsynchronized clock.
fn cisco_prefix<'t>(text: &'t str, header: &mut Header<'t>) -> &'t str {
    // ASA with `logging timestamp` and an EMBLEM header: `:Mar 22 2021 10:11:12 UTC: %ASA-…`.
    let mut rest = text.strip_prefix(':').filter(|rest| stamp(rest).is_some()).unwrap_or(text);
    loop {
        let trimmed = rest.trim_start_matches([' ', '*', '.']);
        if stamp(trimmed).is_some() {
            return trimmed;
        }
        let Some((word, after)) = trimmed.split_once(':') else { return rest };
        let numeric = word.bytes().all(|byte| byte.is_ascii_digit());
        let origin = !numeric && header.hostname.is_none() && rest.len() < text.len() && is_host(word);
        // `00:01:01: %…` is the time since the device started.
        if !after.starts_with(' ') || word.len() > 64 || !(numeric || origin) {
            return uptime(trimmed).unwrap_or(rest);
        }
        if origin {
            let next = after.trim_start_matches([' ', '*', '.']);
            let more = stamp(next).is_some()
                || next.split_once(": ").is_some_and(|(n, _)| n.bytes().all(|b| b.is_ascii_digit()));
            if !more {
                return rest;
            }
            header.hostname = Some(word);
        }
        rest = &after[1..];
    }
}

fn uptime(text: &str) -> Option<&str> {
    let (clock, rest) = text.split_once(": %")?;
    let clock_like =
        !clock.is_empty() && clock.len() < 16 && clock.bytes().all(|b| b.is_ascii_digit() || b":wdhym".contains(&b));
    clock_like.then(|| &text[text.len() - rest.len() - 1..])
}

/// A time at the start, and its length.
fn stamp(text: &str) -> Option<(time::Civil, usize)> {
    match text.as_bytes().first()? {
        b'A'..=b'Z' => time::named(text),
        b'0'..=b'9' => time::iso(text).or_else(|| time::named(text)),
        _ => None,
    }
}

/// Takes the host's name, if the next word can be one: it is not a tag, a bracket or a message.
fn host<'t>(text: &'t str, header: &mut Header<'t>) -> &'t str {
    let Some((word, rest)) = text.split_once([' ', '\t']) else { return text };
    // F5's iRules join the host to their pairs.
    if let Some((name, pairs)) = text.split_once(',')
        && is_host(name)
        && name.len() < word.len()
        && pairs.split_once('=').is_some_and(|(key, _)| is_host(key))
    {
        header.hostname = Some(name);
        return pairs;
    }
    if word.ends_with(':') && !word.contains("::") || word.contains(['[', '=', '|', '{', '"', '%', ',']) {
        return text;
    }
    // F5 writes the slot of a chassis before the host.
    let name = match word.split_once('/') {
        Some((slot, name)) if slot.starts_with("slot") => name,
        Some(_) => return text,
        None => word,
    };
    if !is_host(name) || is_level(name) {
        return text;
    }
    header.hostname = Some(name);
    let rest = rest.trim_start_matches([' ', '\t']);
    // `asa1 : %ASA-…`
    rest.strip_prefix(": ").unwrap_or(rest)
}

/// What loggers of applications write behind the time.
pub fn is_level(word: &str) -> bool {
    matches!(
        word,
        "TRACE" | "DEBUG" | "INFO" | "NOTICE" | "WARN" | "WARNING" | "ERROR" | "FATAL" | "SEVERE" | "CRITICAL"
    )
}

fn is_host(word: &str) -> bool {
    !word.is_empty()
        && word.len() < 256
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'))
}

/// Takes the tag: `app[123]: `, `app: `, `app [`; F5's severity word and other single words before it are passed.
fn tag<'t>(text: &'t str, header: &mut Header<'t>) -> &'t str {
    if let Some(rest) = tag_at(text, header) {
        return rest;
    }
    // `err tmm1[380498]: …`, `notice mcpd[6760]: …`
    if let Some((word, rest)) = text.split_once(' ')
        && crate::meaning::severity::by_word(word).is_some()
        && let Some(rest) = tag_at(rest, header)
    {
        return rest;
    }
    text
}

fn tag_at<'t>(text: &'t str, header: &mut Header<'t>) -> Option<&'t str> {
    let end =
        text.find(|c: char| c.is_whitespace() || matches!(c, ':' | '[' | '{' | '=' | ',' | '|')).unwrap_or(text.len());
    let name = &text[..end];
    // CEF and LEEF look like tags; `%ASA-4-106023` is a message's own.
    if name.is_empty() || name.len() > 64 || matches!(name, "CEF" | "LEEF") || name.starts_with(['%', '<', '"', '(']) {
        return None;
    }
    let rest = &text[end..];
    if let Some(after) = rest.strip_prefix('[')
        && let Some((pid, after)) = after.split_once(']')
        && pid.len() < 32
        && !pid.contains(' ')
        && let Some(after) = after.strip_prefix(':').or_else(|| after.starts_with(' ').then_some(after))
    {
        header.appname = Some(name);
        header.procid = (!pid.is_empty()).then_some(pid);
        return Some(after.strip_prefix(' ').unwrap_or(after));
    }
    if let Some(after) = rest.strip_prefix(':') {
        // `10:22:33` and `C:\path` are no tags.
        if !(after.is_empty() || after.starts_with([' ', '{', '\t'])) {
            return None;
        }
        header.appname = Some(name);
        return Some(after.trim_start_matches([' ', '\t']));
    }
    // `name -: {…}`, and `apache_error [Tue Jun 08 …]`.
    if let Some(after) = rest.strip_prefix(" -: ") {
        header.appname = Some(name);
        return Some(after);
    }
    // Cisco's ISE and ACS put no colon behind theirs.
    if (name.starts_with("CISE_") || name.starts_with("CSCOacs_")) && rest.starts_with(' ') {
        header.appname = Some(name);
        return Some(&rest[1..]);
    }
    if rest.starts_with(" [") && !is_level(name) && !name.bytes().all(|byte| byte.is_ascii_digit()) {
        header.appname = Some(name);
        return Some(&rest[1..]);
    }
    None
}
