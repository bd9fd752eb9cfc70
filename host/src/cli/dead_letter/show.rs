use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::{list::kept, open::Place};
use crate::{
    cli::terminal::{hex_dump, is_text, plain},
    event::EntryId,
    pipeline::Letter,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora dead-letter show --config aurora.toml 1763780000000-0
  aurora dead-letter show --config aurora.toml 1763780000000-0 --payload | aurora pipe --framing whole";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// The letter, as `list` shows it.
    #[arg(value_name = "ID")]
    id: EntryId,
    /// Write the payload and nothing else, byte for byte.
    #[arg(long)]
    payload: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let letters = args.place.open()?.letters;
    let Some((id, fields)) = letters.get(&[args.id]).await?.pop() else {
        anyhow::bail!(
            "there is no dead letter {} in {}: it was replayed, discarded or trimmed; `aurora dead-letter list` shows \
             what there is",
            args.id,
            letters.name()
        );
    };
    let letter = Letter::new(id, fields);
    let mut out = io::stdout().lock();
    if args.payload {
        out.write_all(&letter.payload)?;
    } else {
        out.write_all(describe(&letter, &args.place.argument()).as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Everything about `letter`. `config` is what commands are told of the configuration.
fn describe(letter: &Letter, config: &str) -> String {
    let context = &letter.context;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    let positions: Vec<_> = letter.positions.iter().map(u32::to_string).collect();
    let topic = or_none(&context.topic);
    let rows = [
        ("id", letter.id.to_string()),
        ("kept", kept(letter).to_rfc3339()),
        ("received", letter.time.clone()),
        ("stage", letter.stage.clone()),
        ("reason", letter.reason.clone()),
        ("effect", letter.effect.clone()),
        ("attempts", letter.attempts.clone()),
        ("guest", letter.guest.clone()),
        ("source", context.source.clone()),
        ("format", context.format.clone()),
        (if letter.message_id.is_empty() { "topic" } else { "subject" }, topic.clone()),
        ("device id", or_none(&context.device_id)),
        ("channel", or_none(&context.channel)),
        ("source ip", or_none(&context.source_ip)),
        ("message id", letter.message_id.clone()),
        ("message kind", letter.message_kind.clone()),
        ("its events", positions.join(" ")),
        ("streams", letter.streams.join(" ")),
    ];
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("{name:<13} {}\n", plain(value));
    }
    text += &format!("{:<13} {} bytes\n\n", "payload", letter.size);
    match str::from_utf8(&letter.payload) {
        Ok(payload) if is_text(payload) => {
            text += payload;
            if !payload.ends_with('\n') {
                text.push('\n');
            }
        }
        _ => text += &hex_dump(&letter.payload),
    }
    text += &format!("\nreplay it:  aurora dead-letter replay{config} {}\n", letter.id);
    if letter.message_id.is_empty() {
        let quoted = |text: &str| format!("'{}'", plain(text).replace('\'', r"'\''"));
        let of_topic = if topic.is_empty() { String::new() } else { format!(" --topic {}", quoted(&topic)) };
        text += &format!(
            "try it:     aurora dead-letter show{config} {} --payload | \\\n            aurora pipe{config} --framing whole \
             --format {} --source {}{of_topic}\n",
            letter.id,
            quoted(&context.format),
            quoted(&context.source),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(payload: &[u8]) -> String {
        let fields = [("stage", "normalize"), ("reason", "a\x1b[2J"), ("topic", "it's")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let fields = fields.into_iter().chain([("payload".to_owned(), payload.to_vec())]);
        describe(&Letter::new(EntryId { ms: 1, sequence: 0 }, fields.collect()), " --config c.toml")
    }

    #[test]
    fn shows_text_as_it_is_and_anything_else_in_hexadecimal() {
        assert!(described(b"{\"a\":1}").contains("\n{\"a\":1}\n"));
        assert!(described(b"\xff\xfe").contains("ff fe"));
        assert!(!described(b"\x1b[2J").contains('\x1b'), "neither the payload nor the reason reach the terminal");
    }

    #[test]
    fn says_which_command_replays_it() {
        let text = described(b"x");
        assert!(text.contains("aurora dead-letter replay --config c.toml 1-0\n"), "{text}");
        assert!(text.contains(r"--topic 'it'\''s'"), "{text}");
    }
}
