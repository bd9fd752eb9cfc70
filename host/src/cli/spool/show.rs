use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use serde_json::{Map, Value, json};

use super::{Place, chosen};
use crate::{
    broker::redis_streams::{Contents, What},
    spool::SetAside,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora spool show --config aurora.toml 00000000000000000042-1795330000000-256-102400-01…ef.resp
  aurora spool show --config aurora.toml | jq 'select(.kind == \"event\").data.title'

`sound` says whether every byte of the file is as it was written. Where it is false any byte may be wrong, and nothing
tells which; an entry without `stream` is out of a file of which the end, or a length, is lost.";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Files of damaged/, as `list` shows them; none: all.
    #[arg(value_name = "FILE")]
    files: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (_, all) = args.place.open()?;
    let files = if args.files.is_empty() { all } else { chosen(all, &args.files)? };
    let mut out = BufWriter::new(io::stdout().lock());
    for file in &files {
        let (content, is_sound) = file.read()?;
        for line in lines(file, &Contents::of(&content), is_sound) {
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn lines(file: &SetAside, contents: &Contents, is_sound: bool) -> Vec<Value> {
    let refused = file.why.as_ref().map(|why| why.refused.as_slice()).filter(|refused| !refused.is_empty());
    let line = |(position, stream, what): (usize, Option<&str>, &What)| {
        let kind = match what {
            What::Normalized(_) => "event",
            What::Message(_) => "message",
            What::Letter { .. } => "dead-letter",
            What::Other(_) => "entry",
        };
        let mut line = Map::new();
        line.insert("file".to_owned(), file.file.as_str().into());
        line.insert("sound".to_owned(), is_sound.into());
        line.insert("entry".to_owned(), position.into());
        line.insert("kind".to_owned(), kind.into());
        if let Some(stream) = stream {
            line.insert("stream".to_owned(), stream.into());
        }
        if let Some(refused) = refused {
            line.insert("stored".to_owned(), (!refused.contains(&position)).into());
        }
        line.extend(what.fields().iter().map(|(name, value)| (name.clone(), shown(name, value))));
        Value::Object(line)
    };
    contents.entries().map(line).collect()
}

/// A field's value: JSON where it is meant to be, else text, else bytes in hexadecimal.
fn shown(name: &str, value: &[u8]) -> Value {
    let parsed = (name == "data").then(|| serde_json::from_slice(value).ok()).flatten();
    parsed.unwrap_or_else(|| match str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": value.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    })
}
