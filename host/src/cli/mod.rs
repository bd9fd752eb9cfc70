//! The commands.

pub mod check;
mod dead_letter;
pub mod demo;
mod device;
pub(crate) mod entry;
mod explain;
mod guest;
mod intel;
mod loaded;
mod pipe;
mod run;
mod spool;
mod stock;
mod tap;
mod terminal;
mod trials;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::sandbox::{CompileJob, compile_in_child};

/// Takes security events from MQTT and HTTP, has sandboxed WebAssembly components decide what they mean, and publishes
/// them to Redis Streams and, for other sites, to NATS JetStream.
#[derive(Debug, Parser)]
#[command(name = "aurora", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Run(run::Args),
    /// Say everything that is wrong with a configuration, without starting anything.
    Check(check::Args),
    /// Run raw events from standard input through the guests and print what they decide; needs no broker.
    #[command(after_help = pipe::EXAMPLES)]
    Pipe(pipe::Args),
    /// Look at what could not be processed, run it again, or throw it away.
    #[command(subcommand, visible_alias = "dead-letters")]
    DeadLetter(dead_letter::Command),
    /// Follow one event from its raw bytes to its last place: guests, decisions, reasons, streams, subject, ack.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Args),
    /// Enrol devices, ask them whether they are what they say, and see who is there.
    #[command(subcommand)]
    Device(device::Command),
    /// Shared indicators: what other sites tell, what was seen here; add, expire, export and import them.
    #[command(subcommand)]
    Intel(intel::Command),
    /// Watch events as they come: normalized ones, dead letters, what leaves the site, the audit trail.
    #[command(after_help = tap::EXAMPLES)]
    Tap(tap::Args),
    /// Look at what the spool could not keep in its queue, and store it.
    #[command(subcommand)]
    Spool(spool::Command),
    /// Start private brokers and the daemon in a temporary folder, play sample traffic, and show what comes out.
    Demo(demo::Args),
    /// Guests of your own: begin, build, test, measure, look at them; sign them, take them from registries, exchange those
    /// of a running daemon.
    #[command(subcommand)]
    Guest(guest::Command),
    /// What this program executes itself as, to compile a guest. Not for people.
    #[command(hide = true)]
    CompileGuest(CompileJob),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args, trials::attempt),
        Command::Pipe(args) => pipe::run(args),
        Command::DeadLetter(command) => dead_letter::run(command),
        Command::Explain(args) => explain::run(&args),
        Command::Device(command) => device::run(command),
        Command::Intel(command) => intel::run(command),
        Command::Tap(args) => tap::run(&args),
        Command::Spool(command) => spool::run(command),
        Command::Demo(args) => demo::run(args),
        Command::Guest(command) => guest::run(command),
        // Not by returning: what the daemon sets up at the start or tidies up at its end is not for this one.
        Command::CompileGuest(job) => std::process::exit(compile_in_child(&job)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("aurora: {error:#}");
            ExitCode::FAILURE
        }
    }
}
