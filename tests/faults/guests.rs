//! Guests that change while events flow, and what that does to the events on their way.

use std::{collections::HashMap, fmt, path::PathBuf, time::Instant};

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

/// Another normalizer and another router each second, with `kill -9` in the middle.
pub async fn exchanged(bench: Bench) -> Result<Row> {
    let (plan, _cache) = changeable()?;
    let seconds = bench.times(6, 60);
    let mut run = bench.start(plan, Shape::Mixed, RATE).await?;
    let variants = Variants::new()?;
    let second = RATE as usize;
    // Cold connections and an empty dedup table are no one's fault.
    run.after(second..second + 1).await?;
    let quiet_from = unix_ms();
    run.after(seconds * second..seconds * second + 1).await?;
    let quiet_to = unix_ms();

    let (mut swaps, mut took) = (Vec::new(), Vec::new());
    for step in 0..run.breaks(seconds, seconds) {
        let (slot, path) = variants.of(step);
        let begun = Instant::now();
        run.site.swap(slot, &path).await?;
        took.push(begun.elapsed());
        swaps.push(unix_ms());
        if step == seconds / 2 {
            run.site.kill_daemon()?;
            run.site.start_daemon().await?;
            let digest = run.site.slot(slot).await?["present"]["digest"].clone();
            let named = run.site.slot(slot).await?["configured"]["digest"].clone();
            run.expect(digest != named, "the guest that was installed did not run again after the kill");
        }
        // Most of a second; the command took the rest.
        run.after(second * 7 / 10..second * 9 / 10).await?;
    }
    let swapping_to = unix_ms();
    run.settle().await?;
    let delays = Delays::of(&run).await?;
    let killed = swaps[seconds / 2];
    let quiet = delays.between(quiet_from, quiet_to);
    // Both sides of the kill: without what was on its way then, and what had waited for the restart.
    let through = delays.caught_up(killed, quiet.p999);
    let calm = |sent: i64| sent < killed - 500 || sent > through;
    let swapping = delays.during(|sent| sent > swaps[0] - 500 && sent < swapping_to && calm(sent));
    took.sort_unstable();
    run.remark(format!(
        "delays without swaps {quiet}, with a swap each second {swapping}; a swap, its command included, took {:?} (median); \
         {:.1} s after the kill all was as before",
        took[took.len() / 2],
        (through - killed) as f64 / 1000.0,
    ));
    // Among other tests the machine itself delays events for longer than that.
    if bench.form == Form::Long {
        run.expect(
            swapping.p999 <= quiet.p999 + DELAY_MS,
            format!("swaps delay events: p99.9 {} ms with and {} ms without", swapping.p999, quiet.p999),
        );
    }
    run.close().await
}

/// Guests that nobody has compiled before, one after the other.
pub async fn compiled(bench: Bench) -> Result<Row> {
    let (plan, _cache) = changeable()?;
    let mut run = bench.start(plan, Shape::Mixed, RATE / 2.0).await?;
    let second = (RATE / 2.0) as usize;
    run.after(second..second + 1).await?;
    let quiet_from = unix_ms();
    run.after(3 * second..3 * second + 1).await?;
    let (compiling_from, mut took) = (unix_ms(), Vec::new());
    let folder = tempfile::tempdir()?;
    for step in 0..run.breaks(3, 20) {
        let path = folder.path().join(format!("cold-{step}.component"));
        variant(&stock_guest("normalize-core")?, &format!("cold {} {}", unix_ms(), step), &path)?;
        let begun = Instant::now();
        run.site.swap("normalize", &path).await?;
        took.push(begun.elapsed());
    }
    let compiling_to = unix_ms();
    run.settle().await?;
    let delays = Delays::of(&run).await?;
    let (quiet, compiling) = (delays.between(quiet_from, compiling_from), delays.between(compiling_from, compiling_to));
    took.sort_unstable();
    run.remark(format!(
        "delays without {quiet}, while the normalizer was compiled {compiling}; from the command to its end {:?} (median)",
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
    let quiet = delays.between(quiet_from, rehearsal_from);
    let rehearsing = delays.between(rehearsal_from, rehearsal_to);
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

    fn between(&self, from: i64, to: i64) -> Percentiles {
        self.during(|sent| sent >= from && sent < to)
    }

    fn during(&self, within: impl Fn(i64) -> bool) -> Percentiles {
        let mut delays: Vec<_> = self.0.iter().filter(|(sent, _)| within(*sent)).map(|(_, delay)| *delay).collect();
        delays.sort_unstable();
        let at = |part: f64| delays.get((delays.len() as f64 * part) as usize).copied().unwrap_or_default();
        Percentiles {
            p50: at(0.5),
            p999: at(0.999),
            most: delays.last().copied().unwrap_or_default(),
            of: delays.len(),
        }
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
