//! The spool on real files.

mod order;
mod damaged;
mod full;
mod crash;
mod model;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bytesize::ByteSize;
use tempfile::TempDir;

use super::*;

/// A folder for a spool, and what is seen of it from outside.
struct Site {
    folder: TempDir,
    metrics: Metrics,
}

impl Site {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), metrics: Metrics::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn config(&self) -> Config {
        Config { path: self.path(), ..Config::default() }
    }

    /// Opens it, and takes damage for a failure.
    fn open(&self) -> Spool {
        let (spool, damage) = self.open_damaged();
        assert_eq!(damage, []);
        spool
    }

    fn open_damaged(&self) -> (Spool, Vec<Damage>) {
        let spool = Spool::open(&self.config(), &self.metrics).unwrap();
        let damage = spool.take_damage();
        (spool, damage)
    }

    /// Records in the folder, by name.
    fn files(&self) -> Vec<String> {
        names(&self.path()).into_iter().filter(|name| name.ends_with(".resp")).collect()
    }

    /// The file of record `number`.
    fn file(&self, number: u64) -> PathBuf {
        let start = format!("{number:020}-");
        let name = self.files().into_iter().find(|name| name.starts_with(&start));
        self.path().join(name.unwrap_or_else(|| panic!("no record {number}")))
    }

    /// What lies in `damaged/`, without the notes.
    fn set_aside(&self) -> Vec<String> {
        let mut names = names(&self.path().join("damaged"));
        names.retain(|name| !name.ends_with(".why"));
        names
    }

    fn damaged(&self) -> u64 {
        self.metrics.spool.damaged.get()
    }
}

/// What lies in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Replays everything: number and content.
async fn drain(spool: &Spool) -> Vec<(u64, Bytes)> {
    let mut all = Vec::new();
    while let Some(record) = spool.oldest().await.unwrap() {
        spool.remove(record.number).await.unwrap();
        all.push((record.number, record.bytes));
    }
    all
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// This test program again, to run the one ignored test `name` with a spool in `folder`; behind `wrapper`.
fn again(wrapper: &[&str], name: &str, folder: &Path) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(|word| Path::new(*word)).chain([this.as_path()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", name, "--ignored", "--nocapture"]).env("SPOOL", folder);
    command
}

/// The folder that [`again`] was given.
fn given_folder() -> Config {
    let path = std::env::var_os("SPOOL").expect("this test is started by another").into();
    Config { path, ..Config::default() }
}

#[test]
fn a_second_daemon_is_kept_out_until_the_first_has_ended() {
    let site = Site::new();
    let first = site.open();
    let second = first.clone();
    let refused = Spool::open(&site.config(), &site.metrics).map(drop).unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    drop(first);
    assert!(Spool::open(&site.config(), &site.metrics).is_err());
    drop(second);
    site.open();
}

#[tokio::test]
async fn files_are_ours_alone_and_hold_the_record_as_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let site = Site::new();
    site.open().append(1, text("*1\r\n$4\r\nPING\r\n")).await.unwrap();
    assert_eq!(fs::read(site.file(1)).unwrap(), b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(mode(&site.path()), 0o700);
    assert_eq!(mode(&site.path().join("damaged")), 0o700);
    for name in names(&site.path()).iter().filter(|name| *name != "damaged") {
        assert_eq!(mode(&site.path().join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn depth_and_metrics_say_what_is_there() {
    let site = Site::new();
    let before = chrono::Utc::now().timestamp_millis();
    let spool = site.open();
    let mut watch = spool.watch();
    assert!(spool.is_empty() && spool.depth() == Depth::default());
    spool.append(3, Bytes::from(vec![0; 5000])).await.unwrap();
    spool.append(4, text("b")).await.unwrap();
    assert!(watch.has_changed().unwrap());
    let depth = *watch.borrow_and_update();
    let oldest_ms = depth.oldest_ms.unwrap();
    assert!(oldest_ms >= before && oldest_ms <= chrono::Utc::now().timestamp_millis());
    assert_eq!(depth, Depth { records: 2, events: 7, bytes: 12288, oldest_ms: Some(oldest_ms) });

    drop(spool);
    let spool = site.open();
    assert_eq!(spool.depth(), depth);
    let shown = || {
        let mut text = String::new();
        prometheus::TextEncoder::new().encode_utf8(&site.metrics.registry.gather(), &mut text).unwrap();
        let value =
            |name: &str| -> f64 { text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap() };
        ["records", "events", "bytes", "appended_events_total", "replayed_events_total", "damaged_total"]
            .map(|name| value(&format!("aurora_spool_{name} ")))
    };
    assert_eq!(shown(), [2.0, 7.0, 12288.0, 7.0, 0.0, 0.0]);
    spool.remove(1).await.unwrap();
    spool.set_aside(2, "Redis says no").await.unwrap();
    assert_eq!(shown(), [0.0, 0.0, 0.0, 7.0, 3.0, 1.0]);
    assert!(spool.is_empty());
}
