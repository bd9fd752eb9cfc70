//! Spellings that keep a dot, an at sign, a colon or a slash from being clickable.
//!
//! Each reader looks at one place, a bounded number of bytes ahead, and answers where the spelling ends. None of them
//! decides alone: what comes out must still be an address or lie below a public suffix.

use super::class::{begins_label, byte};

/// Most brackets, spaces or backslashes that one spelling may pile up.
const PILE: usize = 4;

fn skip(bytes: &[u8], mut at: usize, set: &[u8]) -> usize {
    let limit = at + PILE;
    while at < limit && at < bytes.len() && set.contains(&bytes[at]) {
        at += 1;
    }
    at
}

/// End of the first of `words` that stands at `at`, in any case.
fn any_word(bytes: &[u8], at: usize, words: &[&str]) -> Option<usize> {
    words.iter().find_map(|word| {
        let end = at + word.len();
        bytes.get(at..end).filter(|found| found.eq_ignore_ascii_case(word.as_bytes())).map(|_| end)
    })
}

/// `.` and its names in English, Spanish and German.
const DOTS: &[&str] = &[".", ",", "dot", "punto", "punkt"];
const ATS: &[&str] = &["@", "at", "et", "arroba"];

/// End of a defanged dot at `at`, if a label follows it: `[.]`, `(dot)`, `{.}`, `<.>`, ` [.] `, `\.`, `^.`, `].[`,
/// `[.`, ` DOT `. A plain dot is none. `again`: the same name had one before, so that ` [.com` is one too.
pub(super) fn dot(bytes: &[u8], at: usize, again: bool) -> Option<usize> {
    let end = match byte(bytes, at) {
        b'[' | b'(' | b'{' => bracketed(bytes, at, DOTS, true)?,
        b'<' => bytes[at..].starts_with(b"<.>").then_some(at + 3)?,
        b'^' => (byte(bytes, at + 1) == b'.').then_some(at + 2)?,
        b'\\' => {
            let end = skip(bytes, skip(bytes, at, b"\\"), b"\\");
            match byte(bytes, end) {
                b'.' => end + 1,
                b'[' | b'(' => bracketed(bytes, end, DOTS, true)?,
                _ => return None,
            }
        }
        // `].[`, `].]`: brackets the wrong way round, on both sides.
        b']' | b')' | b'}' if byte(bytes, at + 1) == b'.' => {
            matches!(byte(bytes, at + 2), b'[' | b'(' | b'{' | b']' | b')' | b'}').then_some(at + 3)?
        }
        b' ' => {
            let word = skip(bytes, at, b" ");
            match byte(bytes, word) {
                b'[' | b'(' | b'{' => skip(bytes, bracketed(bytes, word, DOTS, again)?, b" "),
                b'\\' if byte(bytes, word + 1) == b'.' => skip(bytes, word + 2, b" "),
                b'D' if bytes[word..].starts_with(b"DOT ") => skip(bytes, word + 4, b" "),
                _ => return None,
            }
        }
        _ => return None,
    };
    begins_label(bytes, end).then_some(end)
}

/// End of an at sign at `at`, defanged or plain, if a label follows: `@`, `[@]`, `(at)`, ` AT `, ` @ `, ` [at] `.
pub(super) fn at_sign(bytes: &[u8], at: usize) -> Option<usize> {
    let end = match byte(bytes, at) {
        b'@' => skip(bytes, at + 1, b" "),
        b'[' | b'(' | b'{' => bracketed(bytes, at, ATS, false)?,
        b' ' => {
            let word = skip(bytes, at, b" ");
            match byte(bytes, word) {
                b'@' => skip(bytes, word + 1, b" "),
                b'[' | b'(' | b'{' => skip(bytes, bracketed(bytes, word, ATS, false)?, b" "),
                b'A' if bytes[word..].starts_with(b"AT ") => skip(bytes, word + 3, b" "),
                _ => return None,
            }
        }
        _ => return None,
    };
    (begins_label(bytes, end) || byte(bytes, end) == b'[').then_some(end)
}

/// End of one of `words` in brackets. `open_ended` takes `[.com` too, as people shorten it.
fn bracketed(bytes: &[u8], at: usize, words: &[&str], open_ended: bool) -> Option<usize> {
    let mut inner = at;
    while inner < at + 2 * PILE && matches!(byte(bytes, inner), b'[' | b'(' | b'{' | b' ') {
        inner += 1;
    }
    let end = any_word(bytes, inner, words)?;
    let close = skip(bytes, skip(bytes, end, b" "), b"\\");
    if matches!(byte(bytes, close), b']' | b')' | b'}' | b'[' | b'(' | b'{') {
        return Some(skip(bytes, close, b"])}[({"));
    }
    // `45(.33` too, where numbers on both sides say what is meant.
    let number = byte(bytes, end).is_ascii_digit() && at > 0 && bytes[at - 1].is_ascii_digit();
    let short = byte(bytes, at) == b'[' || byte(bytes, at) == b'(' && number;
    (open_ended && short && byte(bytes, inner) == b'.').then_some(end)
}

/// End of what parts a scheme from its host: `://`, `[:]//`, `[://]`, `:\/\/`, `]://`, `:///`, ` ://`, `//`, and
/// `%3A%2F%2F`. `lenient` is for schemes that cannot be anything else: only those may lack the colon or have spaces.
pub(super) fn scheme_end(bytes: &[u8], at: usize, lenient: bool) -> Option<usize> {
    let mut end = at;
    if bytes.get(at..at + 9).is_some_and(|escaped| escaped.eq_ignore_ascii_case(b"%3A%2F%2F")) {
        return Some(at + 9);
    }
    if lenient && byte(bytes, end) == b' ' {
        end = skip(bytes, end, b" ");
    }
    let mut brackets = 0;
    while brackets < 2 && matches!(byte(bytes, end), b'[' | b'(' | b'{' | b']' | b')' | b'}') {
        end += 1;
        brackets += 1;
    }
    let colon = byte(bytes, end) == b':';
    if colon {
        end += 1;
    } else if !lenient || brackets > 0 || end > at {
        return None;
    }
    let mut slashes = 0;
    while slashes < 3 {
        match byte(bytes, end) {
            b'/' => end += 1,
            b'\\' if byte(bytes, end + 1) == b'/' => end += 2,
            b'\\' if lenient && colon => end += 1,
            b'[' if byte(bytes, end + 1) == b'/' => {
                end += 1;
                continue;
            }
            b']' | b')' | b'}' if end < at + 8 => {
                end += 1;
                continue;
            }
            _ => break,
        }
        slashes += 1;
    }
    if slashes < 2 || (slashes == 3 && !lenient) {
        return None;
    }
    if lenient {
        end = skip(bytes, skip(bytes, end, b"])}"), b" ");
    }
    Some(end)
}

/// One mark in brackets inside a URL, `[.]`, `[/]`, `(dot)`, `{.}`: the mark and where the spelling ends.
pub(super) fn mark(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let close = match byte(bytes, at) {
        b'[' => b']',
        b'(' => b')',
        b'{' => b'}',
        b'\\' => return matches!(byte(bytes, at + 1), b'/' | b'.').then(|| (bytes[at + 1], at + 2)),
        _ => return None,
    };
    let inner = byte(bytes, at + 1);
    if byte(bytes, at + 2) == close && matches!(inner, b'.' | b'/' | b'@' | b':' | b'-' | b'_' | b'?' | b'=' | b'&') {
        return Some((inner, at + 3));
    }
    for (words, mark) in [(&DOTS[2..], b'.'), (&ATS[1..], b'@')] {
        if let Some(end) = any_word(bytes, at + 1, words)
            && byte(bytes, end) == close
        {
            return Some((mark, end + 1));
        }
    }
    None
}

/// The scheme that `word` spells, and whether it can be nothing else. `None` if it is no known scheme.
pub(super) fn scheme(word: &[u8]) -> Option<(&'static str, bool)> {
    let mut lower = [0; 8];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"http" | b"hxxp" | b"hxtp" | b"htxp" | b"h**p" | b"h__p" | b"h--p" | b"h00p" | b"hzzp" | b"hkkp" | b"hxp"
        | b"htp" | b"hxxxp" | b"httxp" | b"xxxx" | b"meow" => ("http", true),
        b"https" | b"hxxps" | b"hxtps" | b"htxps" | b"h**ps" | b"h__ps" | b"h--ps" | b"h00ps" | b"hzzps" | b"hkkps"
        | b"hxps" | b"htps" | b"hxxxps" | b"xxxxx" | b"xxxxs" | b"meows" => ("https", true),
        b"ftp" => ("ftp", false),
        b"fxp" | b"ftx" | b"fxtp" | b"f*p" => ("ftp", false),
        b"ftps" | b"fxps" => ("ftps", false),
        b"sftp" | b"sfxp" => ("sftp", false),
        b"ssh" => ("ssh", false),
        b"tcp" => ("tcp", false),
        b"udp" => ("udp", false),
        b"ws" => ("ws", false),
        b"wss" => ("wss", false),
        b"ldap" => ("ldap", false),
        b"ldaps" => ("ldaps", false),
        b"rmi" => ("rmi", false),
        b"smb" => ("smb", false),
        b"tftp" => ("tftp", false),
        b"telnet" => ("telnet", false),
        b"rtsp" => ("rtsp", false),
        _ => return None,
    })
}

/// Length of a scheme at the end of `word`, where it is glued to what stands before: `url_http`, `Chttp`.
pub(super) fn scheme_tail(word: &[u8]) -> usize {
    [&b"https"[..], b"hxxps", b"http", b"hxxp"]
        .iter()
        .find(|scheme| word.len() > scheme.len() && word[word.len() - scheme.len()..].eq_ignore_ascii_case(scheme))
        .map_or(0, |scheme| scheme.len())
}
