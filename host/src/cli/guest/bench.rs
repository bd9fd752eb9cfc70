//! `aurora guest bench`: what a guest costs, alone or beside another one. Rounds of the two alternate, so that what
//! else the machine does concerns both; medians of rounds are compared, not best ones. Time an event is CPU time, that
//! of a batch is what a lane would wait.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use bytesize::ByteSize;

use super::{find, test::options};
use crate::{
    cli::pipe::user_cache,
    config::Guests,
    event::Context,
    sandbox::Sandbox,
    telemetry::{Chain, Stage},
    trial::{Batch, Case, Raw, Subject, Surroundings, cases_below},
};

/// `aurora guest bench`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the guest, or component.
    #[arg(default_value = ".")]
    guest: PathBuf,
    /// Another one to compare with.
    #[arg(long, value_name = "GUEST")]
    against: Option<PathBuf>,
    /// Events to run on, one a line (of a router or a policy as JSON) [default: the cases of the guest's folder]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Format that the events of --input are declared to have.
    #[arg(long, default_value = "auto")]
    format: String,
    /// The guest's settings with --input: a TOML file with what stands in [guests.<stage>.options]
    #[arg(long, value_name = "FILE", requires = "input")]
    options: Option<PathBuf>,
    /// A folder of cases to run on [default: cases/ of the guest's folder]
    #[arg(long, value_name = "DIR", conflicts_with = "input")]
    cases: Option<PathBuf>,
    /// Events of a batch.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Rounds of each guest.
const ROUNDS: u32 = 10;

/// Events that the batches are made of, before they repeat.
const EVENTS: usize = 4096;

/// One guest and what was measured of it.
struct Side {
    title: String,
    subject: Subject,
    fuel: u64,
    memory: u64,
    /// Nanoseconds of CPU time an event, of each round.
    rounds: Vec<f64>,
    batches: Vec<Duration>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = Guests { cache: user_cache(), ..Guests::default() };
    let sandbox = Sandbox::new(&config, 1)?;
    let counting = Sandbox::for_trials(config.cache.as_deref())?;
    let first = Side::load(&sandbox, &args.guest)?;
    let (batch, around) = events(args, first.subject.stage())?;
    let batches = batch.repeated(args.batch as usize, EVENTS.max(args.batch as usize));
    let mut sides = vec![first];
    if let Some(other) = &args.against {
        let other = Side::load(&sandbox, other)?;
        let stages = (sides[0].subject.stage(), other.subject.stage());
        ensure!(stages.0 == stages.1, "one is of stage {}, the other of {}", stages.0, stages.1);
        sides.push(other);
    }
    for (side, path) in sides.iter_mut().zip([Some(&args.guest), args.against.as_ref()].into_iter().flatten()) {
        side.count(&counting, path, &batches, &around)?;
    }
    let round = Duration::from_secs(args.seconds) / ROUNDS / sides.len() as u32;
    for _ in 0..ROUNDS {
        for side in &mut sides {
            side.round(&batches, &around, round)?;
        }
    }
    say!(
        "{} different events in batches of {}, each in a fresh instance, {ROUNDS} rounds in {} s\n",
        batch.len(),
        args.batch,
        args.seconds
    );
    say!("{}", table(&sides).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// What to run on, and with which settings: those of the first case, for a batch has but one.
fn events(args: &Args, stage: Stage) -> anyhow::Result<(Batch, Surroundings)> {
    if let Some(path) = &args.input {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let around = Surroundings::new(options(args.options.as_deref())?, &[], &[]);
        if stage == Stage::Normalize {
            let context = Context { source: "bench".to_owned(), format: args.format.clone(), ..Context::default() };
            let context = std::sync::Arc::new(context);
            let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            let events: Vec<_> = lines
                .map(|line| Raw { context: context.clone(), received_ms: 0, payload: Bytes::copy_from_slice(line) })
                .collect();
            ensure!(!events.is_empty(), "there is no event in {}", path.display());
            return Ok((Batch::Raw(events), around));
        }
        let case = Case::of_input(path, bytes);
        return Ok((case.batch(stage).map_err(|error| anyhow::anyhow!("{}", Chain(&error)))?, around));
    }
    let own = args.guest.join("cases");
    let Some(folder) = args.cases.clone().or_else(|| own.is_dir().then_some(own)) else {
        bail!("nothing to run on: name events with --input, or cases with --cases");
    };
    let mut all: Option<(Batch, Surroundings)> = None;
    for folder in cases_below(&folder)? {
        let case = Case::read(&folder)?;
        let batch = case.batch(stage)?;
        match &mut all {
            Some((events, around)) => {
                events.append(batch);
                around.streams.extend(case.about.streams);
                around.subjects.extend(case.about.subjects);
            }
            None => all = Some((batch, case.surroundings()?)),
        }
    }
    all.with_context(|| format!("there are no cases in {}", folder.display()))
}

impl Side {
    fn load(sandbox: &Sandbox, path: &Path) -> anyhow::Result<Self> {
        let wasm = find::built(path)?.wasm;
        let subject = Subject::load(sandbox, &wasm).map_err(|error| anyhow::anyhow!("{}", Chain(&error)))?;
        let digest = subject.digest().to_string();
        let short = digest.get(7..15).unwrap_or_default();
        let title = format!("{} {short}", subject.name());
        Ok(Self { title, subject, fuel: 0, memory: 0, rounds: Vec::new(), batches: Vec::new() })
    }

    /// Fuel and memory, on the engine that counts them.
    fn count(
        &mut self,
        counting: &Sandbox,
        path: &Path,
        batches: &[Batch],
        around: &Surroundings,
    ) -> anyhow::Result<()> {
        let wasm = find::built(path)?.wasm;
        let subject = Subject::load(counting, &wasm).map_err(|error| anyhow::anyhow!("{}", Chain(&error)))?;
        let (mut fuel, mut events) = (0, 0u64);
        for batch in batches {
            let run = subject.pace(batch, around);
            run.outcomes
                .with_context(|| format!("{} fails on these events; aurora guest test tells more", self.title))?;
            fuel += run.cost.fuel;
            events += batch.len() as u64;
            self.memory = self.memory.max(run.cost.memory);
        }
        self.fuel = fuel / events.max(1);
        Ok(())
    }

    fn round(&mut self, batches: &[Batch], around: &Surroundings, length: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let (mut spent, mut events) = (Duration::ZERO, 0usize);
        for batch in batches.iter().cycle() {
            let run = self.subject.pace(batch, around);
            run.outcomes.with_context(|| format!("{} fails on these events", self.title))?;
            spent += run.cpu;
            events += batch.len();
            self.batches.push(run.took);
            if begun.elapsed() >= length {
                break;
            }
        }
        self.rounds.push(spent.as_nanos() as f64 / events.max(1) as f64);
        Ok(())
    }

    fn nanoseconds(&self) -> f64 {
        median(&self.rounds)
    }

    /// Time of a batch below which this part of them lies.
    fn milliseconds(&self, part: f64) -> f64 {
        let mut sorted = self.batches.clone();
        sorted.sort_unstable();
        let at = ((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Rows of figures, a column for each side, and the first one's part of the second.
fn table(sides: &[Side]) -> String {
    type Row = (&'static str, fn(&Side) -> f64, fn(f64) -> String);
    let rows: [Row; 8] = [
        ("events a second", |side| 1e9 / side.nanoseconds(), |figure| format!("{figure:.0}")),
        ("ns an event", Side::nanoseconds, |figure| format!("{figure:.0}")),
        ("fuel an event", |side| side.fuel as f64, |figure| format!("{figure:.0}")),
        ("memory", |side| side.memory as f64, |figure| ByteSize(figure as u64).to_string()),
        ("ms a batch, p50", |side| side.milliseconds(0.5), |figure| format!("{figure:.3}")),
        ("ms a batch, p99", |side| side.milliseconds(0.99), |figure| format!("{figure:.3}")),
        ("ms a batch, p99.9", |side| side.milliseconds(0.999), |figure| format!("{figure:.3}")),
        ("ms a batch, most", |side| side.milliseconds(1.0), |figure| format!("{figure:.3}")),
    ];
    let width = sides.iter().map(|side| side.title.len()).max().unwrap_or_default().max(12);
    let mut text = format!("{:<18}", "");
    sides.iter().for_each(|side| text += &format!("  {:>width$}", side.title));
    if sides.len() == 2 {
        text += "     ratio";
    }
    text.push('\n');
    for (name, figure, written) in rows {
        let figures: Vec<f64> = sides.iter().map(figure).collect();
        text += &format!("{name:<18}");
        figures.iter().for_each(|&figure| text += &format!("  {:>width$}", written(figure)));
        if let [one, other] = figures[..] {
            text += &format!("  {:>8.2}", one / other.max(f64::MIN_POSITIVE));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_no_mean() {
        assert!((median(&[1.0, 100.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
