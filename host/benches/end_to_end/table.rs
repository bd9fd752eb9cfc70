//! One table of medians, with the goals of the design beside them.

use std::fmt;

use crate::{
    latency::Latencies,
    start::Times,
    throughput::{Figures, Load, Scenario, Shares, Who},
};

/// Figures of all rounds.
pub struct Table {
    rounds: usize,
    events: u64,
    throughput: Vec<(Scenario, Vec<Figures>)>,
    latency: Vec<(&'static str, Vec<Latencies>)>,
    start: Vec<Times>,
}

/// What a scenario has to reach; nothing where the design says nothing.
#[derive(Default)]
struct Goals {
    rate: Option<f64>,
    cpu_us: Option<f64>,
    memory_mb: Option<f64>,
}

/// Times the rate of the seeds' design.
const TIMES_SEEDS: f64 = 5.0;
/// What exactly-once may leave of the rate of plain pipelined XADD, both with an outbox that is being sent.
const LEAST_OF_PLAIN: f64 = 0.7;
const P50_MS: f64 = 3.0;
const P99_MS: f64 = 10.0;
const WARM_START_MS: f64 = 300.0;

impl Goals {
    fn of(scenario: &Scenario) -> Self {
        if scenario.who != Who::Daemon {
            return Self::default();
        }
        // The design speaks of QoS 1; what QoS 2 needs on top is shown and not judged.
        let rate = match (scenario.qos, scenario.shares, scenario.load) {
            (1, Shares::Nothing, Load::Backlog) => Some(60_000.0),
            (1, Shares::Half, _) => Some(25_000.0),
            _ => None,
        };
        let cpu_us = (scenario.qos == 1 && scenario.shares == Shares::Nothing).then_some(12.0);
        Self { rate, cpu_us, memory_mb: Some(100.0) }
    }
}

impl Table {
    /// An empty one.
    pub fn new(rounds: usize, events: u64) -> Self {
        Self { rounds, events, throughput: Vec::new(), latency: Vec::new(), start: Vec::new() }
    }

    /// Enters a run.
    pub fn throughput(&mut self, scenario: &Scenario, figures: Figures) {
        match self.throughput.iter_mut().find(|(known, _)| known == scenario) {
            Some((_, all)) => all.push(figures),
            None => self.throughput.push((*scenario, vec![figures])),
        }
    }

    /// Enters a run.
    pub fn latency(&mut self, name: &'static str, latencies: Latencies) {
        match self.latency.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(latencies),
            None => self.latency.push((name, vec![latencies])),
        }
    }

    /// Enters a run.
    pub fn start(&mut self, times: Times) {
        self.start.push(times);
    }

    fn rate(&self, who: Who, load: Load, shares: Shares) -> Option<f64> {
        let wanted = Scenario { who, load, qos: 1, shares };
        let (_, all) = self.throughput.iter().find(|(scenario, _)| *scenario == wanted)?;
        Some(median(all, |figures| figures.rate))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "End to end: mosquitto → daemon → Redis (appendonly, everysec) and JetStream, all on this machine; {} alerts \
             of 301 bytes; medians of {}",
            thousands(self.events as f64),
            self.rounds
        )?;
        let head = ["", "events/s", "goal", "CPU µs", "goal", "MB", "goal"];
        row(f, head[0], &head[1..], "verdict")?;
        for (scenario, all) in &self.throughput {
            let goals = Goals::of(scenario);
            let rate = median(all, |figures| figures.rate);
            let cpu = median(all, |figures| figures.cpu_us);
            let memory = median(all, |figures| figures.memory_mb);
            let cells = [
                thousands(rate),
                goals.rate.map_or_else(String::new, |goal| format!("≥ {}", thousands(goal))),
                format!("{cpu:.2}"),
                goals.cpu_us.map_or_else(String::new, |goal| format!("≤ {goal}")),
                format!("{memory:.0}"),
                goals.memory_mb.map_or_else(String::new, |goal| format!("< {goal}")),
            ];
            let missed = [
                goals.rate.and_then(|goal| at_least("events/s", rate, goal)),
                goals.cpu_us.and_then(|goal| at_most("CPU", cpu, goal)),
                goals.memory_mb.and_then(|goal| at_most("MB", memory, goal)),
            ];
            let judged = goals.rate.is_some() || goals.cpu_us.is_some() || goals.memory_mb.is_some();
            row(f, &scenario.name(), &cells, &if judged { verdict(missed) } else { String::new() })?;
        }
        for (load, name) in [(Load::Backlog, "backlog"), (Load::Live, "live")] {
            let rate = |who| self.rate(who, load, Shares::Nothing);
            if let (Some(ours), Some(theirs)) = (rate(Who::Daemon), rate(Who::Seeds)) {
                let (times, name) = (ours / theirs, format!("{name}, QoS 1, times the seeds' rate"));
                let cells = [format!("{times:.1}"), format!("≥ {TIMES_SEEDS}")];
                row(f, &name, &cells, &verdict([at_least("times", times, TIMES_SEEDS)]))?;
            }
        }
        for (load, name) in [(Load::Backlog, "backlog"), (Load::Live, "live")] {
            let rate = |who| self.rate(who, load, Shares::HalfUntilStored);
            if let (Some(ours), Some(plain)) = (rate(Who::Daemon), rate(Who::Plain)) {
                let (part, name) = (ours / plain, format!("{name}, QoS 1, exactly once, part of plain"));
                let cells = [format!("{part:.2}"), format!("≥ {LEAST_OF_PLAIN}")];
                row(f, &name, &cells, &verdict([at_least("part", part, LEAST_OF_PLAIN)]))?;
            }
        }
        if !self.latency.is_empty() {
            let head = ["milliseconds", "p50", "goal", "p99", "goal", "p99.9", "most", "CPU µs"];
            row(f, head[0], &head[1..], "")?;
        }
        for (name, all) in &self.latency {
            let (p50, p99) = (median(all, |it| it.p50), median(all, |it| it.p99));
            let cells = [
                format!("{p50:.2}"),
                format!("< {P50_MS}"),
                format!("{p99:.2}"),
                format!("< {P99_MS}"),
                format!("{:.1}", median(all, |it| it.p999)),
                format!("{:.1}", median(all, |it| it.most)),
                format!("{:.1}", median(all, |it| it.cpu_us)),
            ];
            row(f, name, &cells, &verdict([at_most("p50", p50, P50_MS), at_most("p99", p99, P99_MS)]))?;
        }
        if !self.start.is_empty() {
            let (cold, warm) = (median(&self.start, |it| it.cold_ms), median(&self.start, |it| it.warm_ms));
            row(f, "start to ready, guests compiled anew, ms", &[format!("{cold:.0}")], "")?;
            let cells = [format!("{warm:.0}"), format!("< {WARM_START_MS}")];
            row(f, "start to ready, warm cache, ms", &cells, &verdict([at_most("ms", warm, WARM_START_MS)]))?;
        }
        Ok(())
    }
}

fn row<T: AsRef<str>>(f: &mut fmt::Formatter<'_>, name: &str, cells: &[T], verdict: &str) -> fmt::Result {
    write!(f, "{name:<46}")?;
    let widths = [9, 9, 8, 7, 6, 6, 6];
    for (index, width) in widths.into_iter().enumerate() {
        write!(f, " {:>width$}", cells.get(index).map_or("", AsRef::as_ref))?;
    }
    writeln!(f, "  {verdict}")
}

fn verdict<const N: usize>(missed: [Option<String>; N]) -> String {
    let missed: Vec<_> = missed.into_iter().flatten().collect();
    if missed.is_empty() { "ok".to_owned() } else { format!("missed: {}", missed.join(", ")) }
}

fn at_least(what: &str, found: f64, goal: f64) -> Option<String> {
    (found < goal).then(|| format!("{what} {:.0} % below", (1.0 - found / goal) * 100.0))
}

fn at_most(what: &str, found: f64, goal: f64) -> Option<String> {
    (found > goal).then(|| format!("{what} {:.0} % above", (found / goal - 1.0) * 100.0))
}

fn median<T>(all: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = all.iter().map(figure).collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
