//! How a record comes to be on disk: written and synced beside, by each appender for itself; then given its number,
//! renamed and the folder synced, by one for all that wait at that moment. So appenders that come together share the
//! syncs, and numbers have no holes: one is only given to a record that is whole.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    Error,
    folder::{Folder, create_private},
    name::Name,
    room::Taken,
};

/// Ending of a record that is not yet whole.
pub(super) const TEMPORARY: &str = ".tmp";

/// A record that is whole and synced, and has neither number nor name. Dropped, it is removed.
pub(super) struct Staged {
    /// Who waits for it.
    pub ticket: u64,
    file: Temporary,
    events: u32,
    bytes: u64,
    content: Sha256,
    taken: Taken,
}

/// `None` once it is renamed.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn rename(&mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.0 {
            fs::rename(path, to)?;
            self.0 = None;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // One that cannot be removed now is removed when the spool is opened.
            let _ = fs::remove_file(path);
        }
    }
}

impl Staged {
    /// Writes `record` beside the records of `folder`.
    pub fn write(folder: &Path, ticket: u64, events: u32, record: &[u8], taken: Taken) -> io::Result<Self> {
        let path = folder.join(format!("{ticket}{TEMPORARY}"));
        let mut open = create_private(&path)?;
        let file = Temporary(Some(path));
        open.write_all(record)?;
        // Of an error here the caller hears, and writes a new file: what a file holds after a failed sync is unknown.
        open.sync_data()?;
        let content = Sha256::new_with_prefix(record);
        Ok(Self { ticket, file, events, bytes: record.len() as u64, content, taken })
    }
}

impl Folder {
    /// Numbers and names what is staged, in its order, and leaves the results in `answers`.
    pub fn place(&mut self, group: Vec<Staged>) {
        let written_ms = chrono::Utc::now().timestamp_millis().max(0);
        let mut placed = Vec::with_capacity(group.len());
        for staged in group {
            let Staged { ticket, mut file, events, bytes, content, taken } = staged;
            let name = Name::seal(self.next, written_ms, events, bytes, content);
            match file.rename(&self.path.join(name.to_string())) {
                Ok(()) => {
                    self.next += 1;
                    placed.push((ticket, name, taken));
                }
                Err(error) => {
                    self.answers.insert(ticket, Err(Error::of_write(&self.path, error)));
                }
            }
        }
        match self.handle.sync_all() {
            Ok(()) => {
                for (ticket, name, taken) in placed {
                    self.answers.insert(ticket, Ok(name.number));
                    taken.keep();
                    self.records.insert(name);
                }
            }
            Err(error) => self.withdraw(placed, &error),
        }
    }

    /// Takes back records of which nobody knows whether they would survive. One that cannot be taken back stays in the
    /// queue: its appender is told of the error and brings it again, and a repeat is recognised where it is replayed.
    fn withdraw(&mut self, mut placed: Vec<(u64, Name, Taken)>, error: &io::Error) {
        for (ticket, ..) in &placed {
            let same = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            self.answers.insert(*ticket, Err(Error::of_write(&self.path, same)));
        }
        // From the last, so that the numbers can be given again and no hole stays.
        while let Some((_, name, _)) = placed.last()
            && fs::remove_file(self.path.join(name.to_string())).is_ok()
        {
            self.next = name.number;
            placed.pop();
        }
        for (_, name, taken) in placed {
            taken.keep();
            self.records.insert(name);
        }
    }
}
