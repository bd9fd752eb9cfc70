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

/// Runs a command that speaks to a daemon.
fn asked(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(command)
}

/// A digest as a person reads it.
fn short(digest: &str) -> &str {
    let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
    digest.get(..12).unwrap_or(digest)
}
