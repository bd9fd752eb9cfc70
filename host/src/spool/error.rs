use std::{
    io,
    path::{Path, PathBuf},
};

/// The spool could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `spool.max_bytes` is reached; or, with a cause, the disk or a quota is full. Try again when records have gone.
    #[error("the spool {} is full", path.display())]
    Full {
        /// The spool's folder.
        path: PathBuf,
        /// What the system says, if it is not our own limit.
        source: Option<io::Error>,
    },
    /// Not even an empty spool could hold it.
    #[error("a record of {bytes} bytes is larger than the whole spool of {most}")]
    TooLarge {
        /// Length of the record.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// The folder belongs to a daemon that runs.
    #[error("the spool {} is in use by another daemon", path.display())]
    InUse {
        /// The spool's folder.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime ended, or the work panicked. Whether it was done is not known.
    #[error("the spool's work was cut off")]
    CutOff(#[source] tokio::task::JoinError),
}

impl Error {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// An error of writing to the spool `folder`.
    pub(super) fn of_write(folder: &Path, source: io::Error) -> Self {
        let path = folder.to_owned();
        match source.kind() {
            // The last is a limit on the size of files, which `ulimit -f` sets.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { path, source: Some(source) }
            }
            _ => Self::Io { what: "write to the spool", path, source },
        }
    }
}
