//! Files of guests that change. The system tells of changes in their folders; as some file systems tell nothing, and a
//! folder may be exchanged as a whole, each file is also looked at now and then. A look costs a `stat`; only a file
//! that looks otherwise is read.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;

use super::{Swap, wish::Order};
use crate::supply::signature_path;

/// Nothing must have changed for so long: `cp` writes a file in parts.
const QUIET: Duration = Duration::from_millis(200);

/// But a folder in which something changes all the time is looked at as often as this.
const LONGEST: Duration = Duration::from_secs(2);

/// How often files are looked at of which nobody tells.
const ROUND: Duration = Duration::from_secs(10);

/// What tells one state of a file, and of its signatures, from another without reading them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp([Option<[i64; 4]>; 2]);

impl Stamp {
    /// Of the file at `path`, as it is now.
    pub(super) fn of(path: &Path) -> Self {
        // A file that another one was renamed over has another inode, one that was written again another time.
        let of = |file: fs::Metadata| [file.ino() as i64, file.len() as i64, file.mtime(), file.mtime_nsec()];
        let stamp = |file: io::Result<fs::Metadata>| file.ok().map(of);
        Self([stamp(fs::metadata(path)), stamp(fs::metadata(signature_path(path)))])
    }
}

/// Watches the folders that are named on `folders` until `stop`.
pub(super) async fn watch(swap: Swap, mut folders: mpsc::Receiver<BTreeSet<PathBuf>>, stop: CancellationToken) {
    // One is enough: it only says that something may have changed.
    let (tell, mut told) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| may_change(event.kind)) {
            let _ = tell.try_send(());
        }
    })
    .map_err(|error| tracing::warn!(%error, "changed files are noticed only every {ROUND:?}"))
    .ok();
    let mut watched = BTreeSet::new();
    let mut round = time::interval(ROUND);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            wanted = folders.recv() => match wanted {
                Some(wanted) => watched = rewatch(watcher.as_mut(), watched, wanted),
                None => return,
            },
            Some(()) = told.recv() => {
                let settled = async {
                    while time::timeout(QUIET, told.recv()).await.is_ok_and(|told| told.is_some()) {}
                };
                let _ = time::timeout(LONGEST, settled).await;
                swap.tell_all(|| Order::Look);
            }
            _ = round.tick() => swap.tell_all(|| Order::Look),
        }
    }
}

/// Reading a file is told as well, and we read it.
fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

fn rewatch(
    watcher: Option<&mut RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    wanted: BTreeSet<PathBuf>,
) -> BTreeSet<PathBuf> {
    let Some(watcher) = watcher else { return wanted };
    for folder in watched.difference(&wanted) {
        // A folder that is gone is watched no more by itself.
        let _ = watcher.unwatch(folder);
    }
    for folder in wanted.difference(&watched) {
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, folder = %folder.display(), "changed files are noticed only every {ROUND:?}");
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_or_exchanged_looks_otherwise() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wasm");
        let mut stamps = vec![Stamp::of(&path)];
        fs::write(&path, "one").expect("written");
        stamps.push(Stamp::of(&path));
        fs::write(folder.path().join("b"), "two").expect("written");
        fs::rename(folder.path().join("b"), &path).expect("renamed");
        stamps.push(Stamp::of(&path));
        assert!(stamps.windows(2).all(|pair| pair[0] != pair[1]), "{stamps:?}");
        assert_eq!(Stamp::of(&path), stamps[2]);
    }
}
