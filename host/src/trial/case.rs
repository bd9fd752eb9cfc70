use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::Value;

use super::{
    Batch, Foreign, Origin, Raw, Surroundings, Task,
    about::{About, Framing, KnownHere},
    event,
};
use crate::{
    intel::{Indicator, Known, Source, Times, Told},
    sandbox::{Settings, Tlp},
    tasks,
    telemetry::Stage,
};

/// A folder with `input`, and with `case.toml` and `expected.json` where they are needed.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it lies.
    pub folder: PathBuf,
    /// What it says of its input.
    pub about: About,
    input: Vec<u8>,
    /// What must come out; none where nobody has said so yet.
    pub expected: Option<Value>,
}

/// A case cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file of it.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its `case.toml`, or a file of settings.
    #[error("{} is not as it should be", path.display())]
    About {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Its `expected.json`.
    #[error("{} is not JSON; delete it, and --update writes it anew", path.display())]
    Expected {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Its `input`.
    #[error("{}: {reason}", path.display())]
    Input {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An option.
    #[error("{}: option {key} has no form in JSON", path.display())]
    Option {
        /// Which file.
        path: PathBuf,
        /// Which option.
        key: String,
    },
}

/// The folders that are cases: `folder` itself, or those below it at any depth, in order. One at the end that holds
/// files is meant as a case, whatever they are called: it is told what it lacks, and not passed over.
///
/// # Errors
/// A folder cannot be read.
pub fn cases_below(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    if folder.join("input").is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let read = |source| CaseError::Read { path: folder.to_owned(), source };
    let (mut below, mut holds_files) = (Vec::new(), false);
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            below.push(path);
        } else if name != "budget.toml" && !name.to_string_lossy().starts_with('.') {
            holds_files = true;
        }
    }
    if below.is_empty() && holds_files {
        return Ok(vec![folder.to_owned()]);
    }
    below.sort();
    below.iter().try_fold(Vec::new(), |mut all, folder| {
        all.extend(cases_below(folder)?);
        Ok(all)
    })
}

impl Case {
    /// The one in `folder`.
    ///
    /// # Errors
    /// [`CaseError`] says which of its files is wrong.
    pub fn read(folder: &Path) -> Result<Self, CaseError> {
        let path = folder.join("case.toml");
        let about = match read_if_there(&path)? {
            None => About::default(),
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                toml::from_str(&text).map_err(|source| CaseError::About { path, source: Box::new(source) })?
            }
        };
        let path = folder.join("input");
        let input = fs::read(&path).map_err(|source| CaseError::Read { path, source })?;
        let path = folder.join("expected.json");
        let expected = read_if_there(&path)?
            .map(|bytes| serde_json::from_slice(&bytes).map_err(|source| CaseError::Expected { path, source }))
            .transpose()?;
        Ok(Self { folder: folder.to_owned(), about, input, expected })
    }

    /// One that is no folder: `input`, out of the file at `path`.
    #[must_use]
    pub fn of_input(path: &Path, input: Vec<u8>) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self { folder, about: About::default(), input, expected: None }
    }

    /// What surrounds the guest in this case.
    ///
    /// # Errors
    /// One of the settings, or of what it remembers, has no form in JSON.
    pub fn surroundings(&self) -> Result<Surroundings, CaseError> {
        let settings = settings(&self.about.options, &self.folder.join("case.toml"))?;
        let around = Surroundings::new(Arc::new(settings), &self.about.streams, &self.about.subjects);
        let bytes = |(key, value): (&String, &toml::Value)| match value {
            toml::Value::String(text) => Ok((key.clone(), text.clone().into_bytes())),
            value => match serde_json::to_vec(value) {
                Ok(json) => Ok((key.clone(), json)),
                Err(_) => Err(CaseError::Option { path: self.folder.join("case.toml"), key: key.clone() }),
            },
        };
        let known = self.about.indicators.iter().map(|one| self.known(one)).collect::<Result<Told, _>>()?;
        let around = Surroundings { known: Arc::new(known), ..around };
        Ok(Surroundings { state: Arc::new(self.about.state.iter().map(bytes).collect::<Result<_, _>>()?), ..around })
    }

    /// As the host would have it, told for a day when the event came.
    fn known(&self, one: &KnownHere) -> Result<Known, CaseError> {
        let wrong = |reason: String| CaseError::Input { path: self.folder.join("case.toml"), reason };
        let KnownHere { r#type, value, sites, tlp, count } = one;
        let indicator = Indicator::new(r#type, value).map_err(|error| wrong(format!("indicator {value:?} {error}")))?;
        let tlp = Tlp::read(tlp).ok_or_else(|| wrong(format!("{tlp:?} is no marking")))?;
        let at = u64::try_from(self.about.received_ms).unwrap_or_default();
        let times = Times { first_ms: at, last_ms: at, count: 1 };
        Ok(Known {
            indicator,
            sources: sites.iter().map(|site| (site.clone(), Source { times, tlp })).collect(),
            sightings: BTreeMap::new(),
            first_ms: at,
            last_ms: at,
            expires_ms: at + 86_400_000,
            count: count.unwrap_or(sites.len() as u64),
            tlp,
        })
    }

    /// The input as a guest of `stage` gets it: raw events, for a router and a policy normalized ones, as JSON, for an
    /// agent tasks, and for a judge of what other sites send their messages.
    ///
    /// # Errors
    /// It is not what the stage takes.
    pub fn batch(&self, stage: Stage) -> Result<Batch, CaseError> {
        let context = Arc::new(self.about.context());
        let received_ms = self.about.received_ms;
        let pieces: Vec<&[u8]> = match self.about.framing {
            Framing::Whole => vec![&self.input],
            Framing::Line => {
                let lines = self.input.split(|&byte| byte == b'\n');
                let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                lines.filter(|line| !line.is_empty()).collect()
            }
        };
        let wrong = |reason| CaseError::Input { path: self.folder.join("input"), reason };
        if pieces.is_empty() {
            return Err(wrong("there is no event in it".to_owned()));
        }
        if stage == Stage::Normalize {
            let raw = |payload: &[u8]| Raw {
                context: Arc::clone(&context),
                received_ms,
                payload: Bytes::copy_from_slice(payload),
            };
            return Ok(Batch::Raw(pieces.into_iter().map(raw).collect()));
        }
        if stage == Stage::Task {
            let task = |(index, piece): (usize, &[u8])| {
                // The host would not have the guest see anything else.
                tasks::is_json(piece).map_err(|error| wrong(format!("task {}: {error}", index + 1)))?;
                Ok(Task {
                    id: format!("test-{}", index + 1),
                    agent: self.about.agent.clone(),
                    attempt: self.about.attempt,
                    attempts: self.about.attempts,
                    now_ms: received_ms,
                    input: Bytes::copy_from_slice(piece),
                })
            };
            return Ok(Batch::Tasks(pieces.into_iter().enumerate().map(task).collect::<Result<_, _>>()?));
        }
        let (mut events, mut messages) = (Vec::new(), Vec::new());
        for (index, piece) in pieces.into_iter().enumerate() {
            let at = |reason: String| wrong(format!("event {}: {reason}", index + 1));
            let value: Value = serde_json::from_slice(piece).map_err(|error| at(error.to_string()))?;
            let values = match value {
                Value::Array(values) => values,
                value => vec![value],
            };
            for value in values {
                if stage == Stage::Inbound {
                    messages.push(Foreign::read(value, received_ms).map_err(at)?);
                    continue;
                }
                let event = event::draft(value, received_ms).map_err(at)?;
                events.push(Origin { context: Arc::clone(&context), event });
            }
        }
        Ok(if stage == Stage::Inbound { Batch::Foreign(messages) } else { Batch::Normalized(events) })
    }
}

/// The settings that the TOML file at `path` has, as they stand in `[guests.<stage>.options]`.
///
/// # Errors
/// It cannot be read, is no TOML, or one of the settings has no form in JSON.
pub fn read_options(path: &Path) -> Result<Settings, CaseError> {
    let text = fs::read_to_string(path).map_err(|source| CaseError::Read { path: path.to_owned(), source })?;
    let about = |source| CaseError::About { path: path.to_owned(), source: Box::new(source) };
    settings(&toml::from_str(&text).map_err(about)?, path)
}

/// The settings as a guest gets them.
fn settings(options: &BTreeMap<String, toml::Value>, path: &Path) -> Result<Settings, CaseError> {
    let json = |(key, value): (&String, &toml::Value)| match serde_json::to_string(value) {
        Ok(json) => Ok((key.clone(), json)),
        Err(_) => Err(CaseError::Option { path: path.to_owned(), key: key.clone() }),
    };
    options.iter().map(json).collect()
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, CaseError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CaseError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Case, CaseError>) {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        let case = Case::read(folder.path());
        (folder, case)
    }

    #[test]
    fn cuts_lines_and_reads_the_device_out_of_the_topic() {
        let topic = "topic = 'aurora/sensors/d1/alerts'\n[options]\nzone = 'x'";
        let (_folder, case) = case(&[("input", "a\r\n\nb"), ("case.toml", topic)]);
        let case = case.unwrap();
        let Batch::Raw(events) = case.batch(Stage::Normalize).unwrap() else { panic!("not raw") };
        let payloads: Vec<_> = events.iter().map(|event| &event.payload[..]).collect();
        assert_eq!(payloads, [b"a", b"b"]);
        assert_eq!(events[0].context.device_id.as_deref(), Some("d1"));
        assert_eq!(case.surroundings().unwrap().settings["zone"], "\"x\"");
    }

    #[test]
    fn what_is_told_of_observables_is_read_in_its_one_form() {
        let told = "[[indicators]]\ntype = 'domain'\nvalue = 'Evil.NET'\nsites = ['a', 'b']\ntlp = 'red'";
        let (_folder, told) = case(&[("input", "x"), ("case.toml", told)]);
        let around = told.unwrap().surroundings().unwrap();
        let wanted = Indicator::new("domain", "evil.net").unwrap();
        let found = crate::intel::Lookup::look_up(&*around.known, &[wanted]).unwrap().remove(0).unwrap();
        assert_eq!((found.sites(), found.count, found.tlp), (vec!["a", "b"], 2, Tlp::Red));
        let (_folder, wrong) = case(&[("input", "x"), ("case.toml", "[[indicators]]\ntype = 'ip'\nvalue = 'x'")]);
        assert!(wrong.unwrap().surroundings().unwrap_err().to_string().contains("is no address"));
    }

    #[test]
    fn says_what_is_wrong_with_a_case() {
        let wrong: [(&[(&str, &str)], &str); 3] = [
            (&[("input", "x"), ("case.toml", "sauce = 'typo'")], "case.toml"),
            (&[("input", "x"), ("expected.json", "{")], "expected.json"),
            (&[("case.toml", "")], "input"),
        ];
        for (files, named) in wrong {
            let (_folder, case) = case(files);
            assert!(case.unwrap_err().to_string().contains(named), "{named}");
        }
        let (_folder, case) = case(&[("input", "{\"title\":\"a\"}\n{\"tittle\":\"b\"}")]);
        let error = case.unwrap().batch(Stage::Route).unwrap_err().to_string();
        assert!(error.contains("event 2") && error.contains("tittle"), "{error}");
    }
}
