//! How many events a second, what each costs, and how much memory it takes.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use aurora::cli::demo::{brokers::Child, daemon::Daemon};

use crate::{
    process,
    publisher::Publisher,
    sample,
    site::{self, Site, messages},
};

/// Who takes the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The daemon.
    Daemon,
    /// The daemon without the atomic step: plain entries in a pipeline, nothing recognised.
    Plain,
    /// A subscriber that only acknowledges: see `bare`.
    Bare,
    /// The seeds' design: see `seeds`.
    Seeds,
}

/// How the events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// All of them wait in the broker's queue.
    Backlog,
    /// A publisher sends as fast as the broker takes them.
    Live,
}

/// Where half of the events go besides Redis' streams, and when the clock stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shares {
    /// Nowhere.
    Nothing,
    /// To JetStream: it stops when the last one is there.
    Half,
    /// To JetStream as well, but it stops when all are in Redis, in the streams and in the outbox. What the step costs,
    /// and not what NATS can take.
    HalfUntilStored,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub who: Who,
    pub load: Load,
    pub qos: u8,
    pub shares: Shares,
}

impl Scenario {
    pub fn name(&self) -> String {
        let load = match self.load {
            Load::Backlog => "backlog",
            Load::Live => "live",
        };
        let what = match (self.who, self.shares) {
            (Who::Daemon, Shares::Nothing) => "aurora, to Redis",
            (Who::Daemon, Shares::Half) => "aurora, half to JetStream too",
            (Who::Daemon, Shares::HalfUntilStored) => "aurora, streams and outbox",
            (Who::Plain, _) => "plain XADD, streams and outbox",
            (Who::Bare, _) => "bare: acknowledges only",
            (Who::Seeds, _) => "seeds: one awaited XADD each",
        };
        format!("{load}, QoS {}, {what}", self.qos)
    }
}

/// What a run gave.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Events a second, until the last one is where it belongs.
    pub rate: f64,
    /// CPU of the process that takes them, microseconds an event.
    pub cpu_us: f64,
    /// Most resident memory, MB.
    pub memory_mb: f64,
}

/// What a process beside the daemon is told.
#[derive(Debug, clap::Args)]
pub struct Task {
    #[arg(long)]
    pub mqtt: u16,
    #[arg(long)]
    pub redis: u16,
    #[arg(long)]
    pub qos: u8,
    /// After so many it ends; 0 only makes the subscription.
    #[arg(long)]
    pub events: u64,
}

/// Longest that a run may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Between two looks at what has come out.
const LOOK: Duration = Duration::from_millis(1);

/// One run, with brokers of its own.
pub async fn run(scenario: &Scenario, events: u64, settings: &[String]) -> Result<Figures> {
    let mut settings = settings.to_vec();
    if scenario.who == Who::Plain {
        settings.push("redis.step = \"plain\"".to_owned());
    }
    let site = Site::start(scenario.qos, scenario.shares != Shares::Nothing, &settings).await?;
    let name = scenario.name();
    let figures = match scenario.who {
        Who::Daemon | Who::Plain => daemon(&site, scenario, events).await,
        who => beside(&site, who, scenario, events).await,
    };
    let figures = figures.with_context(|| name.clone())?;
    if scenario.who != Who::Bare {
        site.count(events).await.context(name)?;
    }
    Ok(figures)
}

async fn daemon(site: &Site, scenario: &Scenario, events: u64) -> Result<Figures> {
    let (mut daemon, publishing) = match scenario.load {
        Load::Backlog => {
            // Its session is made, then it is away while the backlog gathers.
            let daemon = site.ready().await?;
            site.end(daemon).await?;
            Publisher::connect(site.mqtt.port())?.publish(events, scenario.qos)?;
            (site.launch(&site::cache())?, None)
        }
        Load::Live => {
            let daemon = site.ready().await?;
            (daemon, Some(publish(site.mqtt.port(), scenario.qos, events)))
        }
    };
    let figures = watch(site, &mut daemon, scenario, events).await.with_context(|| daemon.log())?;
    if let Some(publishing) = publishing {
        publishing.join().map_err(|_| anyhow::anyhow!("the publisher broke down"))??;
    }
    site.end(daemon).await?;
    Ok(figures)
}

fn publish(port: u16, qos: u8, events: u64) -> thread::JoinHandle<Result<()>> {
    thread::spawn(move || Publisher::connect(port)?.publish(events, qos))
}

/// Looks at Redis, and at JetStream where something is shared, until everything is there. The clocks start with the
/// last look that saw nothing, so a start is not counted and the first batch is.
async fn watch(site: &Site, daemon: &mut Daemon, scenario: &Scenario, events: u64) -> Result<Figures> {
    let (mut redis, jetstream, pid) = (site.redis()?, site.jetstream().await?, daemon.pid());
    let shared = (0..events).filter(|&index| sample::is_shared(index)).count() as u64;
    let deadline = Instant::now() + PATIENCE;
    let mut begun = (Instant::now(), process::cpu(pid)?);
    let mut when_stored = None;
    loop {
        let now = (Instant::now(), process::cpu(pid)?);
        let stored: u64 = redis::cmd("XLEN").arg(sample::STREAM).query(&mut redis)?;
        if stored == 0 {
            begun = now;
        }
        let sent = match &jetstream {
            Some(jetstream) if stored >= events => messages(jetstream).await,
            Some(_) => 0,
            None => shared,
        };
        if stored >= events {
            let (seconds, cpu) = (begun.0.elapsed().as_secs_f64(), process::cpu(pid)? - begun.1);
            let figures = figures(events, seconds, cpu, process::peak_memory(pid)?);
            let when_stored = *when_stored.get_or_insert(figures);
            if sent >= shared {
                // The rest is waited for in any case, so that it can be counted.
                return Ok(if scenario.shares == Shares::HalfUntilStored { when_stored } else { figures });
            }
        }
        ensure!(Instant::now() < deadline, "only {stored} of {events} stored and {sent} sent");
        tokio::time::sleep(LOOK).await;
    }
}

fn figures(events: u64, seconds: f64, cpu: f64, memory_mb: f64) -> Figures {
    Figures { rate: events as f64 / seconds, cpu_us: cpu / events as f64 * 1e6, memory_mb }
}

/// A run of this program in another role.
async fn beside(site: &Site, who: Who, scenario: &Scenario, events: u64) -> Result<Figures> {
    let start = |events: u64| -> Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(if who == Who::Bare { "bare" } else { "seeds" });
        let told = [
            ("--mqtt", u64::from(site.mqtt.port())),
            ("--redis", u64::from(site.redis.port())),
            ("--qos", u64::from(scenario.qos)),
            ("--events", events),
        ];
        for (name, value) in told {
            command.arg(name).arg(value.to_string());
        }
        Ok(Child::start_command("the program beside", &command, Path::new(&site.folder.path().join("beside.log")))?)
    };
    let mut child = match scenario.load {
        Load::Backlog => {
            let mut child = start(0)?;
            said(&mut child, "ready").await?;
            let status = child.wait(PATIENCE).await.context("does not end")?;
            ensure!(status.success(), "{}", child.log());
            Publisher::connect(site.mqtt.port())?.publish(events, scenario.qos)?;
            start(events)?
        }
        Load::Live => {
            let mut child = start(events)?;
            said(&mut child, "ready").await?;
            let publishing = publish(site.mqtt.port(), scenario.qos, events);
            while !publishing.is_finished() {
                tokio::time::sleep(LOOK).await;
            }
            publishing.join().map_err(|_| anyhow::anyhow!("the publisher broke down"))??;
            child
        }
    };
    let line = said(&mut child, "done ").await?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [seconds, cpu, memory_mb] = numbers[..] else { bail!("`{line}` from the program beside") };
    Ok(figures(events, seconds, cpu, memory_mb))
}

/// Waits for a line that begins so.
async fn said(child: &mut Child, begins: &str) -> Result<String> {
    let offset = child.log_offset();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = child.log_from(offset);
        if let Some(line) = log.lines().find(|line| line.starts_with(begins)) {
            return Ok(line.to_owned());
        }
        ensure!(child.exit_status().is_none() && Instant::now() < deadline, "no `{begins}`: {log}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The last words of a program beside the daemon: for how long and for how much CPU it took events.
pub fn say_done(seconds: f64) -> Result<()> {
    let pid = std::process::id();
    println!("done {seconds} {} {}", process::cpu(pid)?, process::peak_memory(pid)?);
    Ok(())
}
