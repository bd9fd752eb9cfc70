//! Redis away, with a spool on disk: across a crash, with a damaged record, on a full disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use harness::{Place, Plan};

use super::{
    count::Excused,
    events::{Shape, number_in},
    run::{Bench, Run, strict},
    table::Row,
};

fn spooling() -> Plan {
    strict().set("spool.path", "spool").set("spool.after", "200ms")
}

/// Waits until the spool has at least so many events.
async fn spooled(run: &Run, events: f64) -> Result<()> {
    run.site.series_of("aurora_spool_events", events).await.map(drop)
}

/// The daemon is killed and starts again while Redis is away and the spool has thousands.
pub async fn killed(bench: Bench) -> Result<Row> {
    let mut run = bench.start(spooling(), Shape::Mixed, 1_000.0).await?;
    for _ in 0..run.breaks(2, 20) {
        run.after(200..800).await?;
        run.kill(Place::Redis)?;
        run.after(800..1_500).await?;
        spooled(&run, 100.0).await?;
        run.site.kill_daemon()?;
        run.site.launch_daemon()?;
        run.after(500..1_000).await?;
        spooled(&run, 100.0).await?;
        run.restart(Place::Redis).await?;
    }
    run.close().await
}

/// A byte of a record flips while the daemon is down: that record is set aside and named, and all others arrive.
pub async fn corrupted(bench: Bench) -> Result<Row> {
    let mut run = bench.start(spooling(), Shape::Alerts, 1_000.0).await?;
    run.breaks(1, 1);
    run.after(200..800).await?;
    run.kill(Place::Redis)?;
    run.after(1_000..2_000).await?;
    spooled(&run, 100.0).await?;
    run.site.kill_daemon()?;
    let folder = run.site.folder().join("spool");
    let mut records = files(&folder)?;
    records.sort();
    let record = records.get(run.chance.among(0..records.len())).context("no record")?;
    let mut bytes = fs::read(record).context("cannot read a record")?;
    let lost = String::from_utf8_lossy(&bytes)
        .split("\"number\":")
        .skip(1)
        .filter_map(|rest| number_in(&format!("\"number\":{rest}")))
        .collect();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(record, bytes).context("cannot spoil a record")?;
    run.site.launch_daemon()?;
    run.restart(Place::Redis).await?;
    run.settle().await?;
    let aside = files(&folder.join("damaged"))?.len();
    run.expect(aside == 1, format!("{aside} records set aside"));
    let counted = run.site.scrape().await?.sum("aurora_spool_damaged_total");
    run.expect(counted == 1.0, format!("aurora_spool_damaged_total is {counted}"));
    let excused = Excused { lost, ..Excused::default() };
    run.remark(format!("{} events were in the spoiled record", excused.lost.len()));
    run.count(&excused).await
}

/// The disk under the spool is full: the MQTT broker holds what comes.
pub async fn disk_full(bench: Bench) -> Result<Row> {
    const ROOM: f64 = 2.0 * 1024.0 * 1024.0;
    // A file system of the daemon's own, which goes with it.
    let mount = "mkdir -p \"$0\" && mount -t tmpfs -o size=2m none \"$0\" && exec \"$@\"";
    let allowed = std::process::Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return Ok(Row::passed_over(
            bench.case,
            "no file system can be mounted here, not even in a namespace of its own",
        ));
    }
    let plan = spooling().under("unshare", &["-rm", "sh", "-c", mount, "{site}/spool"]);
    let mut run = bench.start(plan, Shape::Mixed, 2_000.0).await?;
    for _ in 0..run.breaks(1, 10) {
        run.after(200..800).await?;
        // It says so once, and again only after it has had room.
        run.site
            .wait_until("an empty spool", async || {
                let records = run.site.scrape().await?.get("aurora_spool_records")?;
                ensure!(records == 0.0, "{records} records");
                Ok(())
            })
            .await?;
        let before = refusals(&run);
        run.kill(Place::Redis)?;
        run.after(6_000..8_000).await?;
        run.site
            .wait_until("a full disk", async || {
                ensure!(refusals(&run) > before, "the spool takes what comes");
                Ok(())
            })
            .await?;
        run.site.series_of("aurora_spool_bytes", ROOM / 2.0).await?;
        let bytes = run.site.scrape().await?.get("aurora_spool_bytes")?;
        run.expect(bytes <= ROOM, format!("{bytes} bytes on a disk of {ROOM}"));
        let held = run.site.scrape().await?.get("aurora_broker_in_flight{broker=\"mqtt\"}")?;
        run.expect(held > 0.0, "everything was acknowledged, more than the spool can hold");
        run.restart(Place::Redis).await?;
    }
    run.close().await
}

/// How often the daemon has said that its spool takes nothing more.
fn refusals(run: &Run) -> usize {
    run.site.log().matches("the sources wait").count()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        // The lock has nothing in it.
        if path.is_file() && path.extension().is_some_and(|extension| extension == "resp") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "no record in {}", folder.display());
    Ok(files)
}
