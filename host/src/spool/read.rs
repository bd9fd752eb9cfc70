//! Reads one record and judges it.

use std::{fs, io, path::Path};

use bytes::Bytes;
use rustix::io::Errno;

use super::{aside::Why, name::Name};

/// What became of a record on disk.
#[derive(Debug)]
pub(super) enum Found {
    /// Every byte as it was written.
    Sound(Bytes),
    /// Not as it was written, or not to be read, and why.
    Damaged(Why),
    /// There is no such file.
    Gone,
}

/// Reads the record `name` in `folder`.
///
/// # Errors
/// What says nothing of the record, such as too many open files: try again.
pub(super) fn read(folder: &Path, name: &Name) -> io::Result<Found> {
    match content(&folder.join(name.to_string()), name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Gone),
        Err(error) if is_of_the_file(&error) => Ok(Found::Damaged(format!("cannot be read: {error}").into())),
        found => found,
    }
}

fn content(path: &Path, name: &Name) -> io::Result<Found> {
    // Asked before it is opened: opening a pipe would wait for somebody to write to it.
    let metadata = fs::symlink_metadata(path)?;
    if let Some(reason) = misfit(&metadata, name) {
        return Ok(Found::Damaged(reason.into()));
    }
    let content = fs::read(path)?;
    Ok(match name.is_of(&content) {
        true => Found::Sound(content.into()),
        false => Found::Damaged("fails its checksum".into()),
    })
}

/// What shows that a file is not the record `name`, without reading it.
pub(super) fn misfit(metadata: &fs::Metadata, name: &Name) -> Option<String> {
    match (metadata.is_file(), metadata.len()) {
        (false, _) => Some("is not a file".to_owned()),
        (true, length) if length != name.bytes => Some(format!("is {length} bytes long instead of {}", name.bytes)),
        (true, _) => None,
    }
}

/// Whether an error is the file's own: permissions, a bad sector, a file system that fails its own checksums. Others
/// are the process's or the moment's.
fn is_of_the_file(error: &io::Error) -> bool {
    let own = [Errno::ACCESS, Errno::PERM, Errno::IO, Errno::BADMSG, Errno::UCLEAN];
    error.raw_os_error().is_some_and(|code| own.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_sector_is_the_files_fault_and_too_many_open_files_are_not() {
        for (errno, own) in [(Errno::IO, true), (Errno::ACCESS, true), (Errno::MFILE, false), (Errno::NOMEM, false)] {
            assert_eq!(is_of_the_file(&io::Error::from(errno)), own, "{errno}");
        }
    }
}
