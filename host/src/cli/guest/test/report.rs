use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::trial::Subject;

/// What was asked of one guest, printed as it goes.
#[derive(Debug)]
pub(super) struct Report {
    pub name: String,
    pub lines: Vec<Line>,
    begun: Instant,
}

/// One check.
#[derive(Debug)]
pub(super) struct Line {
    pub name: String,
    /// What was tried, and what it cost.
    pub what: Option<String>,
    /// Empty if it passes.
    pub wrong: Vec<String>,
    pub notes: Vec<String>,
    pub took: Duration,
}

impl Report {
    pub(super) fn new(subject: &Subject, wasm: &Path) -> Self {
        say!("{}  stage {}  {}\n{}", subject.name(), subject.stage(), subject.digest(), wasm.display());
        if !subject.grants().is_empty() {
            say!("imports what its site must grant: {}", subject.grants());
        }
        Self { name: subject.name().to_owned(), lines: Vec::new(), begun: Instant::now() }
    }

    pub(super) fn add(&mut self, line: Line) {
        let word = if line.wrong.is_empty() { "ok  " } else { "FAIL" };
        let what = line.what.as_deref().unwrap_or_default();
        say!("  {word}  {:<28} {what}", line.name);
        for text in line.notes.iter().chain(&line.wrong) {
            for row in text.lines() {
                say!("        {}", printable(row));
            }
        }
        self.lines.push(line);
    }

    pub(super) fn passed(&self) -> bool {
        self.lines.iter().all(|line| line.wrong.is_empty())
    }

    pub(super) fn close(&self) {
        let failed = self.lines.iter().filter(|line| !line.wrong.is_empty()).count();
        let (passed, took) = (self.lines.len() - failed, self.begun.elapsed());
        say!("  {passed} passed, {failed} failed, in {:.1} s", took.as_secs_f64());
    }

    /// Whether there was anything to pass.
    pub(super) fn asked(&self) -> bool {
        !self.lines.is_empty()
    }
}

/// What a guest said is shown at a terminal, which it must not steer.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
