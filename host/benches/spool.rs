//! How fast the spool takes records and gives them back, with everything synced as it is in the daemon.
//!
//! `cargo bench --bench spool`. The disk is that of `TMPDIR`; its own figure, one synced file after another, comes first.
//! Replay reads from the page cache, as it does when Redis was away for minutes and not for days.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use aurora::{
    spool::{Config, Spool},
    telemetry::Metrics,
};
use bytes::Bytes;

const RECORD: usize = 100 * 1024;
const RECORDS: usize = 400;
const ROUNDS: usize = 7;
const APPENDERS: [usize; 3] = [1, 4, 16];

#[tokio::main]
async fn main() -> Result<()> {
    println!("records of {} KiB, median of {ROUNDS} rounds of {RECORDS}\n", RECORD / 1024);
    let record = Bytes::from((0..RECORD).map(|index| (index * 31 % 251) as u8).collect::<Vec<_>>());
    // Interleaved, so that a neighbour on the machine disturbs all of them alike.
    let mut bare = Vec::new();
    let mut appends = APPENDERS.map(|_| Vec::new());
    let mut replays = Vec::new();
    for _ in 0..ROUNDS {
        bare.push(synced_files(tempfile::tempdir()?.path(), &record)?);
        for (appenders, rounds) in APPENDERS.into_iter().zip(&mut appends) {
            let folder = tempfile::tempdir()?;
            let config = Config { path: folder.path().join("spool"), ..Config::default() };
            let spool = Spool::open(&config, &Metrics::new())?;
            rounds.push(append(&spool, appenders, &record).await?);
            replays.push(replay(&spool).await?);
        }
    }
    show("a synced file each, bare", bare);
    for (appenders, rounds) in APPENDERS.into_iter().zip(appends) {
        show(&format!("append, {appenders} at once"), rounds);
    }
    show("replay: read, check, remove", replays);
    Ok(())
}

fn synced_files(folder: &Path, record: &[u8]) -> Result<Duration> {
    let begun = Instant::now();
    for index in 0..RECORDS {
        let path = folder.join(index.to_string());
        let mut file = File::create(&path)?;
        file.write_all(record)?;
        file.sync_data()?;
        std::fs::remove_file(path)?;
    }
    Ok(begun.elapsed())
}

async fn append(spool: &Spool, appenders: usize, record: &Bytes) -> Result<Duration> {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for appender in 0..appenders {
        let (spool, record) = (spool.clone(), record.clone());
        tasks.spawn(async move {
            for _ in (appender..RECORDS).step_by(appenders) {
                spool.append(256, record.clone()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(begun.elapsed())
}

async fn replay(spool: &Spool) -> Result<Duration> {
    let begun = Instant::now();
    while let Some(record) = spool.oldest().await? {
        spool.remove(record.number).await?;
    }
    Ok(begun.elapsed())
}

fn show(what: &str, mut rounds: Vec<Duration>) {
    rounds.sort();
    let rate = RECORDS as f64 / rounds[rounds.len() / 2].as_secs_f64();
    println!("{what:<32} {rate:>7.0} records/s {:>7.0} MB/s", rate * RECORD as f64 / 1e6);
}
