use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, ensure};

use super::{
    super::pipe::user_cache,
    choice::{Choice, Chosen, GONE, letters},
    open::{Opened, Place},
    trial,
};
use crate::{
    broker::redis_streams::{Pool, StateShelf},
    cli::terminal::{plain, say},
    config::Config,
    event::EntryId,
    federation::Ceiling,
    intel::{Matcher, Remembered, Table},
    pipeline::{Fate, Letter, Replay, Stages},
    sandbox::Sandbox,
    state::ReadOnly,
    supervise,
    telemetry::Metrics,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  aurora dead-letter replay --config aurora.toml 1763780000000-0
  aurora dead-letter replay --config aurora.toml --stage normalize --since 2d --dry-run
  aurora dead-letter replay --config aurora.toml --all --yes --with normalize=mended.wasm

The exit code is 1 if any letter failed again, or none of those that are named by id is there.";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// A guest in the place of the configured one: normalize=PATH, route=PATH, federate=PATH, inbound=PATH, or that of a
    /// rule, as in normalize/acme=PATH. Which rule a letter fits is as in the daemon.
    #[arg(long, value_name = "GUEST=PATH", value_parser = named)]
    with: Vec<(String, PathBuf)>,
    /// Print what would be stored, as `aurora pipe` prints it, and store nothing.
    #[arg(long)]
    dry_run: bool,
    /// Also replay what its source refused (a wrong device id, too large), and what does not go any more where it is
    /// missing.
    #[arg(long)]
    force: bool,
    /// Publish events of equal content as often as there are letters.
    #[arg(long)]
    no_dedup: bool,
    #[command(flatten)]
    choice: Choice,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (guest, path) = text.split_once('=').ok_or("write it like normalize=path/to/guest.wasm")?;
    match guest.split('/').next() {
        Some("normalize" | "route" | "federate" | "inbound") => Ok((guest.to_owned(), path.into())),
        _ => Err(format!("{guest} has no guest; write normalize, route, federate or inbound")),
    }
}

/// Most letters of a step, and most bytes of their payloads; a larger one is a step of its own.
const STEP: usize = 256;
const STEP_BYTES: usize = 4 << 20;

/// Failures that are told one by one.
const TOLD: usize = 20;

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut opened = args.place.open()?;
    let chosen = args.choice.letters(&opened.letters).await?;
    if chosen.is_empty() {
        say("no dead letter is like that, nothing is replayed");
        return Ok(ExitCode::SUCCESS);
    }
    let asked = args.dry_run || args.choice.is_by_id();
    if !asked && !args.choice.confirm(&format!("Replay {}?", letters(chosen.len())))? {
        say("nothing is replayed");
        return Ok(ExitCode::FAILURE);
    }
    let table = table(&opened.config)?;
    let stages = guests(&mut opened.config, &args.with, table.as_ref())?;
    let site = &opened.config.site.id;
    let matcher = table.clone().map(|table| Matcher::looking_only(table, site));
    let replay = Replay::new(&stages, opened.aside.target(), args.force, !args.no_dedup);
    let mut replay = replay.matched_by(matcher).recording(table);
    let mut tally = Tally::default();
    let done = match args.dry_run {
        true => rehearse(&opened, &mut replay, &stages, &chosen, &mut tally).await,
        false => store(&mut opened, &mut replay, &chosen, &args.choice.describe(), &mut tally).await,
    };
    // Also after an error: what is done is done.
    match args.dry_run {
        false => tally.tell(),
        true if tally.gone > 0 => eprintln!("{} {GONE}", tally.gone),
        true => {}
    }
    done?;
    // By a filter they were there a moment ago; by id it may be a slip.
    let is_slip = args.choice.is_by_id() && tally.gone == chosen.len();
    Ok(if tally.failed > 0 || is_slip { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Where shared indicators are looked up, as the daemon does. What is found counts as no sighting: it happened long ago.
fn table(config: &Config) -> anyhow::Result<Option<Table>> {
    let (Some(intel), Some(redis)) = (&config.intel, &config.redis) else { return Ok(None) };
    let ceiling = Arc::new(Ceiling::new(config));
    Ok(Some(Table::new(&Pool::new(redis)?, redis, intel, ceiling, &Metrics::new().intel)))
}

fn guests(config: &mut Config, with: &[(String, PathBuf)], table: Option<&Table>) -> anyhow::Result<Stages> {
    for (guest, path) in with {
        let found = config.guests.entry(guest);
        let found = found.with_context(|| format!("--with {guest}: no rule has this name"))?;
        (found.path, found.oci) = (path.clone(), None);
    }
    for (slot, guest) in config.guests.all() {
        let missing = !guest.is_named();
        ensure!(!missing, "no guests.{slot}.path is configured; set it, or name a guest with --with {slot}=PATH");
    }
    if config.guests.cache.is_none() {
        config.guests.cache = user_cache();
    }
    // What happened long ago must not count as now: guests read what they remember, and leave it as it is.
    let redis = config.redis.as_ref().context("no [redis] is configured")?;
    let shelf = ReadOnly(Arc::new(StateShelf::new(Pool::new(redis)?, redis)));
    let mut sandbox = Sandbox::new(&config.guests, 1)?.remembering(Arc::new(shelf));
    if let Some(table) = table {
        sandbox = sandbox.looking_up(Arc::new(Remembered::new(table.clone())));
    }
    let mut stages = Stages::load(config, &sandbox, &Metrics::new(), None).map_err(supervise::all)?;
    // As in the daemon: nothing leaves without [nats].
    if config.nats.is_none() {
        stages.federate = None;
    }
    Ok(stages)
}

async fn rehearse(
    opened: &Opened,
    replay: &mut Replay,
    stages: &Stages,
    chosen: &[Chosen],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let (mut out, mut line) = (BufWriter::new(io::stdout().lock()), 0);
    for step in steps(chosen) {
        let read = read(opened, step).await?;
        tally.gone += step.len() - read.len();
        let trial = replay.decide(read);
        tally.failed += trial::write(&mut out, &trial, stages, &mut line)?;
        out.flush()?;
    }
    Ok(())
}

async fn store(
    opened: &mut Opened,
    replay: &mut Replay,
    chosen: &[Chosen],
    described: &str,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    opened.aside.look().await?;
    for step in steps(chosen) {
        let read = read(opened, step).await?;
        tally.gone += step.len() - read.len();
        let ids: Vec<EntryId> = read.iter().map(|letter| letter.id).collect();
        let trial = replay.decide(read);
        let fates = replay.store(&trial, &mut opened.aside, described).await?;
        ids.into_iter().zip(fates).for_each(|(id, fate)| tally.add(id, fate));
    }
    Ok(())
}

async fn read(opened: &Opened, step: &[Chosen]) -> anyhow::Result<Vec<Letter>> {
    let ids: Vec<EntryId> = step.iter().map(|letter| letter.id).collect();
    let found = opened.letters.get(&ids).await?;
    Ok(found.into_iter().map(|(id, fields)| Letter::new(id, fields)).collect())
}

/// Cuts `chosen` into steps.
fn steps(chosen: &[Chosen]) -> impl Iterator<Item = &[Chosen]> {
    let mut rest = chosen;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(STEP).take_while(|letter| {
            bytes += letter.size;
            bytes <= STEP_BYTES
        });
        let (step, others) = rest.split_at(fits.count().max(1).min(rest.len()));
        rest = others;
        (!step.is_empty()).then_some(step)
    })
}

/// What became of the letters.
#[derive(Debug, Default)]
struct Tally {
    stored: usize,
    suppressed: usize,
    dropped: usize,
    gone: usize,
    unclear: usize,
    failed: usize,
}

impl Tally {
    fn add(&mut self, id: EntryId, fate: Fate) {
        match fate {
            Fate::Stored => self.stored += 1,
            Fate::Suppressed(_) => self.suppressed += 1,
            Fate::Dropped(_) => self.dropped += 1,
            Fate::Gone => self.gone += 1,
            Fate::Unclear => self.unclear += 1,
            Fate::Failed(reason) => {
                self.failed += 1;
                if self.failed <= TOLD {
                    eprintln!("{id} stays: {}", plain(&reason));
                } else if self.failed == TOLD + 1 {
                    eprintln!("… and others; `--dry-run` tells of all, `aurora dead-letter list` shows them");
                }
            }
        }
    }

    fn tell(&self) {
        let numbers = [
            (self.stored, "replayed"),
            (self.dropped, "dropped by the guest"),
            (self.suppressed, "of equal content as other events, and counted towards them"),
            (self.gone, GONE),
            (self.unclear, "replayed or gone before: an answer of Redis was lost that said which"),
            (self.failed, "failed again and stay"),
        ];
        let unknown = self.unclear + self.gone > 0;
        let told = numbers.iter().filter(|(number, what)| *number > 0 || *what == "replayed" && !unknown);
        let told: Vec<_> = told.map(|(number, what)| format!("{number} {what}")).collect();
        say(&told.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_steps_by_number_and_by_bytes_and_loses_none() {
        let of = |sizes: &[usize]| -> Vec<Chosen> {
            let chosen = |(ms, &size)| Chosen { id: EntryId { ms: ms as u64, sequence: 0 }, size };
            sizes.iter().enumerate().map(chosen).collect()
        };
        let lengths = |sizes: &[usize]| steps(&of(sizes)).map(<[Chosen]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[1; 600]), [256, 256, 88]);
        assert_eq!(lengths(&[STEP_BYTES + 1, 1, STEP_BYTES, 1]), [1, 1, 1, 1]);
        assert_eq!(lengths(&[3 << 20, 1 << 20, 1]), [2, 1]);
    }

    #[test]
    fn a_guest_is_named_with_its_stage() {
        assert_eq!(named("route=a=b.wasm"), Ok(("route".to_owned(), "a=b.wasm".into())));
        assert_eq!(named("route/acme=b.wasm"), Ok(("route/acme".to_owned(), "b.wasm".into())));
        assert_eq!(named("inbound=b.wasm"), Ok(("inbound".to_owned(), "b.wasm".into())));
        assert!(named("publish=x.wasm").is_err() && named("x.wasm").is_err());
    }
}
