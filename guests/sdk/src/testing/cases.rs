use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Case, decisions_json, event, message, normalized_json, routes_json, tasks_json, verdicts_json, with_options,
    with_state, with_told,
};
use crate::{
    Decisions, Failure, Messages, Normalized, OriginEvents, Outcome, RawEvents, Routes, Task, TaskFailure, Verdicts,
};

/// The folders of a guest's `cases/`, at any depth.
///
/// Each test panics with every case that differs. `UPDATE_CASES=1` writes the expectations anew instead; read the
/// difference before you believe it.
#[derive(Debug)]
pub struct Cases(Vec<PathBuf>);

impl Cases {
    /// Those of the guest whose package is in `package`.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn of(package: impl AsRef<Path>) -> Self {
        Self::below(&package.as_ref().join("cases"))
    }

    /// Those below `folder`.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        let mut folders = Vec::new();
        gather(folder, &mut folders);
        assert!(!folders.is_empty(), "there are no cases in {}", folder.display());
        Self(folders)
    }

    /// Their folders.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// Tries a normalizer.
    ///
    /// # Panics
    /// If a case differs.
    pub fn normalize(&self, guest: impl Fn(&RawEvents) -> Result<Normalized, Failure>) {
        self.check(|case, input| {
            let batch = case.raw_events(input);
            guest(&batch).map(|answer| normalized_json(batch, answer))
        });
    }

    /// Tries a router.
    ///
    /// # Panics
    /// If a case differs.
    pub fn route(&self, guest: impl Fn(&OriginEvents) -> Result<Routes, Failure>) {
        self.check(|case, input| guest(&event::read(case, input)).map(|answer| routes_json(&answer)));
    }

    /// Tries a federation policy.
    ///
    /// # Panics
    /// If a case differs.
    pub fn federate(&self, guest: impl Fn(&OriginEvents) -> Result<Decisions, Failure>) {
        self.check(|case, input| {
            let batch = event::read(case, input);
            guest(&batch).map(|answer| decisions_json(&batch, &answer))
        });
    }

    /// Tries a judge of what other sites send.
    ///
    /// # Panics
    /// If a case differs.
    pub fn inbound(&self, guest: impl Fn(&Messages) -> Result<Verdicts, Failure>) {
        self.check(|case, input| guest(&message::read(case, input)).map(|answer| verdicts_json(&answer)));
    }

    /// Tries an agent, on each task by itself.
    ///
    /// # Panics
    /// If a case differs.
    pub fn task(&self, guest: impl Fn(&Task) -> Result<Outcome, TaskFailure>) {
        self.check(|case, input| {
            let outcomes: Vec<_> = case.tasks(input).iter().map(&guest).collect();
            Ok(tasks_json(&outcomes))
        });
    }

    fn check(&self, run: impl Fn(&Case, &[u8]) -> Result<Value, Failure>) {
        let update = std::env::var_os("UPDATE_CASES").is_some();
        let mut wrong = Vec::new();
        for folder in &self.0 {
            let (case, path) = (Case::read(folder), folder.join("input"));
            let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let answer = || with_options(case.settings(), || run(&case, &input));
            let outcomes = with_told(&case.indicators, case.received_ms, || with_state(case.state(), answer))
                .unwrap_or_else(|failure| panic!("{}: the whole call failed: {failure:?}", folder.display()));
            let text = serde_json::to_string_pretty(&outcomes).expect("JSON") + "\n";
            let expected = folder.join("expected.json");
            if update {
                fs::write(&expected, &text).expect("the case's folder can be written");
            } else if fs::read_to_string(&expected).ok().and_then(|text| serde_json::from_str(&text).ok())
                != Some(outcomes)
            {
                wrong.push(format!("{} gives\n{text}", folder.display()));
            }
        }
        let tried = self.0.len();
        assert!(wrong.is_empty(), "{} of {tried} cases differ\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// Folders that hold an `input`.
fn gather(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join("input").is_file() {
        found.push(folder.to_owned());
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut below: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    below.sort();
    below.iter().for_each(|folder| gather(folder, found));
}
