//! `aurora guest`: what guest authors need.

mod build;

use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Build guests written in Rust into components, and check what they import.
    Build(build::Args),
}

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Build(args) => build::run(&args),
    }
}
