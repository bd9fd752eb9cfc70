//! Decided batches on disk, in order, while Redis is away. A batch is an opaque record here: the bytes of the Redis
//! command that stores it.
//!
//! # One file for each record
//!
//! Not an embedded database: a batch is large (up to about a MiB) and there are a few hundred of them a second at most,
//! so a file each costs little; and a byte that goes bad must cost one record, while a log-structured store or a B-tree
//! cuts off or refuses everything behind its first bad page. The file holds the record as it is, its [name](name) holds
//! the rest, so there is no format of ours in between.
//!
//! ```text
//! lock                                    held by the daemon that runs
//! 00000000000000000041.removed            the mark: all up to this number is done with
//! 00000000000000000042-….resp             waits, the oldest first
//! 7.tmp                                   being written
//! damaged/                                what cannot be read, or will never be taken, and why; for a person
//! ```
//!
//! # What a crash leaves
//!
//! | crash | afterwards |
//! |---|---|
//! | while a record is written, or before it has its name | a `.tmp`, removed at the next start; nobody was told that it is stored |
//! | after the rename, before the folder is synced | the record or nothing; if it is there, it is whole, and it comes to Redis twice |
//! | after `append` has returned | the record: it and the folder are synced |
//! | while it is being replayed, or right after [`Spool::remove`] | it may come again: removals are not synced |
//! | while it is removed | the record or the mark: one is renamed to be the other |
//!
//! So a record may come twice, and the script that stores it recognises that. It is never lost once it was accepted,
//! and the queue never skips one without a [`Damage`]. What stands before the mark was put there by a person, and goes
//! back to `damaged/`: the script would take it for one that came twice.
//!
//! Order is that of the numbers. They are given out in the order in which appends end, and never twice; the time in a
//! name tells only how old it is. All file work runs on blocking threads.

mod config;
mod error;
mod damage;
mod name;
mod aside;
mod room;
mod records;
mod append;
mod scan;
mod folder;
mod read;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::watch;

pub use aside::{SetAside, Why};
pub use config::Config;
pub use damage::Damage;
pub use error::Error;

use append::Staged;
use folder::Folder;
use read::{Found, read};
use room::{Room, space};

use crate::telemetry::{Chain, Metrics, SpoolMetrics};

/// A queue of records on disk. Cheap to clone; the folder is free for another when the last clone is gone.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

/// A record to be replayed, as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the order.
    pub number: u64,
    /// Events in it.
    pub events: u32,
    /// When it was written, Unix ms.
    pub written_ms: i64,
    /// Its content.
    pub bytes: Bytes,
}

/// What is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Records.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Disk space that they take, in blocks of 4 KiB.
    pub bytes: u64,
    /// When the oldest was written, Unix ms.
    pub oldest_ms: Option<i64>,
}

struct Shared {
    path: PathBuf,
    room: Arc<Room>,
    tickets: AtomicU64,
    /// Whole and synced, waiting for a number.
    staged: Mutex<Vec<Staged>>,
    /// Held while files are named and removed, so only ever by blocking threads.
    folder: Mutex<Folder>,
    depth: watch::Sender<Depth>,
    /// What nobody has heard of yet.
    damage: Mutex<Vec<Damage>>,
    /// Whether records have been lost to the queue, as far as anything tells of it.
    is_damaged: AtomicBool,
    metrics: SpoolMetrics,
}

impl Spool {
    /// Takes the folder over. Blocks.
    ///
    /// # Errors
    /// Another daemon has the folder, or the system refuses.
    pub fn open(config: &Config, metrics: &Metrics) -> Result<Self, Error> {
        let (folder, damage, is_damaged) = scan::open(&config.path, config.max_bytes.as_u64())?;
        let shared = Shared {
            path: folder.path.clone(),
            room: Arc::clone(&folder.room),
            tickets: AtomicU64::new(0),
            staged: Mutex::default(),
            depth: watch::Sender::default(),
            damage: Mutex::default(),
            is_damaged: is_damaged.into(),
            metrics: metrics.spool.clone(),
            folder: Mutex::new(folder),
        };
        shared.tell(&lock(&shared.folder));
        damage.into_iter().for_each(|damage| shared.report(damage));
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What was lost to the queue since this was asked last, at the opening too. It is logged and counted already.
    #[must_use]
    pub fn take_damage(&self) -> Vec<Damage> {
        std::mem::take(&mut *lock(&self.shared.damage))
    }

    /// Whether records are missing, or lie in `damaged/`: lost by this process, or by one before.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.shared.is_damaged.load(Ordering::Relaxed)
    }

    /// Puts a record behind all others, and returns its number when it will survive a crash. Of appends that overlap any
    /// may come first. If the future is dropped, the record may be appended all the same.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::TooLarge`], or what the system says: then it is not in the queue. The exceptions are a
    /// disk that fails after it has taken the record, and [`Error::CutOff`]: then it may be.
    pub async fn append(&self, events: u32, record: Bytes) -> Result<u64, Error> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.append(events, &record)).await
    }

    /// The oldest record, which stays until it is [removed](Self::remove). Damaged ones before it are set aside; see
    /// [`take_damage`](Self::take_damage).
    ///
    /// # Errors
    /// What the system says, where that is not about one record: try again later.
    pub async fn oldest(&self) -> Result<Option<Record>, Error> {
        self.after(0).await
    }

    /// The first record behind `number`, to be read while those before it are under way. Otherwise as
    /// [`oldest`](Self::oldest).
    ///
    /// # Errors
    /// As of [`oldest`](Self::oldest).
    pub async fn after(&self, number: u64) -> Result<Option<Record>, Error> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.after(number)).await
    }

    /// Takes a record out of the queue because it is stored elsewhere. Its file goes when all before it are gone. Freeing
    /// a file can take milliseconds, so a replay that is in a hurry sends the next record meanwhile.
    ///
    /// # Errors
    /// The file could not be removed: the record does not come again now, but after the next start.
    pub async fn remove(&self, number: u64) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.remove(number)).await
    }

    /// Moves a record to `damaged/` because it can never be replayed, and says `why` in the log and beside it.
    ///
    /// # Errors
    /// It could not be moved, and is still in the queue.
    pub async fn set_aside(&self, number: u64, why: impl Into<Why>) -> Result<(), Error> {
        let (shared, why) = (Arc::clone(&self.shared), why.into());
        blocking(move || shared.condemn(number, Found::Damaged(why)).map(drop)).await
    }

    /// Whether there is nothing on disk.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.depth.borrow().records == 0
    }

    /// What is on disk.
    #[must_use]
    pub fn depth(&self) -> Depth {
        *self.shared.depth.borrow()
    }

    /// The same for who waits: for something to replay, or for room.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Depth> {
        self.shared.depth.subscribe()
    }
}

impl Shared {
    fn append(&self, events: u32, record: &[u8]) -> Result<u64, Error> {
        let bytes = record.len() as u64;
        if space(bytes) > self.room.max() {
            return Err(Error::TooLarge { bytes, most: self.room.max() });
        }
        let full = || Error::Full { path: self.path.clone(), source: None };
        let taken = self.room.take(space(bytes)).ok_or_else(full)?;
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        match Staged::write(&self.path, ticket, events, record, taken) {
            Ok(staged) => lock(&self.staged).push(staged),
            Err(error) => {
                // Others may wait for the room that was meant for this one.
                self.tell(&lock(&self.folder));
                return Err(Error::of_write(&self.path, error));
            }
        }

        let mut folder = lock(&self.folder);
        // Whoever had the lock before may have placed ours along with his own.
        let result = match folder.answers.remove(&ticket) {
            Some(result) => result,
            None => {
                let group = std::mem::take(&mut *lock(&self.staged));
                folder.place(group);
                self.tell(&folder);
                let lost = || io::Error::other("no answer for it");
                folder.answers.remove(&ticket).unwrap_or_else(|| Err(Error::of_write(&self.path, lost())))
            }
        };
        if result.is_ok() {
            self.metrics.appended.inc_by(u64::from(events));
        }
        result
    }

    fn after(&self, number: u64) -> Result<Option<Record>, Error> {
        loop {
            let Some(name) = lock(&self.folder).records.following(number).cloned() else { return Ok(None) };
            let path = self.path.join(name.to_string());
            match read(&self.path, &name).map_err(Error::io("read", &path))? {
                Found::Sound(bytes) => {
                    let (events, written_ms) = (name.events, name.written_ms);
                    return Ok(Some(Record { number: name.number, events, written_ms, bytes }));
                }
                found => self.condemn(name.number, found)?,
            }
        }
    }

    fn remove(&self, number: u64) -> Result<(), Error> {
        let mut folder = lock(&self.folder);
        let Some(events) = folder.records.awaited(number).map(|name| name.events) else { return Ok(()) };
        // Until all before it are gone its file stays: a hole in the numbers would look like a loss after a crash.
        folder.records.finish(number);
        self.metrics.replayed.inc_by(u64::from(events));
        self.clear(folder)
    }

    fn condemn(&self, number: u64, found: Found) -> Result<(), Error> {
        let mut folder = lock(&self.folder);
        if let Some(damage) = folder.condemn(number, found)? {
            self.report(damage);
            if let Err(error) = self.clear(folder) {
                tracing::warn!(error = %Chain(&error), "cannot tidy the spool up");
            }
        }
        Ok(())
    }

    /// Removes the files that nobody waits for any more.
    fn clear(&self, mut folder: MutexGuard<'_, Folder>) -> Result<(), Error> {
        let (left, result) = folder.clear_front();
        // Appenders need not wait for the disk to free blocks.
        drop(folder);
        let result = result.and(left.free(&self.path, &self.room));
        // Last, for those who wait for room.
        self.tell(&lock(&self.folder));
        result
    }

    fn report(&self, damage: Damage) {
        damage.log();
        self.metrics.damaged.inc_by(damage.records());
        self.is_damaged.store(true, Ordering::Relaxed);
        lock(&self.damage).push(damage);
    }

    /// Shows what is on disk. Under the folder's lock, so that the last to tell knows best.
    fn tell(&self, folder: &MutexGuard<'_, Folder>) {
        let depth = folder.records.depth();
        self.metrics.show(&depth);
        self.depth.send_replace(depth);
    }
}

/// A panic under a lock of ours leaves nothing half done that the next one could stumble over: files are judged anew.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::CutOff)?
}
