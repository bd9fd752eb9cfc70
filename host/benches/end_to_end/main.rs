//! The whole way, with real brokers and the real daemon: what it costs, how fast it is, how long an event takes.
//!
//! `cargo bench --bench end_to_end` (needs `make guests`, mosquitto, redis-server and nats-server); `-- --quick` for a
//! short form. The table goes to standard output, progress to standard error. Every run is counted: one that lost or
//! doubled an event ends the bench with an error instead of a figure.
//!
//! | module | what it measures |
//! |---|---|
//! | `throughput` | a queued backlog and a live load, MQTT to Redis, alone and with JetStream for half of the events |
//! | `latency` | from the publish to an entry that a blocked XREAD sees, at 5,000 a second |
//! | `start` | from exec to ready, with an empty and a filled cache of compiled guests |
//! | `bare`, `seeds` | what stands beside the daemon: a subscriber that only acknowledges, and the seeds' own design |

mod bare;
mod latency;
mod process;
mod publisher;
mod sample;
mod seeds;
mod site;
mod start;
mod table;
mod throughput;

use anyhow::Result;
use clap::Parser;

use table::Table;
use throughput::{Load, Scenario, Shares, Who};

/// Measures the daemon end to end on private brokers.
#[derive(Debug, Parser)]
struct Args {
    /// How often everything is run, interleaved; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One round, a fifth of the events.
    #[arg(long)]
    quick: bool,
    /// Only scenarios whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Measure with another setting of the daemon: `--set 'lanes.linger = "2ms"'`, again for each.
    #[arg(long, value_name = "TOML")]
    set: Vec<String>,
    /// What cargo tells every bench.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be what stands beside the daemon, in a process of its own, so that its CPU is counted alone.
    #[command(subcommand)]
    beside: Option<Beside>,
}

#[derive(Debug, clap::Subcommand)]
enum Beside {
    #[command(hide = true)]
    Bare(throughput::Task),
    #[command(hide = true)]
    Seeds(throughput::Task),
}

/// Events of a backlog, as the goal has them.
const EVENTS: u64 = 100_000;

fn main() -> Result<()> {
    let args = Args::parse();
    match &args.beside {
        Some(Beside::Bare(task)) => return bare::run(task),
        Some(Beside::Seeds(task)) => return seeds::run(task),
        None => {}
    }
    // One thread: what needs the cores is measured, and is another process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (rounds, events) = if args.quick { (1, EVENTS / 5) } else { (args.rounds.max(1), EVENTS) };
    let mut table = Table::new(rounds, events);
    for round in 1..=rounds {
        for scenario in scenarios() {
            let name = scenario.name();
            if args.only.as_ref().is_some_and(|only| !name.contains(only)) {
                continue;
            }
            // The seeds' design takes ten times as long, and its rate does not depend on the number.
            let events = if scenario.who == Who::Seeds { events / 5 } else { events };
            let figures = runtime.block_on(throughput::run(&scenario, events, &args.set))?;
            eprintln!(
                "round {round}: {name}: {:.0} events/s, {:.2} µs, {:.0} MB",
                figures.rate, figures.cpu_us, figures.memory_mb
            );
            table.throughput(&scenario, figures);
        }
        for shares in [false, true] {
            let name = latency::name(shares);
            if args.only.as_ref().is_some_and(|only| !name.contains(only)) {
                continue;
            }
            let latencies = runtime.block_on(latency::run(shares, if args.quick { 3 } else { 10 }, &args.set))?;
            eprintln!(
                "round {round}: {name}: p50 {:.2} ms, p99 {:.2} ms, {:.1} µs",
                latencies.p50, latencies.p99, latencies.cpu_us
            );
            table.latency(name, latencies);
        }
        if args.only.as_ref().is_none_or(|only| "start".contains(only.as_str())) {
            let times = runtime.block_on(start::run(&args.set))?;
            eprintln!("round {round}: ready after {:.0} ms, with a warm cache {:.0} ms", times.cold_ms, times.warm_ms);
            table.start(times);
        }
    }
    print!("{table}");
    Ok(())
}

/// In the order of the table. Rounds go through all of them, so that a neighbour's load meets each alike.
fn scenarios() -> Vec<Scenario> {
    let scenario = |who, load, qos, shares| Scenario { who, load, qos, shares };
    vec![
        scenario(Who::Daemon, Load::Backlog, 1, Shares::Nothing),
        scenario(Who::Daemon, Load::Backlog, 2, Shares::Nothing),
        scenario(Who::Daemon, Load::Backlog, 1, Shares::Half),
        scenario(Who::Daemon, Load::Backlog, 2, Shares::Half),
        scenario(Who::Daemon, Load::Live, 1, Shares::Nothing),
        scenario(Who::Daemon, Load::Live, 2, Shares::Nothing),
        scenario(Who::Daemon, Load::Live, 1, Shares::Half),
        scenario(Who::Daemon, Load::Backlog, 1, Shares::HalfUntilStored),
        scenario(Who::Plain, Load::Backlog, 1, Shares::HalfUntilStored),
        scenario(Who::Daemon, Load::Live, 1, Shares::HalfUntilStored),
        scenario(Who::Plain, Load::Live, 1, Shares::HalfUntilStored),
        scenario(Who::Bare, Load::Backlog, 1, Shares::Nothing),
        scenario(Who::Bare, Load::Backlog, 2, Shares::Nothing),
        scenario(Who::Bare, Load::Live, 1, Shares::Nothing),
        scenario(Who::Seeds, Load::Backlog, 1, Shares::Nothing),
        scenario(Who::Seeds, Load::Backlog, 2, Shares::Nothing),
        scenario(Who::Seeds, Load::Live, 1, Shares::Nothing),
    ]
}
