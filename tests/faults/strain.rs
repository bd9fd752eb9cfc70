//! More than can be done, and the same for long.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::Place;

use super::{
    events::Shape,
    run::{Bench, Run, shipped},
    table::Row,
};

/// The daemon's memory at full load, in MiB.
const MOST_MEMORY: f64 = 100.0;

/// By how much it may grow in the nine minutes of a steady rate that follow the first one, in MiB. What leaks a hundred
/// bytes an event grows by fifty.
const MOST_GROWTH: f64 = 5.0;

/// Twice of what can be stored. Redis' answers are slow, and one lane has small batches, so that the rate at which the
/// daemon can store is far below what else runs on this machine, and is the same all the time.
pub async fn overload(bench: Bench) -> Result<Row> {
    let seconds = bench.times(20, 120);
    let plan = shipped().proxied(Place::Redis).set("lanes.count", 1).set("lanes.batch", 64);
    let mut run = bench.start(plan, Shape::Mixed, 3_000.0).await?;
    run.site.proxy(Place::Redis)?.set(|faults| faults.delay = Duration::from_millis(20));
    // How much can be stored is found out by sending more.
    run.after(3_000..3_001).await?;
    let (before, began) = (run.published().await?, Instant::now());
    run.after(9_000..9_001).await?;
    let sustainable = (run.published().await? - before) / began.elapsed().as_secs_f64();
    run.breaks(1, 1);
    let (before, sent, began) = (run.published().await?, run.load.sent(), Instant::now());
    let events = (2.0 * sustainable) as usize * seconds;
    run.load.pace(2.0 * sustainable);
    run.after(events..events + 1).await?;
    let took = began.elapsed().as_secs_f64();
    let (sent, stored) = ((run.load.sent() - sent) as f64 / took, (run.published().await? - before) / took);
    run.expect(sent > 1.2 * stored, format!("no overload: {sent:.0}/s sent, {stored:.0}/s stored"));
    run.site.proxy(Place::Redis)?.heal();
    run.settle().await?;
    memory(&mut run)?;
    let mut row = run.close().await?;
    row.remarks.push(format!(
        "for {took:.0} s sent {sent:.0}/s and stored {stored:.0}/s; from MQTT to Redis p50 {:.1} s, p99 {:.1} s",
        row.median_ms as f64 / 1000.0,
        row.p99_ms as f64 / 1000.0
    ));
    Ok(row)
}

/// As fast as the MQTT broker takes it.
pub async fn flat_out(bench: Bench) -> Result<Row> {
    let mut run = bench.start(shipped(), Shape::Mixed, 1e6).await?;
    let began = Instant::now();
    run.breaks(1, 1);
    let events = bench.times(50_000, 600_000);
    run.after(events..events + 1).await?;
    let rate = run.load.sent() as f64 / began.elapsed().as_secs_f64();
    run.settle().await?;
    let all = run.load.sent() as f64 / began.elapsed().as_secs_f64();
    memory(&mut run)?;
    let mut row = run.close().await?;
    row.remarks.push(format!(
        "sent {rate:.0}/s, everything settled at {all:.0}/s; from MQTT to Redis p50 {} ms, p99 {} ms",
        row.median_ms, row.p99_ms
    ));
    Ok(row)
}

/// The daemon is away until more is queued for it than there are packet ids, so that those that mosquitto has under way
/// to it come round. While the daemon takes all that, its connection is cut and it is killed, and more comes.
pub async fn queued(bench: Bench) -> Result<Row> {
    const QUEUED: usize = 100_000;
    let mut run = bench.start(shipped(), Shape::Mixed, 1e6).await?;
    for _ in 0..run.breaks(1, 6) {
        run.site.kill_daemon()?;
        run.load.pace(1e6);
        run.after(QUEUED..QUEUED + 1).await?;
        run.load.pace(4_000.0);
        run.site.start_daemon().await?;
        run.after(200..2_000).await?;
        run.site.proxy(Place::Mqtt)?.cut();
        run.after(200..2_000).await?;
        run.site.kill_daemon()?;
        run.site.start_daemon().await?;
    }
    run.settle().await?;
    memory(&mut run)?;
    run.close().await
}

/// A steady rate for ten minutes, and what becomes of the daemon's memory.
pub async fn soak(bench: Bench) -> Result<Row> {
    const RATE: f64 = 1_000.0;
    let mut run = bench.start(shipped(), Shape::Mixed, RATE).await?;
    let mut samples = Vec::new();
    for _ in 0..bench.times(1, 60) {
        run.after(10 * RATE as usize..10 * RATE as usize + 1).await?;
        samples.push(run.memory()?.1);
    }
    run.settle().await?;
    memory(&mut run)?;
    // The first minute fills caches and pools.
    let steady = &samples[samples.len().min(6)..];
    let grown = growth(steady);
    run.expect(grown < MOST_GROWTH, format!("memory grows: by {grown:.1} MiB in {} samples", steady.len()));
    run.remark(format!(
        "memory {:.1} to {:.1} MiB, slope {:+.2} MiB an hour over {} samples",
        samples.iter().copied().fold(f64::MAX, f64::min),
        samples.iter().copied().fold(0.0, f64::max),
        slope(steady) * 360.0,
        steady.len()
    ));
    let mut row = run.close().await?;
    row.remarks.push(format!("from MQTT to Redis p50 {} ms, p99 {} ms", row.median_ms, row.p99_ms));
    Ok(row)
}

fn memory(run: &mut Run) -> Result<()> {
    let (most, now) = run.memory()?;
    run.expect(most < MOST_MEMORY, format!("{most:.1} MiB of memory"));
    run.remark(format!("memory at most {most:.1} MiB, {now:.1} MiB afterwards"));
    Ok(())
}

/// From the first to the last of `samples`, without what comes and goes.
fn growth(samples: &[f64]) -> f64 {
    slope(samples) * samples.len() as f64
}

/// Of the straight line nearest to `samples`, for each sample.
fn slope(samples: &[f64]) -> f64 {
    let middle = samples.len().saturating_sub(1) as f64 / 2.0;
    let mean = samples.iter().sum::<f64>() / samples.len().max(1) as f64;
    let (mut up, mut across) = (0.0, 0.0);
    for (position, sample) in samples.iter().enumerate() {
        let distance = position as f64 - middle;
        up += distance * (sample - mean);
        across += distance * distance;
    }
    if across > 0.0 { up / across } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_a_straight_line_and_none_of_a_single_sample() {
        assert_eq!(slope(&[1.0, 3.0, 5.0, 7.0]), 2.0);
        assert_eq!(slope(&[4.0]), 0.0);
    }

    #[test]
    fn a_leak_is_growth_and_ups_and_downs_are_not() {
        let samples = |leak: f64| (0..54).map(|at| 60.0 + 3.0 * f64::from(at % 3) + leak * f64::from(at)).collect();
        let (leaky, steady): (Vec<f64>, Vec<f64>) = (samples(0.1), samples(0.0));
        assert!(growth(&leaky) >= MOST_GROWTH, "{}", growth(&leaky));
        assert!(growth(&steady) < 1.0, "{}", growth(&steady));
    }
}
