//! Redis: killed with different promises of its own, slow, frozen, and with answers that nobody hears.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Fsync, PATIENCE, Place, Redis, unix_ms, wait_until};

use super::{
    events::Shape,
    run::{Bench, strict},
    table::Row,
};

/// `kill -9` of a Redis that syncs before it answers.
pub async fn killed(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict(), Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(4, 40) {
        run.after(100..900).await?;
        run.kill(Place::Redis)?;
        run.after(50..600).await?;
        run.restart(Place::Redis).await?;
    }
    run.close().await
}

/// `kill -9` of a Redis that syncs every second: it may forget what it acknowledged in the last two seconds, and
/// nothing more is missing.
pub async fn killed_everysec(bench: Bench) -> Result<Row> {
    forgetful(bench, Fsync::EverySecond, Duration::from_secs(2)).await
}

/// `kill -9` of a Redis that keeps nothing: what it had acknowledged is gone, and nothing more is missing.
pub async fn killed_without_aof(bench: Bench) -> Result<Row> {
    forgetful(bench, Fsync::Memory, Duration::from_hours(24)).await
}

async fn forgetful(bench: Bench, fsync: Fsync, window: Duration) -> Result<Row> {
    let plan = strict().redis(Redis { fsync, ..Redis::default() });
    let mut run = bench.start(plan, Shape::Alerts, 1_000.0).await?;
    let mut absences = Vec::new();
    for _ in 0..run.breaks(3, 20) {
        run.after(300..1_200).await?;
        let killed = run.kill(Place::Redis)?;
        run.after(50..600).await?;
        absences.push(killed..=unix_ms());
        run.restart(Place::Redis).await?;
    }
    run.settle().await?;
    let excused = run.excuse_redis(&absences, window)?;
    run.count(&excused).await
}

/// Batches that Redis stored while its answer was lost: they come again, and must be known. Now and then the answer to
/// the repeat is lost as well.
pub async fn answers_lost(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict().proxied(Place::Redis), Shape::Mixed, 1_000.0).await?;
    for broken in 1..=run.breaks(20, 200) {
        if !run.chance.once_in(4) {
            let published = run.published().await?;
            run.site.series_of("aurora_events_published_total", published + 1.0).await?;
        }
        run.after(20..120).await?;
        // Only what stores events has a number in it.
        run.site.proxy(Place::Redis)?.lose_answers_to(b"\"number\"", 1);
        wait_until("a lost answer", PATIENCE, async || {
            let lost = run.site.proxy(Place::Redis)?.answers_lost();
            ensure!(lost >= broken, "{lost} of {broken}");
            Ok(())
        })
        .await?;
    }
    run.close().await
}

/// A slow way to Redis.
pub async fn slow(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict().proxied(Place::Redis), Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(3, 20) {
        run.after(200..600).await?;
        run.site.proxy(Place::Redis)?.set(|faults| {
            faults.delay = Duration::from_millis(60);
            faults.bytes_per_second = 400_000;
        });
        run.after(1_000..1_500).await?;
        run.site.proxy(Place::Redis)?.heal();
    }
    run.close().await
}

/// A Redis that stands still for longer than `redis.timeout`, and then does all that it was asked meanwhile.
pub async fn frozen(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict(), Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(2, 20) {
        run.after(200..800).await?;
        run.site.redis.pause()?;
        run.after(1_500..3_500).await?;
        run.site.redis.resume()?;
    }
    run.close().await
}
