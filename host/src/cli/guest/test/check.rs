//! What is asked of a guest, one check after the other.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::{
    diff::diff,
    fault,
    report::{Line, Report},
};
use crate::{
    sandbox::Settings,
    telemetry::Chain,
    trial::{Batch, Budget, Case, Cost, Culprit, Recording, Run, Subject, Surroundings, cases_below, hostile},
};

pub(super) struct Checks<'a> {
    pub subject: &'a Subject,
    /// As the author named it.
    pub guest: &'a Path,
    pub wasm: &'a Path,
    pub budget: Budget,
    /// For recordings, and for hostile input where there are no cases.
    pub settings: Arc<Settings>,
    pub report: &'a mut Report,
    /// Faults that were told of in full.
    pub told: BTreeSet<String>,
}

/// What a batch gave, or what is wrong with it.
enum Tried {
    Outcomes(Vec<Value>, Cost),
    Wrong(Vec<Wrong>, Cost),
}

/// Something wrong, in words.
struct Wrong {
    text: String,
    /// Whether it is a fault that was told of in full before.
    known: bool,
}

impl From<String> for Wrong {
    fn from(text: String) -> Self {
        Self { text, known: false }
    }
}

fn texts(wrong: Vec<Wrong>) -> impl Iterator<Item = String> {
    wrong.into_iter().map(|wrong| wrong.text)
}

impl Checks<'_> {
    /// Runs the cases below `folder`, and returns them with their input.
    pub(super) fn cases(&mut self, folder: &Path, update: bool) -> anyhow::Result<Vec<(Case, Batch)>> {
        let folders = cases_below(folder).map_err(|error| anyhow::anyhow!("{}", Chain(&error)))?;
        anyhow::ensure!(
            !folders.is_empty(),
            "there are no cases in {}: a case is a folder with `input`",
            folder.display()
        );
        let mut cases = Vec::new();
        for path in &folders {
            let begun = Instant::now();
            let name = match path.strip_prefix(folder) {
                Ok(name) if name.as_os_str().is_empty() => path.display().to_string(),
                Ok(name) => name.display().to_string(),
                Err(_) => path.display().to_string(),
            };
            let (wrong, cost, notes) = self.case(path, update, &mut cases)?;
            self.report.add(Line {
                name,
                what: cost.map(|cost| cost.to_string()),
                wrong,
                notes,
                took: begun.elapsed(),
            });
        }
        Ok(cases)
    }

    fn case(
        &mut self,
        path: &Path,
        update: bool,
        cases: &mut Vec<(Case, Batch)>,
    ) -> anyhow::Result<(Vec<String>, Option<Cost>, Vec<String>)> {
        let plain = |error: crate::trial::CaseError| Chain(&error).to_string();
        let case = match Case::read(path) {
            Ok(case) => case,
            Err(error) => return Ok((vec![plain(error)], None, Vec::new())),
        };
        let (batch, around) = match (case.batch(self.subject.stage()), case.surroundings()) {
            (Ok(batch), Ok(around)) => (batch, around),
            (Err(error), _) | (_, Err(error)) => return Ok((vec![plain(error)], None, Vec::new())),
        };
        let tried = self.tried(&batch, &around, Some(&case));
        let known = case.expected.clone();
        cases.push((case, batch));
        let (outcomes, cost) = match tried {
            Tried::Wrong(wrong, cost) => return Ok((texts(wrong).collect(), Some(cost), Vec::new())),
            Tried::Outcomes(outcomes, cost) => (Value::Array(outcomes), cost),
        };
        let mut wrong = self.budget.exceeded(&cost);
        let expected = path.join("expected.json");
        let mut notes = Vec::new();
        match &known {
            Some(expected) if *expected == outcomes => {}
            known if update => {
                std::fs::write(&expected, pretty(&outcomes))
                    .with_context(|| format!("cannot write {}", expected.display()))?;
                let what = if known.is_some() { "changed" } else { "new" };
                notes.push(format!("expected.json is {what}; read it before you believe it"));
            }
            Some(known) => wrong.push(format!(
                "something else came out\n{}",
                diff("expected.json", &pretty(known), "what came out", &pretty(&outcomes))
            )),
            None => wrong
                .push(format!("there is no expected.json; --update writes it. What came out:\n{}", pretty(&outcomes))),
        }
        Ok((wrong, Some(cost), notes))
    }

    /// Runs a recording, and compares with what was recorded.
    pub(super) fn recording(&mut self, path: &Path) -> anyhow::Result<()> {
        let begun = Instant::now();
        let recording = Recording::read(path).map_err(|error| anyhow::anyhow!("{}", Chain(&error)))?;
        let around = Surroundings::new(Arc::clone(&self.settings), &recording.streams(), &[">".to_owned()]);
        let (mut wrong, mut total, mut differing, mut compared) = (Vec::new(), Cost::default(), 0usize, 0usize);
        for (batch, recorded) in recording.batches(self.subject.stage()) {
            match self.tried(&batch, &around, None) {
                Tried::Wrong(faults, cost) => {
                    wrong.extend(texts(faults));
                    total = sum(total, cost);
                }
                Tried::Outcomes(outcomes, cost) => {
                    wrong.extend(self.budget.exceeded(&cost));
                    total = sum(total, cost);
                    let Some(recorded) = recorded else { continue };
                    compared += outcomes.len();
                    for (index, (now, then)) in outcomes.iter().zip(&recorded).enumerate().filter(|(_, (a, b))| a != b)
                    {
                        differing += 1;
                        if differing <= SHOWN {
                            let text = diff("recorded", &pretty(then), "what came out", &pretty(now));
                            wrong.push(format!("event {} of its batch differs\n{text}", index + 1));
                        }
                    }
                }
            }
        }
        if differing > SHOWN {
            wrong.push(format!("{differing} of {compared} events differ, {SHOWN} are shown"));
        }
        let what = format!("{total}; {compared} compared");
        let name = path.display().to_string();
        self.report.add(Line { name, what: Some(what), wrong, notes: Vec::new(), took: begun.elapsed() });
        Ok(())
    }

    /// Runs input that nobody wrote, each with the settings of a case. Whatever comes out is right; that something comes
    /// out is asked.
    pub(super) fn hostile(&mut self, cases: &[(Case, Batch)], count: usize, seed: Option<u64>) -> anyhow::Result<()> {
        let begun = Instant::now();
        let digest = self.subject.digest().0;
        // The same guest gets the same input, so a failure in CI is the author's failure at home.
        let seed = seed.unwrap_or_else(|| u64::from_le_bytes(*digest.first_chunk().unwrap_or(&[0; 8])));
        let alone = Surroundings::new(Arc::clone(&self.settings), &[], &[]);
        let surroundings: Vec<_> = cases.iter().map(|(case, _)| case.surroundings()).collect::<Result<_, _>>()?;
        let models: Vec<&Batch> = cases.iter().map(|(_, batch)| batch).collect();
        let (mut wrong, mut worst) = (Vec::new(), Cost::default());
        let (mut failed, mut told) = (0usize, 0usize);
        for (model, batch) in hostile::batches(self.subject.stage(), &models, count, seed) {
            let around = surroundings.get(model).unwrap_or(&alone);
            let (outcome, cost) = match self.tried(&batch, around, cases.get(model).map(|(case, _)| case)) {
                Tried::Wrong(wrong, cost) => (wrong, cost),
                // A budget is for what a guest is meant for; a huge event has the host's own limits.
                Tried::Outcomes(_, cost) => (Vec::new(), cost),
            };
            worst.memory = worst.memory.max(cost.memory);
            worst.output = worst.output.max(cost.output);
            worst.fuel = worst.fuel.max(cost.fuel);
            failed += usize::from(!outcome.is_empty());
            if told < SHOWN && outcome.iter().any(|wrong| !wrong.known) {
                told += 1;
                wrong.extend(texts(outcome));
            }
        }
        if failed > told {
            let which = if told == 0 { "as above".to_owned() } else { format!("{told} are shown") };
            wrong.push(format!("{failed} of {count} hostile inputs failed, {which}"));
        }
        let what = format!(
            "{count} inputs, --seed {seed}; at most {} fuel, {} of memory, {} of answer",
            worst.fuel,
            bytesize::ByteSize(worst.memory),
            bytesize::ByteSize(worst.output)
        );
        self.report.add(Line {
            name: "hostile".to_owned(),
            what: Some(what),
            wrong,
            notes: Vec::new(),
            took: begun.elapsed(),
        });
        Ok(())
    }

    /// Runs a batch twice, each time in a fresh instance.
    fn tried(&mut self, batch: &Batch, around: &Surroundings, case: Option<&Case>) -> Tried {
        let first = self.subject.run(batch, around);
        let cost = first.cost;
        let Run { outcomes, .. } = self.subject.run(batch, around);
        let differs = match (&first.outcomes, &outcomes) {
            (Ok(once), Ok(again)) if once != again => {
                let text = diff("first run", &pretty(once), "second run", &pretty(again));
                Some(format!("the same input gives something else\n{text}"))
            }
            (Err(fault), Ok(_)) => Some(format!("it failed once ({fault}) and not again")),
            (Ok(_), Err(fault)) => Some(format!("it failed the second time ({fault})")),
            _ => None,
        };
        if let Some(differs) = differs {
            return Tried::Wrong(vec![format!("it is not deterministic: {differs}").into()], cost);
        }
        match first.outcomes {
            Ok(outcomes) => Tried::Outcomes(outcomes, cost),
            Err(_) => {
                let culprits = self.subject.culprits(batch, first, around);
                let told = culprits.iter().map(|culprit| self.told(batch, culprit, case)).collect();
                Tried::Wrong(told, cost)
            }
        }
    }

    /// A fault, in full where it is the first of its kind: a guest that fails on everything fails in one place.
    fn told(&mut self, batch: &Batch, culprit: &Culprit, case: Option<&Case>) -> Wrong {
        if self.told.insert(fault::kind(culprit)) {
            return fault::tell(self.guest, self.wasm, batch, culprit, case).into();
        }
        Wrong { text: format!("{}: the same fault as above, {}", fault::events(culprit), culprit.fault), known: true }
    }
}

/// Most differences or faults that are shown of one check.
const SHOWN: usize = 3;

fn sum(a: Cost, b: Cost) -> Cost {
    Cost {
        events: a.events + b.events,
        fuel: a.fuel + b.fuel,
        memory: a.memory.max(b.memory),
        output: a.output.max(b.output),
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    // A value that was JSON before is JSON again.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
