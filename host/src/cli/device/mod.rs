//! `aurora device`: who is enrolled, who is there, and whether devices are what they say. Each command works beside a daemon
//! that runs, over Redis; only a challenge needs one.

mod open;
mod list;
mod enroll;
mod revoke;
mod challenge;
mod simulate;

use std::{io, process::ExitCode};

use anyhow::Context as _;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Devices that are enrolled or were heard of: whether they are there, and their last verdict.
    #[command(after_help = list::EXAMPLES)]
    List(list::Args),
    /// Have a device believed: with its public key, or with the key of its next answer.
    #[command(after_help = enroll::EXAMPLES)]
    Enroll(enroll::Args),
    /// Believe a device no more, until the file of devices has another key for it.
    #[command(after_help = revoke::EXAMPLES)]
    Revoke(revoke::Args),
    /// Have the daemon ask a device now, and wait for the verdict.
    #[command(after_help = challenge::EXAMPLES)]
    Challenge(challenge::Args),
    /// Be a device: answer challenges as its firmware would, to try a site with.
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(simulate::Args),
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = runtime.context("no runtime")?.block_on(async {
        match command {
            Command::List(args) => list::run(&args).await,
            Command::Enroll(args) => enroll::run(&args).await,
            Command::Revoke(args) => revoke::run(&args).await,
            Command::Challenge(args) => challenge::run(&args).await,
            Command::Simulate(args) => simulate::run(&args).await,
        }
    });
    match done {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        done => done,
    }
}
