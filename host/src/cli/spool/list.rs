use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use super::{Place, files};
use crate::{cli::terminal::plain, spool::SetAside, telemetry::Chain};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (config, all) = args.place.open()?;
    let mut out = BufWriter::new(io::stdout().lock());
    for file in &all {
        writeln!(out, "{}", plain(&file.file))?;
        for (name, value) in rows(file) {
            writeln!(out, "  {name:<9} {}", plain(&value))?;
        }
    }
    out.flush()?;
    let path = config.spool.map(|spool| spool.path.display().to_string()).unwrap_or_default();
    eprintln!("{} in {path}/damaged", files(all.len()));
    Ok(ExitCode::SUCCESS)
}

fn rows(file: &SetAside) -> Vec<(&'static str, String)> {
    let written = file.written_ms.and_then(chrono::DateTime::from_timestamp_millis);
    let bytes = match file.read() {
        Ok((_, true)) => format!("{}, as they were written", file.bytes),
        Ok((_, false)) => format!("{}, not as they were written", file.bytes),
        Err(error) => format!("{}, {}", file.bytes, Chain(&error)),
    };
    let why = file.why.as_ref();
    let stored = match why {
        Some(why) if !why.refused.is_empty() => format!("all but {} entries", why.refused.len()),
        Some(_) => "nothing, as far as the spool knows".to_owned(),
        None => "unknown".to_owned(),
    };
    let rows = [
        ("written", written.map(|time| time.to_rfc3339())),
        ("events", file.events.map(|events| events.to_string())),
        ("bytes", Some(bytes)),
        ("why", why.map(|why| why.reason.clone())),
        ("stored", Some(stored)),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
