//! `aurora dead-letter`: what could not be processed. Each command works beside a daemon that runs, and without one.

mod open;
mod filter;
mod choice;
mod list;
mod count;
mod show;
mod replay;
mod trial;
mod discard;

use std::{io, process::ExitCode};

use anyhow::Context as _;

pub(super) use filter::when;
pub(super) use open::{Opened, Place};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What there is, newest first; with --count, what fails and how often.
    #[command(after_help = list::EXAMPLES)]
    List(list::Args),
    /// One letter, with everything that is known of it.
    #[command(after_help = show::EXAMPLES)]
    Show(show::Args),
    /// Run letters through the guests again, and store what comes of it. A letter goes in the very step that stores its
    /// events, so an interrupted replay is simply run again; one that fails again stays.
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::Args),
    /// Throw letters away for good.
    #[command(after_help = discard::EXAMPLES)]
    Discard(discard::Args),
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let done = runtime.block_on(async {
        match command {
            Command::List(args) => list::run(&args).await,
            Command::Show(args) => show::run(&args).await,
            Command::Replay(args) => replay::run(&args).await,
            Command::Discard(args) => discard::run(&args).await,
        }
    });
    match done {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        done => done,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
