//! Takes a folder over at the start: sorts out what lies in it, and finds what is missing. Names, lengths and numbers
//! are judged here; contents only when they are replayed, because a full spool takes seconds to read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    ffi::{OsStr, OsString},
    fs::{self, File, TryLockError},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::{
    Damage, Error,
    append::TEMPORARY,
    aside::{DAMAGED, is_note, set_aside},
    folder::{Folder, MARK, create_folder, create_private, empty, mark_name},
    name::{ENDING, NUMBER_MAX, Name},
    read::{Found, misfit, read},
    records::Records,
    room::Room,
};

const LOCK: &str = "lock";
/// Every ext4 has it at its root, and a spool may well be a file system of its own.
const LOST_AND_FOUND: &str = "lost+found";

/// Opens the folder at `path`, creating it if it is missing. Also says what of it is lost, and whether anything was before.
pub(super) fn open(path: &Path, max_bytes: u64) -> Result<(Folder, Vec<Damage>, bool), Error> {
    create_folder(path)?;
    let lock = lock(path)?;
    warn_if_open_to_others(path)?;
    create_folder(&path.join(DAMAGED))?;
    let handle = File::open(path).map_err(Error::io("open", path))?;
    let mut scan = Scan::default();
    scan.files(path)?;
    let mark = scan.settle_mark(path)?;
    scan.put_back(path, mark)?;
    scan.gaps(path, mark)?;

    let last = scan.names.keys().next_back().max(scan.misfits.last()).copied();
    let mut next = last.max(mark).unwrap_or(0) + 1;
    while scan.aside.contains(&next) {
        next += 1;
    }
    // Without a mark there is nothing to say that what came before the first is gone on purpose.
    let first = scan.names.keys().next().copied().unwrap_or(next);
    let mark = match mark {
        Some(mark) => mark,
        None => {
            let file = path.join(mark_name(first - 1));
            create_private(&file).map_err(Error::io("create", &file))?;
            first - 1
        }
    };
    handle.sync_all().map_err(Error::io("sync", path))?;
    let mut records = Records::default();
    scan.names.into_values().for_each(|name| records.insert(name));
    let room = Room::new(max_bytes, records.depth().bytes);
    let folder =
        Folder { path: path.to_owned(), handle, _lock: lock, records, room, mark, next, answers: HashMap::new() };
    Ok((folder, scan.damage, scan.was_damaged))
}

/// Files in it are ours alone, but who may write to the folder may remove them. Not mended here: it may be a mount whose
/// permissions somebody chose, or a folder named by mistake.
fn warn_if_open_to_others(folder: &Path) -> Result<(), Error> {
    let mode = fs::metadata(folder).map_err(Error::io("look at", folder))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let mode = format_args!("{mode:o}");
        tracing::warn!(folder = %folder.display(), %mode, "others may reach into the spool, give it the mode 700");
    }
    Ok(())
}

/// Keeps every other daemon out. The system lets go of the lock when we die.
fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
    }
}

/// What a folder holds.
#[derive(Default)]
struct Scan {
    names: BTreeMap<u64, Name>,
    marks: BTreeSet<u64>,
    /// Numbers of files that are not what their names say. The names are sound, so the numbers were given.
    misfits: BTreeSet<u64>,
    /// Numbers of what was set aside, now or earlier.
    aside: BTreeSet<u64>,
    damage: Vec<Damage>,
    /// Whether anything was set aside earlier.
    was_damaged: bool,
}

impl Scan {
    fn files(&mut self, folder: &Path) -> Result<(), Error> {
        let mut aside = list(&folder.join(DAMAGED))?;
        aside.retain(|file| !is_note(file));
        self.aside.extend(aside.iter().filter_map(|file| number_aside(&file.to_string_lossy())));
        self.was_damaged = !aside.is_empty();
        if self.was_damaged {
            tracing::warn!(folder = %folder.display(), files = aside.len(), "the spool's damaged/ is not empty");
        }
        let mut foreign = Vec::new();
        for file in list(folder)? {
            match &*file.to_string_lossy() {
                LOCK | DAMAGED | LOST_AND_FOUND => {}
                text if is_temporary(text) => {
                    let path = folder.join(&file);
                    fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                }
                text if text.ends_with(ENDING) => self.record(folder, &file, Name::parse(text))?,
                text => match number_of_mark(text) {
                    Some(number) => {
                        self.marks.insert(number);
                    }
                    None => foreign.push(text.to_owned()),
                },
            }
        }
        if let Some(first) = foreign.first() {
            let files = foreign.len();
            tracing::warn!(folder = %folder.display(), files, first, "the spool leaves alone what is not its own");
        }
        Ok(())
    }

    fn record(&mut self, folder: &Path, file: &OsStr, name: Option<Name>) -> Result<(), Error> {
        let Some(name) = name else { return self.set_aside(folder, file, None, "has no record's name".to_owned()) };
        let path = folder.join(file);
        let metadata = fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?;
        let reason = match (misfit(&metadata, &name), self.names.entry(name.number)) {
            (Some(reason), _) => {
                self.misfits.insert(name.number);
                reason
            }
            (None, Entry::Occupied(_)) => "has the number of another".to_owned(),
            (None, Entry::Vacant(free)) => {
                free.insert(name);
                return Ok(());
            }
        };
        self.set_aside(folder, file, Some(&name), reason)
    }

    fn set_aside(&mut self, folder: &Path, file: &OsStr, name: Option<&Name>, reason: String) -> Result<(), Error> {
        if set_aside(folder, file, &reason.as_str().into())? {
            self.aside.extend(name.map(|name| name.number));
            let (file, events) = (file.to_string_lossy().into_owned(), name.map(|name| name.events));
            self.damage.push(Damage::SetAside { file, events, reason });
        }
        Ok(())
    }

    /// Where the mark stands. A crash may have left older ones, and the record in it that it was.
    fn settle_mark(&mut self, folder: &Path) -> Result<Option<u64>, Error> {
        let mark = self.marks.pop_last();
        if let Some(path) = mark.map(|number| folder.join(mark_name(number))) {
            empty(&path).map_err(Error::io("empty", &path))?;
        }
        for number in &self.marks {
            let path = folder.join(mark_name(*number));
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(mark)
    }

    /// Sets aside again what stands before the mark: only a person can have put it there. Its batch would be taken for one
    /// that was stored before, for later ones of its lane were, and nothing would come of it.
    fn put_back(&mut self, folder: &Path, mark: Option<u64>) -> Result<(), Error> {
        let Some(mark) = mark else { return Ok(()) };
        while let Some((number, name)) = self.names.pop_first() {
            if number > mark {
                self.names.insert(number, name);
                break;
            }
            let reason = "was put back, but records behind it are done with, so its time is over".to_owned();
            self.set_aside(folder, name.to_string().as_ref(), Some(&name), reason)?;
        }
        Ok(())
    }

    /// Finds numbers that are neither there nor removed nor set aside.
    fn gaps(&mut self, folder: &Path, mark: Option<u64>) -> Result<(), Error> {
        let mut expected = mark.map(|mark| mark + 1);
        let from = expected.unwrap_or(0);
        let numbers: BTreeSet<u64> =
            self.names.range(from..).map(|(number, _)| number).chain(self.misfits.range(from..)).copied().collect();
        for number in numbers {
            if let Some(expected) = expected
                && number > expected
            {
                // It may be the name that is wrong, so this one is read: all later numbers would count on from it.
                if !self.misfits.contains(&number) && !self.is_sound(folder, number)? {
                    continue;
                }
                self.missing(expected, number);
            }
            expected = Some(number + 1);
        }
        Ok(())
    }

    fn is_sound(&mut self, folder: &Path, number: u64) -> Result<bool, Error> {
        let Some(name) = self.names.get(&number).cloned() else { return Ok(false) };
        let file = name.to_string();
        match read(folder, &name).map_err(Error::io("read", &folder.join(&file)))? {
            Found::Sound(_) => return Ok(true),
            Found::Damaged(why) => self.set_aside(folder, file.as_ref(), Some(&name), why.reason)?,
            Found::Gone => {}
        }
        self.names.remove(&number);
        Ok(false)
    }

    /// Reports the numbers from `first` to before `end`, but for those that were set aside.
    fn missing(&mut self, mut first: u64, end: u64) {
        for number in self.aside.range(first..end).copied().chain([end]) {
            if number > first {
                self.damage.push(Damage::Missing { first, last: number - 1, events: None });
            }
            first = number + 1;
        }
    }
}

fn list(folder: &Path) -> Result<Vec<OsString>, Error> {
    let files = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    files.map_err(Error::io("list", folder))
}

fn is_temporary(file: &str) -> bool {
    file.strip_suffix(TEMPORARY).is_some_and(|ticket| ticket.bytes().all(|byte| byte.is_ascii_digit()))
}

fn number_of_mark(file: &str) -> Option<u64> {
    let number = file.strip_suffix(MARK)?.parse().ok()?;
    (number <= NUMBER_MAX && mark_name(number) == file).then_some(number)
}

/// Number of a file in `damaged/`, where a second one of the same name has something behind it.
fn number_aside(file: &str) -> Option<u64> {
    let end = file.find(ENDING)? + ENDING.len();
    Name::parse(&file[..end]).map(|name| name.number)
}
