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
mod remote;
mod keygen;
mod sign;
mod verify;
mod registry;

use std::process::ExitCode;

use remote::{change, history, list, swap};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a folder with a guest that builds and passes its tests, to begin with.
    New(new::Args),
    /// Build guests in Rust, JavaScript, Python or C into components, and check what they import.
    Build(build::Args),
    /// Run a component on its cases, on recordings and on hostile input, within budgets; needs no broker.
    Test(test::Args),
    /// Measure what a component costs, alone or beside another one.
    Bench(bench::Args),
    /// Say what a component is, what it wants, and whether this host runs it.
    Inspect(inspect::Args),
    /// Put another guest into a slot of a running daemon, at once or after a rehearsal on live events.
    #[command(after_help = swap::EXAMPLES)]
    Swap(swap::Args),
    /// Which guests a running daemon has, and why.
    #[command(after_help = "\
Example:
  aurora guest list --config aurora.toml

EVENTS, FAULTS and NS/EVENT (CPU time) count from SINCE on. BEFORE is what a roll-back brings back.")]
    List(list::Args),
    /// What befell a slot of a running daemon, newest first.
    #[command(after_help = "\
Example:
  aurora guest history normalize --config aurora.toml")]
    History(history::Args),
    /// Take the guest that ran before.
    #[command(after_help = "\
Example:
  aurora guest rollback normalize/acme --config aurora.toml

Once more brings the other one back.")]
    Rollback(change::Args),
    /// Put what was rehearsed into its slot.
    #[command(after_help = "\
Example:
  aurora guest promote normalize --config aurora.toml")]
    Promote(change::Args),
    /// End a rehearsal, or clear its report away.
    #[command(after_help = "\
Example:
  aurora guest end-rehearsal normalize --config aurora.toml")]
    EndRehearsal(change::Args),
    /// Make a pair of keys to sign guests with.
    #[command(after_help = keygen::EXAMPLES)]
    Keygen(keygen::Args),
    /// Sign components.
    #[command(after_help = sign::EXAMPLES)]
    Sign(sign::Args),
    /// Check the signatures of components.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Args),
    /// Take a guest from an OCI registry, and say what its tag stands for.
    #[command(after_help = registry::PULL_EXAMPLES)]
    Pull(registry::Pull),
    /// Put a guest into an OCI registry, with its signatures.
    #[command(after_help = registry::PUSH_EXAMPLES)]
    Push(registry::Push),
}

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::New(args) => new::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Swap(args) => swap::run(&args),
        Command::List(args) => list::run(&args),
        Command::History(args) => history::run(&args),
        Command::Rollback(args) => change::roll_back(&args),
        Command::Promote(args) => change::promote(&args),
        Command::EndRehearsal(args) => change::end_rehearsal(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Pull(args) => registry::pull(&args),
        Command::Push(args) => registry::push(&args),
    }
}
