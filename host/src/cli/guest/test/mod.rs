//! `aurora guest test`: the shipped component on cases, recordings and hostile input, within budgets. No broker, no
//! daemon.

mod check;
mod diff;
mod fault;
mod junit;
mod report;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use bytesize::ByteSize;

use self::{check::Checks, report::Report};
use super::find::{self, Built};
use crate::{
    cli::pipe::user_cache,
    sandbox::{Sandbox, Settings},
    telemetry::Chain,
    trial::{Budget, Subject, read_options},
};

/// `aurora guest test`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 if everything passes, 1 if something does not, 2 if a guest cannot be tested.

A case is a folder with `input`; `case.toml` says where it came from (source, format, topic, received_ms, framing,
[options], …), `expected.json` what must come out. `cases/budget.toml` has max_fuel, max_memory and max_output.
For a router or a policy `input` holds normalized events, a line of JSON each, as `aurora pipe` prints them.")]
pub struct Args {
    /// Folders of guests, or components.
    #[arg(default_value = ".")]
    guests: Vec<PathBuf>,
    /// The component to test with the cases of the folder.
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// A folder of cases, or one case [default: cases/ of the guest's folder]
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Write what comes out into each expected.json.
    #[arg(long)]
    update: bool,
    /// Also run what `aurora pipe --record FILE` has written, and compare.
    #[arg(long, value_name = "FILE")]
    recorded: Vec<PathBuf>,
    /// The guest's settings for recordings, and for hostile input where there are no cases: a TOML file with what stands
    /// in [guests.<stage>.options]
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// How many hostile inputs to make; 0 for none.
    #[arg(long, default_value_t = 200, value_name = "N")]
    hostile: usize,
    /// Seed of the hostile inputs [default: out of the guest's digest]
    #[arg(long)]
    seed: Option<u64>,
    /// Most fuel an event, about one for each instruction.
    #[arg(long, value_name = "UNITS")]
    max_fuel: Option<u64>,
    /// Most linear memory.
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<ByteSize>,
    /// Most bytes of an answer.
    #[arg(long, value_name = "SIZE")]
    max_output: Option<ByteSize>,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// A guest cannot be tested at all.
const UNTESTABLE: u8 = 2;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (mut reports, mut untestable) = (Vec::new(), false);
    for guest in &args.guests {
        match test(args, guest) {
            Ok(report) => reports.push(report),
            Err(error) => {
                eprintln!("aurora: {error:#}");
                untestable = true;
            }
        }
    }
    if let Some(path) = &args.junit {
        let xml = junit::xml(&reports).context("cannot make the JUnit report")?;
        std::fs::write(path, xml).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(match (untestable, reports.iter().all(Report::passed)) {
        (true, _) => ExitCode::from(UNTESTABLE),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

fn test(args: &Args, guest: &Path) -> anyhow::Result<Report> {
    let built = match &args.wasm {
        Some(wasm) => Built { wasm: wasm.clone(), folder: guest.is_dir().then(|| guest.to_owned()) },
        None => find::built(guest)?,
    };
    let sandbox = Sandbox::for_trials(user_cache().as_deref())?;
    let subject = Subject::load(&sandbox, &built.wasm).map_err(|error| anyhow::anyhow!("{}", Chain(&error)))?;
    let own = built.folder.as_ref().map(|folder| folder.join("cases")).filter(|folder| folder.is_dir());
    let cases = args.cases.clone().or(own);
    let budget = budget(args, cases.as_deref())?;
    let mut report = Report::new(&subject, &built.wasm);
    let mut checks = Checks {
        subject: &subject,
        guest,
        wasm: &built.wasm,
        budget,
        settings: options(args.options.as_deref())?,
        report: &mut report,
        told: BTreeSet::new(),
    };
    let tried = match &cases {
        Some(cases) => checks.cases(cases, args.update)?,
        None => Vec::new(),
    };
    for recording in &args.recorded {
        checks.recording(recording)?;
    }
    if args.hostile > 0 {
        checks.hostile(&tried, args.hostile, args.seed)?;
    }
    report.close();
    anyhow::ensure!(report.asked(), "{} was asked nothing: give it cases, or --hostile", built.wasm.display());
    Ok(report)
}

/// The settings that a file says; none without one.
pub(super) fn options(path: Option<&Path>) -> anyhow::Result<Arc<Settings>> {
    let read = |path| read_options(path).map_err(|error| anyhow::anyhow!("{}", Chain(&error)));
    Ok(Arc::new(path.map(read).transpose()?.unwrap_or_default()))
}

/// What the command line says, else `budget.toml` beside the cases.
fn budget(args: &Args, cases: Option<&Path>) -> anyhow::Result<Budget> {
    let told = Budget { max_fuel: args.max_fuel, max_memory: args.max_memory, max_output: args.max_output };
    let Some(path) = cases.map(|cases| cases.join("budget.toml")).filter(|path| path.is_file()) else {
        return Ok(told);
    };
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let written = toml::from_str(&text).with_context(|| format!("{} is not as a budget is", path.display()))?;
    Ok(told.or(written))
}
