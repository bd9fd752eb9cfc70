//! `aurora tap`: events as they come, out of the streams. Reads without a group: nothing in Redis changes by it, and
//! nobody misses what is seen here.

mod stage;
mod entry;
mod filter;
mod shown;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{io::AsyncWriteExt as _, signal, time};

use self::{
    entry::Entry,
    filter::Filter,
    stage::{Stage, Watched, streams},
};
use super::dead_letter::{Place, when};
use crate::{
    broker::{
        backoff,
        redis_streams::{Follow, Pool},
    },
    telemetry::Chain,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora tap --config aurora.toml                                      # normalized events, one a line
  aurora tap --config aurora.toml --severity high,critical --since 1h
  aurora tap --config aurora.toml --stage dead-letter,audit
  aurora tap --config aurora.toml --device pump_1 valve | jq .entry.data.title

On a terminal an event is a line, elsewhere a JSON object. What is marked TLP:RED or TLP:AMBER+STRICT is hidden, unless
--show-restricted. Ctrl-C ends it.";

/// Entries of a stream that are read at a time. While they are written no more is read, so a slow reader costs no memory.
const AT_ONCE: usize = 256;

/// Whoever takes longer over what was read may have been overtaken by the trimming of a stream.
const SLOW: Duration = Duration::from_secs(1);

/// Arguments of `aurora tap`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// What to watch; several, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Stage::Normalized])]
    stage: Vec<Stage>,
    /// Streams besides, by name.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    stream: Vec<String>,
    /// First what was added since then: a time ago ("90m", "7d") or a date and time as in RFC 3339.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<u64>,
    /// End after so many.
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// A line each, a JSON object each, or what fits where it goes to.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// Also show what is marked TLP:RED or TLP:AMBER+STRICT.
    #[arg(long)]
    show_restricted: bool,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Auto,
    Text,
    Json,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    shown: usize,
    hidden: usize,
    others: usize,
}

/// Shows events until it is interrupted, nobody reads any more, or there were enough.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let mut seen = Seen::default();
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = tap(args, &mut seen) => ended,
            interrupted = signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
        }
    });
    // A write to somebody who does not read would be waited for otherwise.
    runtime.shutdown_background();
    match ended {
        Err(error)
            if error.downcast_ref::<io::Error>().is_none_or(|error| error.kind() != io::ErrorKind::BrokenPipe) =>
        {
            return Err(error);
        }
        _ => {}
    }
    if io::stderr().is_terminal() {
        let Seen { shown, hidden, others } = seen;
        eprintln!("\n{shown} shown, {hidden} of them hidden by TLP; {others} did not fit the filter");
    }
    Ok(ExitCode::SUCCESS)
}

async fn tap(args: &Args, seen: &mut Seen) -> anyhow::Result<()> {
    let config = args.place.open()?.config;
    let redis = config.redis.as_ref().context("no [redis] is configured")?;
    let watched = streams(&args.stage, &args.stream, &config, redis);
    let keys: Vec<_> = watched.iter().map(|stream| redis.key(&stream.name)).collect();
    let pool = Pool::new(redis)?;
    let mut follow = Follow::open(&pool, keys, args.since, redis.timeout).await.context("cannot read from Redis")?;
    if io::stderr().is_terminal() {
        let names: Vec<_> = watched.iter().map(|stream| stream.name.as_str()).collect();
        eprintln!("watching {}", names.join(", "));
    }
    let (is_terminal, mut out) = (io::stdout().is_terminal(), tokio::io::stdout());
    let as_text = args.format == Format::Text || args.format == Format::Auto && is_terminal;
    let colour = is_terminal && std::env::var_os("NO_COLOR").is_none();
    let (mut waits, mut told) = (backoff(redis.reconnect_max), false);
    loop {
        let read = match follow.next(AT_ONCE).await {
            Ok(read) => read,
            // A right that is missing does not come by itself.
            Err(error) if error.code() == Some("NOPERM") => return Err(error).context("Redis does not let us read"),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    eprintln!("Redis is away, waiting for it: {}", Chain(&error));
                }
                time::sleep(waits.next().unwrap_or(redis.reconnect_max)).await;
                continue;
            }
        };
        if std::mem::take(&mut told) {
            eprintln!("Redis is back");
            waits = backoff(redis.reconnect_max);
        }
        let began = Instant::now();
        for followed in read {
            let stream: &Watched = &watched[followed.stream];
            let entry = Entry::of(followed, stream);
            if !args.filter.takes(&entry, args.show_restricted) {
                seen.others += 1;
                continue;
            }
            let line = match as_text {
                true => shown::line(&entry, args.show_restricted, colour),
                false => entry.json(args.show_restricted).to_string(),
            };
            out.write_all((line + "\n").as_bytes()).await?;
            seen.shown += 1;
            seen.hidden += usize::from(entry.mark.is_some() && !args.show_restricted);
            if args.count.is_some_and(|count| seen.shown >= count) {
                return Ok(out.flush().await?);
            }
        }
        out.flush().await?;
        if began.elapsed() > SLOW {
            for stream in follow.overtaken().await.unwrap_or_default() {
                eprintln!("entries of {} were trimmed away before they were read here", watched[stream].name);
            }
        }
    }
}
