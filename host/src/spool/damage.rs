use std::fmt;

/// Records that are lost to the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A file was moved to `damaged/`, as it was.
    SetAside {
        /// The file's name.
        file: String,
        /// Events in it, where the name still tells.
        events: Option<u32>,
        /// What is wrong with it.
        reason: String,
    },
    /// Files are gone that nobody had removed.
    Missing {
        /// Number of the first.
        first: u64,
        /// Number of the last.
        last: u64,
        /// Events in them, if known.
        events: Option<u32>,
    },
}

impl Damage {
    /// How many records it concerns.
    #[must_use]
    pub fn records(&self) -> u64 {
        match self {
            Self::SetAside { .. } => 1,
            Self::Missing { first, last, .. } => last - first + 1,
        }
    }

    /// Says so in the log.
    pub(super) fn log(&self) {
        match self {
            Self::SetAside { file, events, reason } => {
                tracing::error!(file, events, reason, "a spooled record is set aside in damaged/");
            }
            Self::Missing { first, last, events } => {
                tracing::error!(first, last, events, "spooled records are missing");
            }
        }
    }
}

/// As in the audit trail.
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, reason) = match self {
            Self::SetAside { file, events, reason } => {
                write!(f, "{file}")?;
                (events, reason.as_str())
            }
            Self::Missing { first, last, events } if first == last => {
                write!(f, "record {first}")?;
                (events, "is missing")
            }
            Self::Missing { first, last, events } => {
                write!(f, "records {first} to {last}")?;
                (events, "are missing")
            }
        };
        match events {
            Some(events) => write!(f, " ({events} events) {reason}"),
            None => write!(f, " {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_lost() {
        let reason = "fails its checksum".to_owned();
        let aside = Damage::SetAside { file: "1.resp".to_owned(), events: Some(3), reason };
        assert_eq!(aside.to_string(), "1.resp (3 events) fails its checksum");
        let missing = Damage::Missing { first: 7, last: 9, events: None };
        assert_eq!((missing.to_string().as_str(), missing.records()), ("records 7 to 9 are missing", 3));
    }
}
