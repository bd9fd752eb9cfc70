//! The spool's folder while the daemon runs: what is in it, and where its mark stands. Everything here blocks on the disk, and
//! runs under the lock that [`super::Spool`] holds over it.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Damage, Error,
    aside::set_aside,
    name::Name,
    read::Found,
    records::Records,
    room::{Room, space},
};

/// Ending of the mark: a file whose name is the number up to which all is done with. It keeps numbers from being given
/// twice when the spool is empty, and shows when the oldest records are lost, or when one of before comes back. A record
/// that is done with is renamed to be the mark, so at each instant it is either a record or behind the mark.
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
            Found::Damaged(why) if set_aside(&self.path, file.as_ref(), &why)? => {
                Damage::SetAside { file, events, reason: why.reason }
            }
            Found::Damaged(_) | Found::Gone => missing,
        };
        if let Some(name) = self.records.take(number) {
            self.room.give_back(space(name.bytes));
        }
        Ok(Some(damage))
    }

    /// Takes out what is done with and has nothing before it, and moves the mark behind it. What is left of the files is
    /// the caller's to [free](Left::free). Records go even if the mark cannot be moved; those come again after the next
    /// start.
    pub fn clear_front(&mut self) -> (Left, Result<(), Error>) {
        let (mut marks, mut result) = (BTreeMap::from([(self.mark, 0)]), Ok(()));
        while let Some(name) = self.records.take_finished() {
            result = result.and(self.retire(&name));
            *marks.entry(name.number).or_default() += space(name.bytes);
        }
        // What was set aside leaves no file here that could become the mark.
        let behind = self.records.first().unwrap_or(self.next) - 1;
        let result = result.and_then(|()| self.advance(behind));
        marks.entry(self.mark).or_default();
        (Left { marks, mark: self.mark }, result)
    }

    /// Makes the file of a record the mark.
    fn retire(&mut self, name: &Name) -> Result<(), Error> {
        let path = self.path.join(mark_name(name.number));
        match fs::rename(self.path.join(name.to_string()), &path) {
            Ok(()) => self.mark = name.number,
            // Somebody has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.advance(name.number),
            Err(error) => return Err(Error::io("move the mark to", &path)(error)),
        }
        Ok(())
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

/// What is left of records that are done with: files that were the mark at some time, and the one that is.
pub(super) struct Left {
    /// By number: the disk space that becomes free with it.
    marks: BTreeMap<u64, u64>,
    mark: u64,
}

impl Left {
    /// Removes what is left in `folder`, and empties the mark. Not under the lock: it can take milliseconds to free the
    /// blocks of a file. A crash before it is done leaves more than one mark, of which the highest counts.
    pub fn free(self, folder: &Path, room: &Room) -> Result<(), Error> {
        let mut result = Ok(());
        for (number, space) in self.marks {
            let path = folder.join(mark_name(number));
            let freed = if number == self.mark { empty(&path) } else { fs::remove_file(&path) };
            match freed {
                // Another thread has moved the mark on, and frees this one as well.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    result = result.and(Err(Error::io("remove", &path)(error)));
                }
                _ => room.give_back(space),
            }
        }
        result
    }
}

/// Takes a file's content away.
pub(super) fn empty(path: &Path) -> io::Result<()> {
    File::options().write(true).open(path)?.set_len(0)
}

/// The mark's name when it stands at `number`.
pub(super) fn mark_name(number: u64) -> String {
    format!("{number:020}{MARK}")
}

/// Creates a folder that only we can read, if it is missing.
pub(super) fn create_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("create", path))?;
    // So that the folder itself is still there after a crash.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(Error::io("sync", parent))
}

/// Creates a file that only we can read.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}
