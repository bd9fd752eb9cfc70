//! What commands show on a terminal, and ask there. What a device or a guest wrote must not move the cursor, nor hide a
//! line.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context as _, ensure};

/// `text` with everything escaped that is more than a letter on one line.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hostile(letter) { plain.extend(letter.escape_debug()) } else { plain.push(letter) }
    }
    plain
}

/// The same, cut to `width` letters.
pub(super) fn cut(text: &str, width: usize) -> String {
    // Far more than fits: a reason may be long, a terminal is not.
    let begin: String = text.chars().take(width + 1).collect();
    let text = plain(&begin);
    match text.char_indices().nth(width) {
        None => text,
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Whether a text can be shown as it is, over several lines.
pub(super) fn is_text(text: &str) -> bool {
    !text.chars().any(|letter| is_hostile(letter) && !matches!(letter, '\n' | '\r' | '\t'))
}

/// Control characters, and those that turn the direction of what follows.
fn is_hostile(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Tells how a command went. It went so whether anybody reads it or not, so an error is none.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Asks whether to go on, unless that was said before: `yes`.
pub(super) fn confirm(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    ensure!(terminal, "{question} There is no terminal to ask on; add --yes if that is what you want");
    write!(io::stderr(), "{question} [y/N] ").context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Bytes in hexadecimal, 16 a line, with what they are as ASCII.
pub(super) fn hex_dump(bytes: &[u8]) -> String {
    let line = |(number, chunk): (usize, &[u8])| {
        let hex: String = chunk.iter().map(|byte| format!("{byte:02x} ")).collect();
        let text: String =
            chunk.iter().map(|&byte| if matches!(byte, b' '..=b'~') { byte as char } else { '.' }).collect();
        format!("{:08x}  {hex:<48} {text}\n", number * 16)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_wrote_cannot_move_the_cursor() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert!(!is_text("a\x1b[2J") && is_text("a\n\tb"));
    }

    #[test]
    fn cuts_to_the_width_of_a_column() {
        assert_eq!(cut("four", 4), "four");
        assert_eq!(cut("fives", 4), "fiv…");
        assert_eq!(cut("\n\n\n", 4), "\\n\\…");
    }

    #[test]
    fn dumps_what_is_no_text() {
        assert_eq!(hex_dump(b"\xff\0abc"), "00000000  ff 00 61 62 63                                   ..abc\n");
    }
}
