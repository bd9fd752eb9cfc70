use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::{
    list::{Format, Shown, left},
    open::{Place, indicator, kind},
};
use crate::{
    cli::terminal::plain,
    intel::{Known, Times},
    moment::rfc3339,
    sandbox::ObservableType,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora intel show ip 45.155.205.233 --config aurora.toml
  aurora intel show url http://evil.net/a --config aurora.toml --format json";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ip, domain, url, email, hash_md5, hash_sha1, hash_sha256, cve, file_path, registry_key, mutex or user_agent.
    #[arg(value_name = "TYPE", value_parser = kind)]
    kind: ObservableType,
    /// Its value, however it is written.
    value: String,
    #[command(flatten)]
    place: Place,
    /// For a person, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Exit code 1 if it is not looked out for.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = indicator(args.kind, &args.value)?;
    let opened = args.place.open()?;
    let Some(known) = opened.known(&wanted).await? else {
        eprintln!("{} is not looked out for", plain(&wanted.to_string()));
        return Ok(ExitCode::FAILURE);
    };
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &Shown::of(&known)).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Format::Text => out.write_all(text(&known).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(known: &Known) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| text.push_str(&format!("{name:<10} {}\n", plain(value)));
    row("indicator", &known.indicator.to_string());
    row("marking", &format!("TLP:{}", known.tlp.as_str()));
    row("first", &rfc3339(known.first_ms));
    row("last", &rfc3339(known.last_ms));
    row("ends", &format!("{}, in {}", rfc3339(known.expires_ms), left(known.expires_ms)));
    row("told", &times(known.count));
    for (site, source) in &known.sources {
        row("told by", &format!("{site}, {}, TLP:{}", when(source.times), source.tlp.as_str()));
    }
    for (site, seen) in &known.sightings {
        row("seen at", &format!("{site}, {}", when(*seen)));
    }
    text
}

fn when(told: Times) -> String {
    format!("{}, last {}", times(told.count), rfc3339(told.last_ms))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
