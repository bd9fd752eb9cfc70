//! `aurora guest`: what guest authors need.

/// Prints a line. Whoever reads may have seen enough, as `head` does; the exit code says the rest.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

mod new;
mod build;
mod find;
mod test;
mod bench;
mod inspect;

use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a folder with a guest that builds and passes its tests, to begin with.
    New(new::Args),
    /// Build guests written in Rust into components, and check what they import.
    Build(build::Args),
    /// Run a component on its cases, on recordings and on hostile input, within budgets; needs no broker.
    Test(test::Args),
    /// Measure what a component costs, alone or beside another one.
    Bench(bench::Args),
    /// Say what a component is, what it wants, and whether this host runs it.
    Inspect(inspect::Args),
}

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::New(args) => new::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Inspect(args) => inspect::run(&args),
    }
}
