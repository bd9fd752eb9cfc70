//! `aurora explain`: the way of one event, from its raw bytes to its last place. Reads what the daemon has written, and
//! changes nothing; works beside a daemon that runs, and without one.

mod subject;
mod trace;
mod arrived;
mod guests;
mod offered;
mod sent;
mod shown;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;

use self::{
    subject::Subject,
    trace::{Bounds, trace},
};
use super::dead_letter::{Place, when};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora explain --config aurora.toml 3d1f0c1e-6f0e-8d0a-9a5b-0c6a1b2c3d4e
  aurora explain --config aurora.toml $(sha256sum < event.json | cut -c1-64) --since 2h
  aurora explain --config aurora.toml 1763780000000-0     # a dead letter, or an entry that was offered";

/// Arguments of `aurora explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// The event: its id, the SHA-256 of its raw bytes, or the id of a dead letter; or of an entry of a stream that is
    /// offered to other sites.
    #[arg(value_name = "EVENT")]
    subject: Subject,
    /// Look at nothing that is older: a time ago ("90m", "7d") or a date and time as in RFC 3339.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<u64>,
    /// Most entries to look at in each stream.
    #[arg(long, value_name = "COUNT", default_value_t = 200_000)]
    most: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Explains the event that the arguments name. Exit code 1 if there is no trace of it.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let bounds = Bounds { since: args.since, most: args.most };
    let traced = runtime.block_on(async {
        let opened = args.place.open()?;
        trace(&opened, &args.subject, bounds).await
    })?;
    let mut out = io::stdout().lock();
    let written = match args.json {
        true => serde_json::to_writer_pretty(&mut out, &traced).map_err(io::Error::from).and_then(|()| writeln!(out)),
        false => out.write_all(shown::text(&traced, &args.place.argument()).as_bytes()),
    };
    match written {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if traced.is_found() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
