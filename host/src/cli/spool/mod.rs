//! `aurora spool`: what the spool could not keep in its queue. Each command works beside a daemon that runs, for that
//! one never reads `damaged/` again.

mod list;
mod show;
mod recover;

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, ensure};

use crate::{cli::loaded, config::Config, spool::SetAside};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What was set aside in damaged/: which files, why, and whether their bytes are as they were written.
    List(list::Args),
    /// Everything that can be read out of a file, one JSON object a line: events, messages for other sites, dead letters.
    #[command(after_help = show::EXAMPLES)]
    Show(show::Args),
    /// Store what Redis lacks of files, and remove them. Each is stored in one step that is known when it comes again, so an
    /// interrupted recovery is simply run again.
    #[command(after_help = recover::EXAMPLES)]
    Recover(recover::Args),
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::List(args) => list::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Recover(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
            runtime.block_on(recover::run(&args))
        }
    };
    match done {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        done => done,
    }
}

/// Where the files are.
#[derive(Debug, clap::Args)]
struct Place {
    /// The daemon's configuration; of it [spool] is used, and [redis] to recover. Without it only what the environment
    /// sets.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The configuration, and all that was set aside.
    fn open(&self) -> anyhow::Result<(Config, Vec<SetAside>)> {
        let config = loaded::load(self.config.as_deref())?;
        let spool = config.spool.as_ref().filter(|spool| !spool.path.as_os_str().is_empty());
        let spool = spool.context("no [spool] is configured; name the daemon's configuration with --config FILE")?;
        let all = SetAside::list(&spool.path).context("run this as the user that the daemon runs as")?;
        Ok((config, all))
    }
}

/// The files of `all` that are `named`.
fn chosen(all: Vec<SetAside>, named: &[String]) -> anyhow::Result<Vec<SetAside>> {
    // As a shell completes them.
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let named: Vec<String> = named.iter().map(|name| last(name)).collect();
    for name in &named {
        ensure!(all.iter().any(|one| one.file == *name), "damaged/ has no file {name}; `aurora spool list` shows them");
    }
    Ok(all.into_iter().filter(|one| named.contains(&one.file)).collect())
}

/// A number with its noun.
pub(super) fn files(number: usize) -> String {
    format!("{number} file{}", if number == 1 { "" } else { "s" })
}
