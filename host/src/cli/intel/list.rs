use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::open::{Filter, Place, now};
use crate::{
    cli::terminal::plain,
    intel::{Known, Times},
    moment::rfc3339,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora intel list --config aurora.toml
  aurora intel list --config aurora.toml --type ip --type domain --seen
  aurora intel list --config aurora.toml --site refinery-north --format json | jq -r .value";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: Filter,
    /// Most of them.
    #[arg(long, value_name = "COUNT", default_value_t = usize::MAX, hide_default_value = true)]
    most: usize,
    /// For a person, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let opened = args.place.open()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut shown = 0;
    let all = opened
        .each(|known| {
            if shown >= args.most || !args.filter.takes(&known) {
                return Ok(shown < args.most);
            }
            if args.format == Format::Json {
                serde_json::to_writer(&mut out, &Shown::of(&known)).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            } else {
                if shown == 0 {
                    writeln!(
                        out,
                        "{:<12} {:<44} {:<12} {:>5} {:>5} {:>8}  TOLD BY",
                        "TYPE", "VALUE", "TLP", "TOLD", "SEEN", "ENDS IN"
                    )?;
                }
                writeln!(out, "{}", line(&known))?;
            }
            shown += 1;
            Ok(shown < args.most)
        })
        .await?;
    out.flush()?;
    if args.format == Format::Text {
        eprintln!("{shown} of {all} indicators");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(known: &Known) -> String {
    let sites: Vec<&str> = known.sources.keys().map(String::as_str).collect();
    let seen: u64 = known.sightings.values().map(|times| times.count).sum();
    format!(
        "{:<12} {:<44} {:<12} {:>5} {seen:>5} {:>8}  {}",
        known.indicator.kind().as_str(),
        plain(known.indicator.value()),
        known.tlp.as_str(),
        known.count,
        left(known.expires_ms),
        plain(&sites.join(", "))
    )
}

/// How long until then, in its largest unit.
pub(super) fn left(until_ms: u64) -> String {
    let seconds = until_ms.saturating_sub(now()) / 1000;
    let rounded = |unit: u64| (seconds + unit / 2) / unit;
    let (count, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3570 => (rounded(60), "min"),
        3570..84_600 => (rounded(3600), "h"),
        _ => (rounded(86_400), "d"),
    };
    format!("{count} {unit}")
}

/// As programs read it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    r#type: &'a str,
    value: &'a str,
    tlp: &'a str,
    count: u64,
    first_seen: String,
    last_seen: String,
    expires: String,
    sources: BTreeMap<&'a str, Told>,
    sightings: BTreeMap<&'a str, Told>,
}

#[derive(Serialize)]
struct Told {
    first: String,
    last: String,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tlp: Option<&'static str>,
}

impl<'a> Shown<'a> {
    pub fn of(known: &'a Known) -> Self {
        let told = |times: Times, tlp| Told {
            first: rfc3339(times.first_ms),
            last: rfc3339(times.last_ms),
            count: times.count,
            tlp,
        };
        let sources = known.sources.iter();
        Self {
            r#type: known.indicator.kind().as_str(),
            value: known.indicator.value(),
            tlp: known.tlp.as_str(),
            count: known.count,
            first_seen: rfc3339(known.first_ms),
            last_seen: rfc3339(known.last_ms),
            expires: rfc3339(known.expires_ms),
            sources: sources.map(|(site, source)| (&**site, told(source.times, Some(source.tlp.as_str())))).collect(),
            sightings: known.sightings.iter().map(|(site, times)| (&**site, told(*times, None))).collect(),
        }
    }
}
