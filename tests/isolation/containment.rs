//! What each thing that no guest should do costs, in figures: how long until it is contained, and what that costs the
//! other events of its batch and the lane beside it. `make containment` prints the table.

use std::{
    fmt, fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use aurora::{
    config::{self, Config, Grant},
    pipeline::{Decided, Decider, Outcome, Stages},
    sandbox::{Guest, Router, Sandbox},
    telemetry::{Chain, Metrics, Stage},
};
use bytesize::ByteSize;
use cpu_time::ThreadTime;
use harness::{binary, guest_cache, hostile_guest, stock_guest};

use super::{
    crafted::{router, streams},
    deliveries,
};
use crate::guests::trust::bomb;

/// Events of a batch.
const BATCH: usize = 256;

/// Least batches of the lane beside that a figure is made of.
const LEAST: usize = 5;

/// How long a deed is done again and again, for what is beside it to be seen.
const LONG: Duration = Duration::from_millis(200);

/// One tick of the clock by which deadlines are kept.
const TICK: Duration = Duration::from_millis(1);

/// Guests of a site, and a lane over them.
struct Lane {
    decider: Decider,
    sent: u64,
}

impl Lane {
    fn new(stages: &Stages) -> Self {
        Self { decider: Decider::new(stages, 0, Metrics::new()), sent: 0 }
    }

    fn decide<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> Decided {
        self.decider.decide(deliveries(lines, &mut self.sent))
    }
}

/// The hostile guest in all stages, or `route` as router, each with the limits that a site has by default.
fn stages(route: Option<(&Path, ByteSize)>) -> Result<Stages> {
    let mut config = Config::default();
    for guest in [&mut config.guests.normalize, &mut config.guests.route, &mut config.guests.federate] {
        guest.path = hostile_guest()?;
        guest.grants = [Grant::Log].into_iter().collect();
    }
    if let Some((path, memory)) = route {
        (config.guests.route.path, config.guests.route.memory) = (path.to_owned(), memory);
    }
    let sandbox = Sandbox::new(&config.guests, 2)?.compiling_here();
    Stages::load(&config, &sandbox, &Metrics::new(), None).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

/// A lane beside the culprit's, at work all the time: how long its batches take.
struct Beside {
    ends: Arc<AtomicBool>,
    lane: thread::JoinHandle<Vec<Duration>>,
}

impl Beside {
    fn start(stages: &Stages) -> Self {
        let (ends, mut lane) = (Arc::new(AtomicBool::new(false)), Lane::new(stages));
        let ended = Arc::clone(&ends);
        let lane = thread::spawn(move || {
            let mut took = Vec::new();
            while took.len() < LEAST || !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                let decided = lane.decide(["plain"; BATCH]);
                took.push(began.elapsed());
                assert!(decided.dead_letters.is_empty(), "the lane beside lost an event: {:?}", decided.dead_letters);
            }
            took
        });
        Self { ends, lane }
    }

    fn end(self) -> Result<Pace> {
        self.ends.store(true, Ordering::Relaxed);
        let mut took = self.lane.join().map_err(|_| anyhow::anyhow!("the lane beside panicked"))?;
        took.sort();
        let (median, worst) = (took.get(took.len() / 2), took.last());
        Ok(Pace { median: *median.context("it had no time")?, worst: *worst.context("it had no time")? })
    }
}

/// Batches of the lane beside.
#[derive(Clone, Copy)]
struct Pace {
    median: Duration,
    worst: Duration,
}

/// Milliseconds, as the table has them.
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1}", self.0.as_secs_f64() * 1e3))
    }
}

/// A line of the table.
fn row(what: &str, contained: Duration, batch: Option<Duration>, beside: Pace, how: &str) {
    let batch = batch.map_or_else(|| "-".to_owned(), |batch| Ms(batch).to_string());
    println!("{what:<34} {:>10} {batch:>10} {:>8} {:>8}  {how}", Ms(contained), Ms(beside.median), Ms(beside.worst));
}

/// What a lane does about a batch of one: how much CPU time it takes, and what becomes of it.
fn alone(lane: &mut Lane, line: &str) -> (Duration, String) {
    let before = ThreadTime::now();
    let decided = lane.decide([line]);
    let took = before.elapsed();
    (took, decided.dead_letters.first().map(|letter| letter.reason.clone()).unwrap_or_default())
}

/// Deeds of the hostile normalizer, and a word of why each is contained.
const DEEDS: [(&str, &str, &str); 8] = [
    ("spin", "spins", "no answer within"),
    ("recurse", "recurses", "trap"),
    ("hoard", "allocates", "memory"),
    ("flood", "floods the log", ""),
    ("flood-forever", "floods the log for ever", "no answer within"),
    ("huge", "returns 17 MiB", "output"),
    ("ends-beyond", "lies about lengths", "ends at byte"),
    ("counts-overflow", "lies about counts", "ends"),
];

#[test]
fn each_attack_is_contained_and_its_price_is_told() -> Result<()> {
    let stages = stages(None)?;
    let deadline = config::Guest::default().deadline;
    let (mut lane, folder) = (Lane::new(&stages), tempfile::tempdir()?);
    lane.decide(["plain"; BATCH]);
    let beside = Beside::start(&stages);
    let began = Instant::now();
    (0..50).for_each(|_| drop(lane.decide(["plain"; BATCH])));
    let quiet = began.elapsed() / 50;

    println!("\nmilliseconds; a batch has {BATCH} events, a call {deadline:?}, the log 100 lines of a call\n");
    println!("{:<34} {:>10} {:>10} {:>8} {:>8}", "", "contained", "its batch", "lane beside:", "");
    println!("{:<34} {:>10} {:>10} {:>8} {:>8}  how", "a guest that", "(CPU)", "waits", "median", "worst");
    row("does nothing of it", Duration::ZERO, Some(quiet), beside.end()?, "");
    for (deed, what, word) in DEEDS {
        let line = format!("normalize {deed}");
        let (beside, began, mut batches) = (Beside::start(&stages), Instant::now(), 0);
        while batches == 0 || began.elapsed() < LONG {
            let lines = (0..BATCH).map(|i| if i == BATCH / 3 { &*line } else { "plain" });
            let decided = lane.decide(lines);
            let lost = decided.outcomes.iter().filter(|outcome| !matches!(outcome, Outcome::Accepted { .. })).count();
            ensure!(lost == usize::from(!word.is_empty()), "{deed} cost {lost} events: {:?}", decided.dead_letters);
            batches += 1;
        }
        let (batch, beside) = (began.elapsed() / batches, beside.end()?);
        let (contained, how) = undisturbed(&mut lane, &line, deadline);
        ensure!(how.contains(word), "{deed}: no {word:?} in {how}");
        ensure!(contained <= deadline + 4 * TICK, "{deed} is contained after {contained:?}");
        row(what, contained, Some(batch), beside, &short(&how));
    }
    answers(&folder.path().join("liar.wasm"))?;
    loads(&stages, folder.path())?;
    bombs(&stages, folder.path())
}

/// The shortest of a few: what else this machine does delays the clock that ends a call, and is not the guest's.
fn undisturbed(lane: &mut Lane, line: &str, deadline: Duration) -> (Duration, String) {
    let mut best = alone(lane, line);
    for _ in 0..20 {
        if best.0 <= deadline + 2 * TICK {
            break;
        }
        best = std::cmp::min_by_key(best, alone(lane, line), |(took, _)| *took);
    }
    best
}

fn short(how: &str) -> String {
    how.chars().take(60).collect()
}

/// Answers that the component model itself has to see through.
fn answers(path: &Path) -> Result<()> {
    // 4 GiB of memory that it was granted, all of it one list of 2^29 - 2^20 empty names: 13 GB, were they believed.
    let four = (ByteSize::gib(4), streams(1 << 23, (1 << 29) - (1 << 20)), "output");
    let lie = (ByteSize::mib(64), streams(0, u32::MAX), "out of bounds of memory");
    for (what, (memory, call, word)) in [("returns 4 GiB", four), ("returns a list beyond its memory", lie)] {
        let pages = if memory > ByteSize::gib(1) { 65_536 } else { 16 };
        fs::write(path, router(pages, "", &call)?)?;
        let stages = stages(Some((path, memory)))?;
        let (mut lane, beside) = (Lane::new(&stages), Beside::start(&self::stages(None)?));
        let before = resident()?;
        let (contained, how) = alone(&mut lane, "plain");
        let grown = resident()?.saturating_sub(before);
        ensure!(how.contains(word), "{what}: no {word:?} in {how}");
        ensure!(grown < 256 << 20, "{what}: the host has {grown} bytes more");
        row(what, contained, None, beside.end()?, &short(&how));
    }
    Ok(())
}

/// Bytes of this process in memory.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes << 10)
}

/// What is refused before it is in its place.
fn loads(stages: &Stages, folder: &Path) -> Result<()> {
    let unknown = wat::parse_str(r#"(component (import "wasi:sockets/tcp@0.2.0" (instance)))"#)?;
    let slow = router(1, "(loop (br 0))", "(unreachable)")?;
    let vast = router(65_536, "", "(unreachable)")?;
    for (what, wasm, word) in [
        ("imports the unknown", unknown, "wasi:sockets/tcp@0.2.0"),
        ("starts slowly", slow, "does not start"),
        ("begins with 4 GiB of memory", vast, "exceeds the limit"),
    ] {
        let config = config::Guest { path: folder.join("loaded.wasm"), ..config::Guest::default() };
        fs::write(&config.path, wasm)?;
        let sandbox =
            Sandbox::new(&config::Guests { route: config.clone(), ..Default::default() }, 1)?.compiling_here();
        let beside = Beside::start(stages);
        let before = ThreadTime::now();
        let loaded = Guest::<Router>::load(&sandbox, &config, &Metrics::new().guest(Stage::Route));
        let contained = before.elapsed();
        let Err(error) = loaded else { bail!("{what}: it was loaded") };
        let how = Chain(&error).to_string();
        ensure!(how.contains(word), "{what}: no {word:?} in {how}");
        ensure!(contained < Duration::from_secs(3), "{what}: refused after {contained:?}");
        row(what, contained, None, beside.end()?, &format!("refused: {word}"));
    }
    Ok(())
}

/// What takes all there is when it is compiled, in the process that the daemon has for that.
fn bombs(stages: &Stages, folder: &Path) -> Result<()> {
    fs::write(folder.join("bomb.wasm"), bomb(5000, 20_000)?)?;
    for (limit, word) in [("memory = '512MiB'", "512.0 MiB"), ("time = '1s'", "more than 1s")] {
        let config = format!(
            "[site]\nid = 'test'\n[mqtt]\nurl = 'mqtt://127.0.0.1:1'\n[redis]\nurl = 'redis://127.0.0.1:1'\n\
             [guests]\ncache = '{}'\n[guests.normalize]\npath = '{}'\n[guests.federate]\npath = '{}'\n\
             [guests.route]\npath = 'bomb.wasm'\nbreaker.last_good = false\n[guests.compile]\n{limit}\n",
            guest_cache()?.display(),
            stock_guest("normalize-core")?.display(),
            stock_guest("federate-core")?.display(),
        );
        fs::write(folder.join("aurora.toml"), config)?;
        let mut check = Command::new(binary()?);
        check.args(["check", "--config", "aurora.toml"]).current_dir(folder);
        let beside = Beside::start(stages);
        let began = Instant::now();
        let done = check.output()?;
        let (contained, how) = (began.elapsed(), String::from_utf8_lossy(&done.stdout).into_owned());
        ensure!(how.contains(word) && how.contains("1 problem"), "{how}");
        row(&format!("is a compile bomb, {limit}"), contained, None, beside.end()?, "refused (time on the clock)");
    }
    Ok(())
}
