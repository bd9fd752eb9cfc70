use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::{choice, count::Counting, filter::Filter, open::Place};
use crate::{broker::redis_streams::Order, cli::terminal::cut, federation::inbound::site_of, pipeline::Letter};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora dead-letter list --config aurora.toml --count
  aurora dead-letter list --config aurora.toml --stage normalize --since 2h
  aurora dead-letter list --config aurora.toml --device tank_1 --limit 0 --format json | jq .reason";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Most letters, or groups of them; 0: all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Group them by stage, guest and reason, with numbers.
    #[arg(long)]
    count: bool,
    /// For a person, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let letters = args.place.open()?.letters;
    let mut walk = letters.walk(args.filter.span(), Order::NewestFirst);
    let mut out = BufWriter::new(io::stdout().lock());
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let (mut counting, mut shown, mut is_cut) = (Counting::default(), 0, false);
    'parts: while let Some(part) = walk.next().await? {
        for letter in part.into_iter().map(Letter::of).filter(|letter| args.filter.takes(letter)) {
            if args.count {
                counting.add(&letter);
                continue;
            }
            if shown == limit {
                is_cut = true;
                break 'parts;
            }
            if shown == 0 && args.format == Format::Text {
                writeln!(out, "{:<17} {:<14} {:<9} {:<18} REASON", "ID", "KEPT (UTC)", "STAGE", "FROM")?;
            }
            shown += 1;
            match args.format {
                Format::Text => writeln!(out, "{}", line(&letter))?,
                Format::Json => {
                    serde_json::to_writer(&mut out, &Listed::of(&letter)).map_err(io::Error::from)?;
                    out.write_all(b"\n")?;
                }
            }
        }
        out.flush()?;
    }
    if args.count {
        counting.write(&mut out, args.format, limit)?;
    }
    out.flush()?;
    if args.format == Format::Text {
        let all = choice::letters(letters.count().await?);
        match (args.count, is_cut) {
            (true, _) => eprintln!("{} of {all} in {}", counting.total(), letters.name()),
            (false, true) => eprintln!("the newest {shown} of {all} in {}; --limit 0 shows all", letters.name()),
            (false, false) => eprintln!("{shown} of {all} in {}", letters.name()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(letter: &Letter) -> String {
    format!(
        "{:<17} {:<14} {:<9} {:<18} {}",
        letter.id.to_string(),
        kept(letter).format("%m-%d %H:%M:%S"),
        cut(&letter.stage, 9),
        cut(&from(letter), 18),
        cut(&letter.reason, 38)
    )
}

/// Where it came from, in few letters: how the source of another site begins is the same for all of them.
fn from(letter: &Letter) -> String {
    let context = &letter.context;
    match (&context.device_id, site_of(context)) {
        (Some(device), _) => device.clone(),
        (None, Some(site)) => format!("site {site}"),
        (None, None) => context.source.clone(),
    }
}

/// When it became a dead letter.
pub(super) fn kept(letter: &Letter) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_millis(i64::try_from(letter.id.ms).unwrap_or_default()).unwrap_or_default()
}

/// A letter as JSON.
#[derive(Serialize)]
struct Listed<'a> {
    id: String,
    kept: String,
    received: &'a str,
    stage: &'a str,
    reason: &'a str,
    guest: &'a str,
    effect: &'a str,
    attempts: &'a str,
    source: &'a str,
    format: &'a str,
    topic: Option<&'a str>,
    device_id: Option<&'a str>,
    channel: Option<&'a str>,
    source_ip: Option<&'a str>,
    events: &'a [u32],
    streams: &'a [String],
    bytes: usize,
}

impl<'a> Listed<'a> {
    fn of(letter: &'a Letter) -> Self {
        let context = &letter.context;
        Self {
            id: letter.id.to_string(),
            kept: kept(letter).to_rfc3339(),
            received: &letter.time,
            stage: &letter.stage,
            reason: &letter.reason,
            guest: &letter.guest,
            effect: &letter.effect,
            attempts: &letter.attempts,
            source: &context.source,
            format: &context.format,
            topic: context.topic.as_deref(),
            device_id: context.device_id.as_deref(),
            channel: context.channel.as_deref(),
            source_ip: context.source_ip.as_deref(),
            events: &letter.positions,
            streams: &letter.streams,
            bytes: letter.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EntryId;

    #[test]
    fn names_what_tells_letters_apart() {
        let cases: [(&[(&str, &str)], &str); 4] = [
            (&[("source", "aurora:federation:north")], " site north "),
            (&[("source", "aurora:federation:south")], " site south "),
            (&[("source", "mqtt"), ("device_id", "door_1")], " door_1 "),
            (&[("source", "syslog")], " syslog "),
        ];
        for (fields, shown) in cases {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
            let line = line(&Letter::new(EntryId { ms: 1, sequence: 0 }, fields.collect()));
            assert!(line.contains(shown), "{line}");
        }
    }
}
