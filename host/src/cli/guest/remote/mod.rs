//! Commands that speak to a running daemon, by its admin API.

mod ask;
mod table;
pub mod swap;
pub mod list;
pub mod history;
pub mod change;

use std::process::ExitCode;

use anyhow::Context as _;

use ask::Daemon;

use crate::pipeline::short;

/// Runs a command that speaks to a daemon.
fn asked(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(command)
}
