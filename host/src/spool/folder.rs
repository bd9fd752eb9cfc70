//! The spool's folder while the daemon runs: what is in it, and where its mark stands. Everything here blocks on the disk, and
//! runs under the lock that [`super::Spool`] holds over it.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Damage, Error,
    name::Name,
    read::Found,
    records::Records,
    room::{Room, space},
};

/// Folder of what was set aside, in the spool's own.
pub(super) const DAMAGED: &str = "damaged";

/// Ending of the mark: an empty file whose name is the number up to which all is done with. It keeps numbers from being
/// given twice when the spool is empty, and shows when the oldest records are lost. A rename moves it, so there is one.
pub(super) const MARK: &str = ".removed";

pub(super) struct Folder {
    pub path: PathBuf,
    /// The folder itself, to be synced.
    pub handle: File,
    /// Locked for as long as it is open.
    pub _lock: File,
    pub records: Records,
    pub room: Arc<Room>,
    /// Where the mark stands.
    pub mark: u64,
    /// Number of the next record.
    pub next: u64,
    /// Results for those whose record somebody else has placed along with his own, by ticket.
    pub answers: HashMap<u64, Result<u64, Error>>,
}

impl Folder {
    /// Takes the record at `number` out of the queue, because of what was found in its place.
    pub fn condemn(&mut self, number: u64, found: Found) -> Result<Option<Damage>, Error> {
        // Somebody may have removed it meanwhile.
        let Some(name) = self.records.awaited(number) else { return Ok(None) };
        let (file, events) = (name.to_string(), Some(name.events));
        let missing = Damage::Missing { first: number, last: number, events };
        let damage = match found {
            Found::Sound(_) => return Ok(None),
            Found::Damaged(reason) if set_aside(&self.path, file.as_ref())? => {
                Damage::SetAside { file, events, reason }
            }
            Found::Damaged(_) | Found::Gone => missing,
        };
        if let Some(name) = self.records.take(number) {
            self.room.give_back(space(name.bytes));
        }
        Ok(Some(damage))
    }

    /// Takes out what is done with and has nothing before it, and moves the mark behind it. The files are the caller's to
    /// remove afterwards: a crash in between brings records back, which is harmless. The other way round their numbers
    /// would be missing. They go even if the mark cannot be moved, which is then tried again with the next.
    pub fn clear_front(&mut self) -> (Vec<Name>, Result<(), Error>) {
        let mut gone = Vec::new();
        while let Some(name) = self.records.take_finished() {
            gone.push(name);
        }
        let marked = self.advance(self.records.first().unwrap_or(self.next) - 1);
        (gone, marked)
    }

    fn advance(&mut self, to: u64) -> Result<(), Error> {
        if to <= self.mark {
            return Ok(());
        }
        let path = self.path.join(mark_name(to));
        let moved = match fs::rename(self.path.join(mark_name(self.mark)), &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create_private(&path).map(drop),
            moved => moved,
        };
        moved.map_err(Error::io("move the mark to", &path))?;
        self.mark = to;
        Ok(())
    }
}

/// The mark's name when it stands at `number`.
pub(super) fn mark_name(number: u64) -> String {
    format!("{number:020}{MARK}")
}

/// Creates a file that only we can read.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Moves `file` to `damaged/`, under a name that is free there. `false`: there is no such file.
pub(super) fn set_aside(folder: &Path, file: &OsStr) -> Result<bool, Error> {
    let (from, mut to) = (folder.join(file), folder.join(DAMAGED).join(file));
    for again in 1u64.. {
        if fs::symlink_metadata(&to).is_err() {
            break;
        }
        let mut name = file.to_owned();
        name.push(format!(".{again}"));
        to.set_file_name(name);
    }
    match fs::rename(&from, to) {
        // Not so if it is `damaged/` that is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&from).is_err() => Ok(false),
        moved => moved.map(|()| true).map_err(Error::io("set aside", &from)),
    }
}
