use super::{Header, structured};
use crate::time::{self, Civil};

/// Reads a header of RFC 5424 after its version. Senders leave parts out (a relay that only puts time and host before
/// a CEF record), so the message begins early where an inner format does.
pub fn read(text: &str, at: usize, priority: Option<u8>) -> Header<'_> {
    let mut header = Header { priority, ..Header::default() };
    let mut rest = &text[at..];
    let mut position = 0;
    while position < 5 && !begins_inner(rest) {
        let Some(token) = rest.split(' ').next() else { break };
        if token.is_empty() && rest.is_empty() {
            break;
        }
        // Meraki's devices go from the program's name to pairs.
        if position > 2 && token.contains('=') {
            break;
        }
        let value = (token != "-" && !token.is_empty()).then_some(token);
        match position {
            0 => {
                header.time = value.and_then(stamp);
                header.stamp = value;
            }
            1 => header.hostname = value,
            2 => header.appname = value,
            3 => header.procid = value,
            _ => header.msgid = value,
        }
        position += 1;
        rest = &rest[(token.len() + 1).min(rest.len())..];
    }
    if position == 5 {
        let unpadded = rest.trim_start_matches(' ');
        if unpadded.starts_with('[') {
            rest = unpadded;
        }
        if rest.starts_with("[") {
            if let Some(end) = structured::end(rest) {
                let start = text.len() - rest.len();
                header.structured = Some((start, start + end));
                rest = &rest[end..];
                rest = rest.strip_prefix(' ').unwrap_or(rest);
            }
        } else if let Some(after) = rest.strip_prefix('-')
            && (after.is_empty() || after.starts_with([' ', '\r', '\n']))
        {
            rest = after.strip_prefix(' ').unwrap_or(after);
        }
    }
    rest = rest.strip_prefix('\u{feff}').unwrap_or(rest);
    header.message = text.len() - rest.len();
    header
}

/// Some senders write seconds since 1970 here, or leave the zone out.
fn stamp(token: &str) -> Option<Civil> {
    if let Some((civil, _)) = time::iso(token) {
        return Some(civil);
    }
    time::of_epoch(token)
}

fn begins_inner(rest: &str) -> bool {
    rest.starts_with("CEF:") || rest.starts_with("LEEF:") || rest.starts_with('{')
}
