//! Guests that change while events flow, and what that does to the events on their way.

use std::{collections::HashMap, fmt, ops::Range, path::PathBuf, slice, time::Instant};

use anyhow::Result;
use harness::{Plan, stock_guest, unix_ms, variant, walk_stream};
use tempfile::TempDir;

use super::{
    count::ALERTS,
    events::{Kind, Shape, number_in},
    run::{Bench, Form, Run, shipped},
    table::Row,
};

/// Events a second: about half of what a daemon carries here with JetStream beside it.
const RATE: f64 = 10_000.0;

/// Most that a swap may delay an event.
const DELAY_MS: i64 = 20;

/// Events that were sent so long before a swap began, or after it had ended, may have met it.
const NEAR_MS: i64 = 50;

/// Another normalizer and another router each second, with `kill -9` in the middle. In turns with seconds without any, so
/// that whatever else keeps the machine busy meets both alike.
pub async fn exchanged(bench: Bench) -> Result<Row> {
    let (plan, _cache) = changeable()?;
    let (turns, seconds) = (bench.times(1, 4), bench.times(6, 15));
    let mut run = bench.start(plan, Shape::Mixed, RATE).await?;
    let variants = Variants::new()?;
    let second = RATE as usize;
    // Cold connections, an empty dedup table and guests that were never compiled here are no one's fault.
    run.after(second..second + 1).await?;
    for step in 0..4 {
        let (slot, path) = variants.of(step);
        run.site.swap(slot, &path).await?;
    }

    let (mut quiet, mut swapping, mut swaps, mut took) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut killed = None;
    run.breaks(turns * seconds, turns * seconds);
    for turn in 0..turns {
        let from = unix_ms();
        run.after(seconds * second..seconds * second + 1).await?;
        quiet.push(from..unix_ms());
        let from = unix_ms();
        for step in turn * seconds..(turn + 1) * seconds {
            let (slot, path) = variants.of(step);
            let (begun, at) = (Instant::now(), unix_ms());
            run.site.swap(slot, &path).await?;
            took.push(begun.elapsed());
            if step == turns * seconds / 2 {
                killed = Some(unix_ms());
                run.site.kill_daemon()?;
                run.site.start_daemon().await?;
                let digest = run.site.slot(slot).await?["present"]["digest"].clone();
                let named = run.site.slot(slot).await?["configured"]["digest"].clone();
                run.expect(digest != named, "the guest that was installed did not run again after the kill");
            } else {
                swaps.push(at - NEAR_MS..unix_ms() + NEAR_MS);
            }
            // Most of a second; the command took the rest.
            run.after(second * 7 / 10..second * 9 / 10).await?;
        }
        swapping.push(from..unix_ms());
    }
    run.settle().await?;
    let delays = Delays::of(&run).await?;
    let without = delays.between(&quiet, &(0..0));
    // Both sides of the kill: without what was on its way then, and what had waited for the restart.
    let killed = killed.unwrap_or_default();
    let through = delays.caught_up(killed, without.p999);
    let away = killed - 500..through;
    let (without, with) = (delays.between(&quiet, &away), delays.between(&swapping, &away));
    swaps.retain(|near| near.end < away.start || near.start > away.end);
    // As many stretches of the same length, of which each begins a second after the other.
    let same = |range: &Range<i64>| {
        let (starts, length) = (range.clone().step_by(1000), NEAR_MS * 2 + 20);
        starts.map(move |start| start..start + length).collect::<Vec<_>>()
    };
    let control: Vec<_> = quiet.iter().flat_map(same).collect();
    let (worst_at_swaps, worst_elsewhere) = (delays.worst(&swaps), delays.worst(&control));
    took.sort_unstable();
    run.remark(format!(
        "delays without swaps {without}, with a swap each second {with}; the slowest event around a swap {worst_at_swaps}, \
         in as long a time without one {worst_elsewhere}; a swap, its command included, took {:?} (median); {:.1} s after \
         the kill all was as before",
        took[took.len() / 2],
        (through - killed) as f64 / 1000.0,
    ));
    // By the median: a busy disk or neighbour holds up some events for longer than that, and p99.9 shows only these.
    // Among other tests the machine itself does it all the time.
    if bench.form == Form::Long {
        run.expect(
            worst_at_swaps.median <= worst_elsewhere.median + DELAY_MS,
            format!("swaps delay events: the slowest one around a swap {worst_at_swaps}, elsewhere {worst_elsewhere}"),
        );
    }
    run.close().await
}

/// Guests that nobody has compiled before, one after the other; in turns with as much time without any.
pub async fn compiled(bench: Bench) -> Result<Row> {
    let (plan, _cache) = changeable()?;
    let mut run = bench.start(plan, Shape::Mixed, RATE / 2.0).await?;
    let second = (RATE / 2.0) as usize;
    run.after(second..second + 1).await?;
    let (mut quiet, mut compiling, mut took) = (Vec::new(), Vec::new(), Vec::new());
    let folder = tempfile::tempdir()?;
    for step in 0..run.breaks(3, 20) {
        let from = unix_ms();
        run.after(second * 2..second * 2 + 1).await?;
        quiet.push(from..unix_ms());
        let path = folder.path().join(format!("cold-{step}.component"));
        variant(&stock_guest("normalize-core")?, &format!("cold {} {}", unix_ms(), step), &path)?;
        let (begun, from) = (Instant::now(), unix_ms());
        run.site.swap("normalize", &path).await?;
        took.push(begun.elapsed());
        compiling.push(from..unix_ms());
    }
    run.settle().await?;
    let delays = Delays::of(&run).await?;
    let (without, with) = (delays.between(&quiet, &(0..0)), delays.between(&compiling, &(0..0)));
    let (worst_without, worst_with) = (delays.worst(&quiet), delays.worst(&compiling));
    took.sort_unstable();
    run.remark(format!(
        "delays without {without}, while the normalizer was compiled {with}; the slowest event of two seconds \
         {worst_without}, of a compilation {worst_with}; from the command to its end {:?} (median)",
        took[took.len() / 2]
    ));
    run.close().await
}

/// A rehearsal costs the lanes nothing but their copies.
pub async fn rehearsed(bench: Bench) -> Result<Row> {
    let (plan, _cache) = changeable()?;
    let mut run = bench.start(plan, Shape::Mixed, RATE / 2.0).await?;
    let second = (RATE / 2.0) as usize;
    let seconds = run.breaks(3, 20);
    run.after(second..second + 1).await?;
    let quiet_from = unix_ms();
    run.after(seconds * second..seconds * second + 1).await?;
    let rehearsal_from = unix_ms();
    let variants = Variants::new()?;
    let (_, path) = variants.of(0);
    let arguments = ["swap", "normalize", &path.display().to_string(), "--shadow", "1h"].map(str::to_owned);
    let waiting = run.site.guest_in_background(arguments)?;
    run.after(seconds * second..seconds * second + 1).await?;
    let rehearsal_to = unix_ms();
    let report = run.site.slot("normalize").await?["rehearsal"].clone();
    let ended = run.site.guest(&["end-rehearsal", "normalize"]).await?;
    run.expect(ended.success, ended.err);
    let said = waiting.await??;
    run.expect(said.err.contains("ended by somebody else"), format!("the rehearsal's command: {said:?}"));
    run.expect(report["events"].as_u64() > Some(0), format!("nothing was compared: {report}"));
    run.expect(report["different"] == 0, format!("the same guest came out otherwise: {report}"));
    run.settle().await?;
    let delays = Delays::of(&run).await?;
    let quiet = delays.between(slice::from_ref(&(quiet_from..rehearsal_from)), &(0..0));
    let rehearsing = delays.between(slice::from_ref(&(rehearsal_from..rehearsal_to)), &(0..0));
    run.remark(format!(
        "delays without {quiet}, while a guest was rehearsed {rehearsing}; {} events compared, {} passed unseen",
        report["events"], report["missed"]
    ));
    run.close().await
}

fn changeable() -> Result<(Plan, TempDir)> {
    shipped().changeable()
}

/// Two components for each of two slots.
struct Variants(TempDir);

impl Variants {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for slot in ["normalize", "route"] {
            for turn in 0..2 {
                let stock = stock_guest(&format!("{slot}-core"))?;
                variant(&stock, &format!("turn {turn}"), &folder.path().join(format!("{slot}-{turn}.component")))?;
            }
        }
        Ok(Self(folder))
    }

    /// The slot, and the guest for it, of this step.
    fn of(&self, step: usize) -> (&'static str, PathBuf) {
        let slot = ["normalize", "route"][step % 2];
        (slot, self.0.path().join(format!("{slot}-{}.component", step / 2 % 2)))
    }
}

/// When each alert was sent, and how long it took to its entry, by the clock of Redis, which is this machine's.
struct Delays(Vec<(i64, i64)>);

impl Delays {
    async fn of(run: &Run) -> Result<Self> {
        let mut stored: HashMap<u32, i64> = HashMap::new();
        for stream in ALERTS {
            walk_stream(&run.site.redis.url(), stream, |entry| {
                let at = entry.id.split('-').next().and_then(|time| time.parse().ok()).unwrap_or_default();
                stored.extend(number_in(&entry.text("data")).map(|number| (number, at)));
            })
            .await?;
        }
        let book = run.load.book();
        let alerts = (0_u32..).zip(&book).filter(|(_, sent)| matches!(sent.kind, Kind::Alert { .. }));
        Ok(Self(
            alerts.filter_map(|(number, sent)| Some((sent.sent_ms, stored.get(&number)? - sent.sent_ms))).collect(),
        ))
    }

    /// When after `kill` events were sent again that took no longer than `usual`, and none within half a second took
    /// longer.
    fn caught_up(&self, kill: i64, usual: i64) -> i64 {
        let mut after: Vec<_> = self.0.iter().filter(|(sent, _)| *sent > kill).collect();
        after.sort_unstable();
        let mut since = kill;
        for &&(sent, delay) in &after {
            if delay > usual {
                since = sent;
            } else if sent - since > 500 {
                break;
            }
        }
        since + 500
    }

    /// Of what was sent within one of `ranges`, and not within `away`.
    fn between(&self, ranges: &[Range<i64>], away: &Range<i64>) -> Percentiles {
        let within = |sent: &i64| ranges.iter().any(|range| range.contains(sent)) && !away.contains(sent);
        let mut delays: Vec<_> = self.0.iter().filter(|(sent, _)| within(sent)).map(|(_, delay)| *delay).collect();
        delays.sort_unstable();
        let at = |part: f64| delays.get((delays.len() as f64 * part) as usize).copied().unwrap_or_default();
        Percentiles {
            p50: at(0.5),
            p999: at(0.999),
            most: delays.last().copied().unwrap_or_default(),
            of: delays.len(),
        }
    }

    /// The longest delay of each of `ranges`.
    fn worst(&self, ranges: &[Range<i64>]) -> Worst {
        let of = |range: &Range<i64>| {
            let sent_then = self.0.iter().filter(|(sent, _)| range.contains(sent));
            sent_then.map(|(_, delay)| *delay).max().unwrap_or_default()
        };
        let mut worst: Vec<_> = ranges.iter().map(of).collect();
        worst.sort_unstable();
        let at = |part: f64| worst.get((worst.len() as f64 * part) as usize).copied().unwrap_or_default();
        Worst { median: at(0.5), ninth: at(0.9), of: worst.len() }
    }
}

/// Milliseconds: the longest delay of a stretch of time, over many of these.
struct Worst {
    median: i64,
    ninth: i64,
    of: usize,
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms (median of {}, nine of ten within {} ms)", self.median, self.of, self.ninth)
    }
}

/// Milliseconds.
struct Percentiles {
    p50: i64,
    p999: i64,
    most: i64,
    of: usize,
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {} ms, p99.9 {} ms, most {} ms (of {})", self.p50, self.p999, self.most, self.of)
    }
}
