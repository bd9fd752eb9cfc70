use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::Told;
use crate::{Context, RawEvents, Task};

/// A case's `case.toml`: where its input came from. All of it may be left out. The host reads the same files, and a test of
/// its own holds that both know the same keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Case {
    /// What the case shows.
    pub about: String,
    /// Who writes such events.
    pub product: String,
    /// Where their form is described.
    pub document: String,
    /// How `input` is cut.
    pub framing: Framing,
    /// Name of the origin.
    pub source: String,
    /// What the source declares.
    pub format: String,
    /// MQTT topic. Device and channel are read from it unless they are given.
    pub topic: Option<String>,
    /// Device id.
    pub device_id: Option<String>,
    /// Last level of the topic.
    pub channel: Option<String>,
    /// Address of the sender.
    pub source_ip: Option<String>,
    /// When the host received it, milliseconds since 1970-01-01 UTC; of a task, when its attempt begins.
    pub received_ms: i64,
    /// Of a task: the agent that is asked for.
    pub agent: String,
    /// Of a task: which attempt it is.
    pub attempt: u32,
    /// Of a task: how many there will be.
    pub attempts: u32,
    /// The guest's settings.
    pub options: BTreeMap<String, toml::Value>,
    /// What the guest remembers, key and value: a text as it is, anything else as JSON.
    pub state: BTreeMap<String, toml::Value>,
    /// What is told of observables.
    pub indicators: Vec<Told>,
    /// Streams that a router may name, beside the stock ones.
    pub streams: Vec<String>,
    /// Subjects that a policy may name, wildcards allowed, beside the stock ones.
    pub subjects: Vec<String>,
}

/// How an input is cut into events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// Each line that is not empty is one.
    #[default]
    Line,
    /// All of it is one.
    Whole,
}

/// 2026-03-01T00:00:00Z
const RECEIVED_MS: i64 = 1_772_323_200_000;

impl Default for Case {
    fn default() -> Self {
        Self {
            about: String::new(),
            product: String::new(),
            document: String::new(),
            framing: Framing::Line,
            source: "test".to_owned(),
            format: "auto".to_owned(),
            topic: None,
            device_id: None,
            channel: None,
            source_ip: None,
            received_ms: RECEIVED_MS,
            agent: "test".to_owned(),
            attempt: 1,
            attempts: 4,
            options: BTreeMap::new(),
            state: BTreeMap::new(),
            indicators: Vec::new(),
            streams: Vec::new(),
            subjects: Vec::new(),
        }
    }
}

impl Case {
    /// The one in `folder`.
    ///
    /// # Panics
    /// If its `case.toml` is wrong.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let path = folder.join("case.toml");
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            Err(_) => Self::default(),
        }
    }

    /// What the events of the case came with.
    #[must_use]
    pub fn context(&self) -> Context {
        let levels: Vec<&str> = self.topic.as_deref().unwrap_or_default().split('/').collect();
        let (device, channel) = match levels[..] {
            ["aurora", _, device, channel] => (Some(device.to_owned()), Some(channel.to_owned())),
            _ => (None, None),
        };
        Context {
            source: self.source.clone(),
            format: self.format.clone(),
            topic: self.topic.clone(),
            device_id: self.device_id.clone().or(device),
            channel: self.channel.clone().or(channel),
            source_ip: self.source_ip.clone(),
        }
    }

    /// The events in `input`, as it is cut.
    #[must_use]
    pub fn cut<'a>(&self, input: &'a [u8]) -> Vec<&'a [u8]> {
        match self.framing {
            Framing::Whole => vec![input],
            Framing::Line => {
                let lines = input.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                lines.filter(|line| !line.is_empty()).collect()
            }
        }
    }

    /// `input` as a normalizer gets it.
    #[must_use]
    pub fn raw_events(&self, input: &[u8]) -> RawEvents {
        RawEvents::of(self.context(), self.received_ms, self.cut(input))
    }

    /// `input` as tasks, one for each piece.
    #[must_use]
    pub fn tasks(&self, input: &[u8]) -> Vec<Task> {
        let pieces = self.cut(input).into_iter().enumerate();
        let task = |(number, input): (usize, &[u8])| Task {
            id: format!("test-{}", number + 1),
            agent: self.agent.clone(),
            attempt: self.attempt,
            attempts: self.attempts,
            submitted_ms: self.received_ms,
            now_ms: self.received_ms,
            input: input.to_vec(),
        };
        pieces.map(task).collect()
    }

    /// The settings as the host hands them over: JSON texts.
    ///
    /// # Panics
    /// If one of them has no form in JSON.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<String, String> {
        let json = |value: &toml::Value| serde_json::to_string(value).expect("an option that JSON can hold");
        self.options.iter().map(|(key, value)| (key.clone(), json(value))).collect()
    }

    /// What the guest remembers, as it reads it.
    ///
    /// # Panics
    /// If one of the values has no form in JSON.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, Vec<u8>> {
        let bytes = |value: &toml::Value| match value {
            toml::Value::String(text) => text.clone().into_bytes(),
            value => serde_json::to_vec(value).expect("a value that JSON can hold"),
        };
        self.state.iter().map(|(key, value)| (key.clone(), bytes(value))).collect()
    }
}
