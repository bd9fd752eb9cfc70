//! The daemon itself: killed, ended, misled about the time, given a guest that traps.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use harness::{PATIENCE, hostile_guest};

use super::{
    count::ALERTS,
    events::{Kind, Shape},
    run::{Bench, strict},
    table::Row,
};

/// `kill -9` at any instant: while it works, while it starts, while it recovers from the last one.
pub async fn killed(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict(), Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(20, 100) {
        run.after(20..300).await?;
        run.site.kill_daemon()?;
        run.site.launch_daemon()?;
        if !run.chance.once_in(4) {
            run.site.daemon()?.ready(PATIENCE).await?;
        }
    }
    run.site.start_daemon().await?;
    run.close().await
}

/// SIGTERM under load: it drains, says goodbye, and the next one takes over.
pub async fn terminated(bench: Bench) -> Result<Row> {
    let mut run = bench.start(strict(), Shape::Mixed, 2_000.0).await?;
    for _ in 0..run.breaks(4, 30) {
        run.after(200..1_500).await?;
        let status = run.site.terminate(PATIENCE).await?;
        run.expect(status.success(), format!("it ended with {status}"));
        run.site.start_daemon().await?;
    }
    run.close().await
}

/// One event in a thousand makes the normalizer trap: that one is a dead letter, and no other one is touched.
pub async fn trapping(bench: Bench) -> Result<Row> {
    const EVERY: u32 = 1_000;
    let plan = strict().guest("normalize", &hostile_guest()?);
    let mut run = bench.start(plan, Shape::Trapping(EVERY), 2_000.0).await?;
    let traps = run.breaks(5, 60);
    run.after(traps * EVERY as usize..traps * EVERY as usize + 100).await?;
    run.settle().await?;
    let poison = run.load.book().iter().filter(|event| event.kind == Kind::Poison).count();
    run.expect(poison >= traps, format!("only {poison} events were to trap"));
    run.close().await
}

/// The daemon's clock goes an hour forwards and an hour back, again and again; its brokers' clocks do not.
pub async fn clock_stepped(bench: Bench) -> Result<Row> {
    const HOUR_MS: i64 = 3_600_000;
    let plan = strict()
        .environment("LD_PRELOAD", &faketime()?.display().to_string())
        .environment("FAKETIME_TIMESTAMP_FILE", "{site}/clock")
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut run = bench.start(plan, Shape::Mixed, 1_000.0).await?;
    let clock = run.site.folder().join("clock");
    for step in 0..run.breaks(4, 20) {
        let offset = ["+3600", "+0", "-3600", "+0"][step % 4];
        // As a whole, so that the daemon never reads half of it.
        fs::write(clock.with_extension("new"), offset).context("cannot set the clock")?;
        fs::rename(clock.with_extension("new"), &clock).context("cannot set the clock")?;
        run.after(1_200..1_800).await?;
        if step == 2 {
            run.site.kill_daemon()?;
            run.site.start_daemon().await?;
        }
    }
    run.settle().await?;
    let mut off = Vec::new();
    for entry in run.site.stream(ALERTS[0]).await? {
        let stored = entry.id.split('-').next().and_then(|time| time.parse::<i64>().ok()).unwrap_or_default();
        off.push(entry.data()["timestamp_ms"].as_i64().unwrap_or_default() - stored);
    }
    let stepped = |sign: i64| off.iter().any(|off| (off * sign - HOUR_MS).abs() < HOUR_MS / 10);
    run.expect(stepped(1) && stepped(-1), "the daemon's clock did not step");
    run.close().await
}

/// Debian's library that misleads a program about the time.
fn faketime() -> Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib").context("no /usr/lib")?.flatten();
    let library = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|file| file.is_file());
    library.context("libfaketime is not installed; install it with: apt-get install faketime")
}
