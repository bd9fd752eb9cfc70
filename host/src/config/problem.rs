//! What is wrong with a configuration, said so that it can be put right.

use std::{cmp::Ordering, fmt, path::PathBuf};

use super::Config;

/// Everything that is wrong, in the order of the file, then of the environment. Never empty as an error.
#[derive(Clone, Debug, Default)]
pub struct Problems(Vec<Problem>, Option<Box<Config>>);

impl PartialEq for Problems {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Problems {}

/// One thing that is wrong. Printed as `FILE:LINE: KEY: what; remedy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key with its section, as in `mqtt.cert`. Empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file. A key that is missing has the line of its section, if there is one.
    File {
        /// As it was given.
        path: PathBuf,
        /// From 1.
        line: Option<usize>,
        /// In characters, from 1.
        column: Option<usize>,
    },
    /// In this environment variable.
    Variable(String),
    /// Nowhere: there is no file.
    Nowhere,
}

impl Problems {
    /// Puts them in order. A problem found twice is one problem.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.place.compare(&b.place).then_with(|| a.key.cmp(&b.key)));
        problems.dedup();
        Self(problems, None)
    }

    /// Keeps what could be read in spite of them, so that the guests can be judged in the same go.
    #[must_use]
    pub(super) fn beside(mut self, config: Config) -> Self {
        self.1 = Some(Box::new(config));
        self
    }

    /// The guests that could be read in spite of the problems: those that no problem speaks of.
    #[must_use]
    pub fn sound_guests(&self) -> Option<&Config> {
        self.sound("guests")
    }

    /// The configuration, if it could be read and no problem speaks of this section.
    #[must_use]
    pub fn sound(&self, section: &str) -> Option<&Config> {
        let affected = self.0.iter().any(|problem| problem.key.starts_with(section));
        self.1.as_deref().filter(|_| !affected)
    }

    /// The problems in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Number of problems.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Place {
    fn compare(&self, other: &Self) -> Ordering {
        // What has no line concerns the file as a whole, so it comes first.
        let rank = |place: &Self| match place {
            Self::Nowhere => (0, 0, 0),
            Self::File { line, column, .. } => (1, line.unwrap_or(0), column.unwrap_or(0)),
            Self::Variable(_) => (2, 0, 0),
        };
        rank(self).cmp(&rank(other)).then_with(|| match (self, other) {
            (Self::Variable(a), Self::Variable(b)) => a.cmp(b),
            _ => Ordering::Equal,
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line), .. } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None, .. } => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}
