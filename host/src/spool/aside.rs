//! What was set aside in `damaged/`: put there by the spool, with a note that says why, and looked at by a person's
//! command beside a daemon that runs or none. The spool itself never reads it again.

use std::{
    ffi::OsStr,
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::{
    Error,
    folder::{create_folder, create_private},
    name::{ENDING, Name},
};

/// Folder of what was set aside, in the spool's own.
pub(super) const DAMAGED: &str = "damaged";

/// Ending of a note, behind the name of the file that it is about.
const NOTE: &str = ".why";

/// Why a record was set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// For a person.
    pub reason: String,
    /// Redis has stored it, but for its entries at these positions; none: it has stored nothing of it.
    pub refused: Vec<usize>,
}

impl From<String> for Why {
    fn from(reason: String) -> Self {
        Self { reason, refused: Vec::new() }
    }
}

impl From<&str> for Why {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// As in a note.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason.replace('\n', " "))?;
        if self.refused.is_empty() {
            return Ok(());
        }
        let refused: Vec<_> = self.refused.iter().map(usize::to_string).collect();
        writeln!(f, "refused {}", refused.join(" "))
    }
}

impl Why {
    fn read(note: &str) -> Option<Self> {
        let mut lines = note.lines();
        let reason = lines.next()?.to_owned();
        let Some(refused) = lines.next() else { return Some(reason.into()) };
        let positions = refused.strip_prefix("refused ")?.split(' ').map(|position| position.parse().ok());
        Some(Self { reason, refused: positions.collect::<Option<_>>()? })
    }
}

/// Moves `file` to `damaged/`, under a name that is free there, with a note; makes that folder if it is gone. `false`:
/// there is no such file.
pub(super) fn set_aside(folder: &Path, file: &OsStr, why: &Why) -> Result<bool, Error> {
    let (from, mut to) = (folder.join(file), folder.join(DAMAGED).join(file));
    if fs::symlink_metadata(&from).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(false);
    }
    // Whoever looked at what was in it may have removed it as well.
    if !folder.join(DAMAGED).exists() {
        create_folder(&folder.join(DAMAGED))?;
    }
    for again in 1u64.. {
        if fs::symlink_metadata(&to).is_err() {
            break;
        }
        let mut name = file.to_owned();
        name.push(format!(".{again}"));
        to.set_file_name(name);
    }
    // First, so that no file is there whose note is still to come. A full disk has room for a name, but not for a note.
    if let Err(error) = write_note(&note_of(&to), why) {
        tracing::warn!(%error, file = %to.display(), "what is set aside has no note of why");
    }
    match fs::rename(&from, &to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&from).is_err() => Ok(false),
        moved => moved.map(|()| true).map_err(Error::io("set aside", &from)),
    }
}

/// One that is there is of the same record, which somebody had put back: it knows more.
fn write_note(path: &Path, why: &Why) -> io::Result<()> {
    match create_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        file => {
            let mut file = file?;
            let written = file.write_all(why.to_string().as_bytes()).and_then(|()| file.sync_data());
            // Half a note would say less than none.
            written.inspect_err(|_| _ = fs::remove_file(path))
        }
    }
}

fn note_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(NOTE);
    name.into()
}

/// Whether a file of `damaged/` is a note.
pub(super) fn is_note(file: &OsStr) -> bool {
    file.as_encoded_bytes().ends_with(NOTE.as_bytes())
}

/// A file in `damaged/`.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Events in it, where the name tells.
    pub events: Option<u32>,
    /// When it was written, Unix ms, where the name tells.
    pub written_ms: Option<i64>,
    /// Why it is there, if it has a note.
    pub why: Option<Why>,
    name: Option<Name>,
    path: PathBuf,
}

impl SetAside {
    /// What was set aside of the spool at `path`, the oldest first; nothing where there is no spool yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn list(path: &Path) -> Result<Vec<Self>, Error> {
        let folder = path.join(DAMAGED);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
        };
        let mut all = Vec::new();
        for entry in entries.map_err(Error::io("list", &folder))? {
            let path = entry.path();
            if is_note(&entry.file_name()) {
                continue;
            }
            let metadata = match fs::symlink_metadata(&path) {
                // Somebody has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(Error::io("look at", &path))?,
            };
            let file = entry.file_name().to_string_lossy().into_owned();
            // A second one of the same name has something behind it.
            let end = file.find(ENDING).map_or(file.len(), |at| at + ENDING.len());
            let name = Name::parse(&file[..end]);
            let why = fs::read_to_string(note_of(&path)).ok().and_then(|note| Why::read(&note));
            let (events, written_ms) = (name.as_ref().map(|n| n.events), name.as_ref().map(|n| n.written_ms));
            all.push(Self { file, bytes: metadata.len(), events, written_ms, why, name, path });
        }
        all.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(all)
    }

    /// What is in it, and whether every byte of it is as it was written.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self) -> Result<(Vec<u8>, bool), Error> {
        let content = match fs::symlink_metadata(&self.path) {
            // Opening a pipe would wait for somebody to write to it.
            Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a file")),
            _ => fs::read(&self.path),
        };
        let content = content.map_err(Error::io("read", &self.path))?;
        let is_sound = self.name.as_ref().is_some_and(|name| name.is_of(&content));
        Ok((content, is_sound))
    }

    /// Removes it, and its note.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self) -> Result<(), Error> {
        fs::remove_file(&self.path).map_err(Error::io("remove", &self.path))?;
        // A note alone says nothing, and is heeded by nobody.
        let _ = fs::remove_file(note_of(&self.path));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_is_written() {
        for why in [Why::from("fails\nits checksum"), Why { reason: "has 2".to_owned(), refused: vec![0, 17] }] {
            let expected = Why { reason: why.reason.replace('\n', " "), ..why.clone() };
            assert_eq!(Why::read(&why.to_string()), Some(expected));
        }
        for torn in ["", "has 2\nrefused", "has 2\nrefused 1 x"] {
            assert_eq!(Why::read(torn), None, "{torn:?}");
        }
    }
}
