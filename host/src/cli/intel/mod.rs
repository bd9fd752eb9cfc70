//! `aurora intel`: the indicators that sites tell each other of. Each command works on the site's Redis, beside a daemon that
//! runs and without one.

mod open;
mod list;
mod show;
mod add;
mod expire;
mod export;
mod import;

use std::{io, process::ExitCode};

use anyhow::Context as _;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What is looked out for, in the order in which it ends.
    #[command(after_help = list::EXAMPLES)]
    List(list::Args),
    /// All that is known of one indicator: who tells it, who has seen it, how far it may go.
    #[command(after_help = show::EXAMPLES)]
    Show(show::Args),
    /// Look out for something from now on.
    #[command(after_help = add::EXAMPLES)]
    Add(add::Args),
    /// Look out for something no more.
    #[command(after_help = expire::EXAMPLES)]
    Expire(expire::Args),
    /// Write indicators for others: a STIX 2.1 bundle, or an event of MISP.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Args),
    /// Look out for what a STIX 2.1 bundle has, and no more for what it revokes.
    #[command(after_help = import::EXAMPLES)]
    Import(import::Args),
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = runtime.context("no runtime")?.block_on(async {
        match command {
            Command::List(args) => list::run(&args).await,
            Command::Show(args) => show::run(&args).await,
            Command::Add(args) => add::run(&args).await,
            Command::Expire(args) => expire::run(&args).await,
            Command::Export(args) => export::run(&args).await,
            Command::Import(args) => import::run(&args).await,
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
