//! What befell a slot, kept beside the audit stream, so that it can be read while Redis is away.

use std::{collections::VecDeque, fs, io::Write, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::wish::By;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, RFC 3339.
    pub at: String,
    /// `installed`, `refused`, `rolled-back`, `taken-back`, `stayed`, `rehearsed`, …
    pub what: String,
    /// Digest of the guest; empty where it was not even read.
    pub digest: String,
    /// What it is called.
    pub name: String,
    /// On whose word.
    pub by: By,
    /// Where it came from, or why it was refused or taken back.
    pub reason: String,
}

/// As many are kept of a slot.
const MOST: usize = 200;

/// The history of one slot.
#[derive(Debug)]
pub struct History {
    path: Option<PathBuf>,
    events: VecDeque<Event>,
    /// Lines of the file, which is written anew when they are too many.
    lines: usize,
}

impl History {
    /// What is known of it; kept in memory only without a `path`.
    pub(super) fn open(path: Option<PathBuf>) -> Self {
        let mut history = Self { path, events: VecDeque::new(), lines: 0 };
        let text = history.path.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        for line in text.lines() {
            history.lines += 1;
            match serde_json::from_str(line) {
                Ok(event) => history.push(event),
                // A line that was cut off by a crash is no event, and the next one must not become its end.
                Err(_) => history.lines = 2 * MOST,
            }
        }
        history
    }

    /// Writes `event` down. A line that cannot be written is in the log and the audit stream all the same.
    pub(super) fn add(&mut self, event: Event) {
        self.push(event);
        if let Err(error) = self.write() {
            tracing::warn!(%error, path = ?self.path, "cannot write the history of a slot");
        }
    }

    /// Newest first.
    pub(super) fn newest(&self) -> Vec<Event> {
        self.events.iter().rev().cloned().collect()
    }

    fn push(&mut self, event: Event) {
        self.events.push_back(event);
        if self.events.len() > MOST {
            self.events.pop_front();
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        let (Some(path), Some(last)) = (&self.path, self.events.back()) else { return Ok(()) };
        let line = |event: &Event| serde_json::to_string(event).map(|line| line + "\n").map_err(std::io::Error::from);
        if self.lines >= 2 * MOST {
            let all = self.events.iter().map(line).collect::<Result<String, _>>()?;
            let beside = path.with_extension("new");
            fs::write(&beside, all)?;
            fs::rename(beside, path)?;
            self.lines = self.events.len();
        } else {
            fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(line(last)?.as_bytes())?;
            self.lines += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> Event {
        Event {
            at: String::new(),
            what: "installed".to_owned(),
            digest: format!("sha256:{number}"),
            name: String::new(),
            by: By::Admin,
            reason: "\"quoted\"\nand long".to_owned(),
        }
    }

    #[test]
    fn survives_a_restart_and_a_line_that_was_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("route.history");
        let mut history = History::open(Some(path.clone()));
        (0..3).for_each(|number| history.add(event(number)));
        let mut text = fs::read(&path).expect("the file");
        text.extend(b"{\"at\":\"2026");
        fs::write(&path, text).expect("written");
        let mut again = History::open(Some(path.clone()));
        assert_eq!(again.newest(), [event(2), event(1), event(0)]);
        again.add(event(3));
        assert_eq!(History::open(Some(path)).newest().len(), 4);
    }

    #[test]
    fn keeps_the_newest_and_the_file_short() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("route.history");
        let mut history = History::open(Some(path.clone()));
        (0..1000).for_each(|number| history.add(event(number)));
        let again = History::open(Some(path));
        assert!(again.lines <= 2 * MOST, "{} lines", again.lines);
        assert_eq!(again.newest().len(), MOST);
        assert_eq!(again.newest()[0], event(999));
    }
}
