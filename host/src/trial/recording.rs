use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Batch, Origin, Raw, event};
use crate::{
    event::Context,
    pipeline::{Decided, Outcome, Stages},
    telemetry::Stage,
};

/// Events with what became of them, as `aurora pipe --record` writes them: JSON lines, one for each raw event, those
/// with the same `batch` decided together.
///
/// ```json
/// {"batch":0,"source":"acme","format":"auto","received_ms":1772323200000,"payload":"level=alarm msg=x",
///  "outcome":"accepted","events":[{"event":{…},"streams":["aurora:alerts"],"route_reason":"…","share":null,"keep_reason":"…"}]}
/// ```
///
/// A payload that is not UTF-8 stands as `payload_hex`. What became of an event may be left out; then nothing is
/// compared.
#[derive(Debug)]
pub struct Recording {
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    batch: u64,
    #[serde(default = "source")]
    source: String,
    #[serde(default = "format")]
    format: String,
    topic: Option<String>,
    device_id: Option<String>,
    channel: Option<String>,
    source_ip: Option<String>,
    received_ms: i64,
    payload: Option<String>,
    payload_hex: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    retry_after_ms: Option<u64>,
    #[serde(default)]
    events: Vec<Value>,
}

fn source() -> String {
    "recorded".to_owned()
}

fn format() -> String {
    "auto".to_owned()
}

/// A recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is not as it should be.
    #[error("line {line} of {}: {reason}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Most events of a batch; a recording that says nothing of batches is cut into these.
const BATCH: usize = 4096;

impl Recording {
    /// The one at `path`.
    ///
    /// # Errors
    /// [`RecordingError`] says which line is wrong.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let text = fs::read_to_string(path).map_err(|source| RecordingError::Read { path: path.to_owned(), source })?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(index, line)| {
            let wrong = |reason: String| RecordingError::Line { path: path.to_owned(), line: index + 1, reason };
            let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            line.payload().map_err(wrong)?;
            line.drafts().map_err(wrong)?;
            Ok(line)
        });
        Ok(Self { lines: lines.collect::<Result<_, _>>()? })
    }

    /// Streams that are named in it: the site that it is from had them.
    #[must_use]
    pub fn streams(&self) -> Vec<String> {
        let events = self.lines.iter().flat_map(|line| &line.events);
        let streams = events.filter_map(|event| event["streams"].as_array()).flatten().filter_map(Value::as_str);
        streams.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Its batches for a guest of `stage`, with the outcomes where they are written.
    #[must_use]
    pub fn batches(&self, stage: Stage) -> Vec<(Batch, Option<Vec<Value>>)> {
        // Neither tasks nor messages of other sites are part of what `aurora pipe` sees.
        if matches!(stage, Stage::Task | Stage::Inbound) {
            return Vec::new();
        }
        let parts = self.lines.chunk_by(|a, b| a.batch == b.batch).flat_map(|lines| lines.chunks(BATCH));
        let batches = parts.map(|lines| if stage == Stage::Normalize { raw(lines) } else { normalized(lines, stage) });
        batches.filter(|(batch, _)| !batch.is_empty()).collect()
    }
}

fn raw(lines: &[Line]) -> (Batch, Option<Vec<Value>>) {
    let events = lines.iter().map(|line| Raw {
        context: Arc::new(line.context()),
        received_ms: line.received_ms,
        payload: line.payload().unwrap_or_default(),
    });
    (Batch::Raw(events.collect()), lines.iter().map(Line::outcome).collect())
}

fn normalized(lines: &[Line], stage: Stage) -> (Batch, Option<Vec<Value>>) {
    let keys: &[&str] = if stage == Stage::Route { &["streams", "route_reason"] } else { &["share", "keep_reason"] };
    let mut events = Vec::new();
    let mut outcomes = Some(Vec::new());
    for line in lines {
        let context = Arc::new(line.context());
        for (event, written) in line.drafts().unwrap_or_default().into_iter().zip(&line.events) {
            events.push(Origin { context: Arc::clone(&context), event });
            let own: Map<String, Value> =
                keys.iter().filter_map(|&key| Some((key.to_owned(), written.get(key)?.clone()))).collect();
            match &mut outcomes {
                Some(outcomes) if !own.is_empty() => outcomes.push(Value::Object(own)),
                _ => outcomes = None,
            }
        }
    }
    (Batch::Normalized(events), outcomes)
}

impl Line {
    fn context(&self) -> Context {
        Context {
            source: self.source.clone(),
            format: self.format.clone(),
            topic: self.topic.clone(),
            device_id: self.device_id.clone(),
            channel: self.channel.clone(),
            source_ip: self.source_ip.clone(),
        }
    }

    fn payload(&self) -> Result<Bytes, String> {
        match (&self.payload, &self.payload_hex) {
            (Some(text), None) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(hex)) => {
                from_hex(hex).map(Bytes::from).ok_or_else(|| "payload_hex is not hexadecimal".to_owned())
            }
            _ => Err("expected one of payload and payload_hex".to_owned()),
        }
    }

    fn drafts(&self) -> Result<Vec<crate::sandbox::events::Draft>, String> {
        self.events.iter().map(|event| event::draft(event.clone(), self.received_ms)).collect()
    }

    /// What the normalizer said of it.
    fn outcome(&self) -> Option<Value> {
        let outcome = self.outcome.as_deref()?;
        let mut said = json!({ "outcome": outcome });
        match outcome {
            "accepted" => {
                said["events"] = self.events.iter().map(|event| json!({ "event": event["event"] })).collect();
            }
            _ => said["reason"] = json!(self.reason),
        }
        if let Some(wait) = self.retry_after_ms {
            said["retry_after_ms"] = json!(wait);
        }
        Some(said)
    }
}

/// The line of the delivery at `index` of `decided`, the batch number `batch`.
#[must_use]
pub fn line(decided: &Decided, index: usize, batch: u64, stages: &Stages) -> Value {
    let delivery = &decided.deliveries[index];
    let context = &delivery.context;
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            line.insert(key.to_owned(), value);
        }
    };
    put("batch", json!(batch));
    put("source", json!(context.source));
    put("format", json!(context.format));
    put("topic", json!(context.topic));
    put("device_id", json!(context.device_id));
    put("channel", json!(context.channel));
    put("source_ip", json!(context.source_ip));
    put("received_ms", json!(delivery.received_ms));
    match str::from_utf8(&delivery.payload) {
        Ok(text) => put("payload", json!(text)),
        Err(_) => put("payload_hex", json!(to_hex(&delivery.payload))),
    }
    let (outcome, reason) = match &decided.outcomes[index] {
        Outcome::Accepted { .. } => ("accepted", None),
        Outcome::Dropped(reason) => ("dropped", Some(reason)),
        Outcome::Rejected(reason) => ("rejected", Some(reason)),
        Outcome::RetryAfter { wait, reason } => {
            put("retry_after_ms", json!(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
            ("retry-after", Some(reason))
        }
    };
    put("outcome", json!(outcome));
    put("reason", json!(reason));
    let fingerprint = decided.fingerprint(index);
    let events = decided.events_of(index, fingerprint).map(|event| {
        let mut entry = json!({
            "event": event::event_value(event.event),
            "streams": event.streams.iter().map(|&stream| &stages.streams[stream]).collect::<Vec<_>>(),
            "route_reason": event.route_reason,
        });
        entry["share"] = match event.share {
            None => {
                entry["keep_reason"] = json!(event.share_reason);
                Value::Null
            }
            Some(share) => {
                let observables = share.observables.iter().map(|&position| event.event.observable(position as usize));
                let observables: Vec<_> =
                    observables.map(|(kind, _, value)| json!({ "type": kind.as_str(), "value": value })).collect();
                let mut shared = json!({
                    "subject": share.subject,
                    "tlp": share.tlp.as_str(),
                    "observables": observables,
                    "reason": event.share_reason,
                });
                if !share.remove.is_empty() {
                    shared["remove"] = json!(share.remove);
                }
                shared
            }
        };
        entry
    });
    put("events", events.collect());
    Value::Object(line)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Recording, RecordingError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Recording::read(file.path())
    }

    #[test]
    fn each_stage_finds_its_own_part() {
        let text = r#"{"batch":0,"received_ms":1,"payload_hex":"ff00","outcome":"rejected","reason":"no"}
{"batch":0,"received_ms":2,"payload":"x","outcome":"accepted","events":[{"event":{"title":"t"},"streams":["s:own"],"route_reason":"r","share":null,"keep_reason":"k"}]}
{"batch":1,"received_ms":3,"payload":"y"}"#;
        let recording = read(text).unwrap();
        let normalize = recording.batches(Stage::Normalize);
        assert_eq!(normalize.iter().map(|(batch, _)| batch.len()).collect::<Vec<_>>(), [2, 1]);
        let outcomes = normalize[0].1.as_ref().unwrap();
        assert_eq!(outcomes[0], json!({ "outcome": "rejected", "reason": "no" }));
        assert_eq!(outcomes[1], json!({ "outcome": "accepted", "events": [{ "event": { "title": "t" } }] }));
        assert_eq!(normalize[1].1, None, "nothing is compared where nothing is written");
        let route = recording.batches(Stage::Route);
        assert_eq!(route.len(), 1);
        assert_eq!(route[0].1, Some(vec![json!({ "streams": ["s:own"], "route_reason": "r" })]));
        assert_eq!(recording.streams(), ["s:own"]);
        assert_eq!(recording.batches(Stage::Federate)[0].1, Some(vec![json!({ "share": null, "keep_reason": "k" })]));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for wrong in [
            r#"{"received_ms":1}"#,
            r#"{"received_ms":1,"payload_hex":"f"}"#,
            r#"{"received_ms":1,"payload":"","events":[{"event":{"severity":"?"}}]}"#,
        ] {
            let error = read(&format!("{{\"received_ms\":1,\"payload\":\"\"}}\n{wrong}")).unwrap_err();
            assert!(error.to_string().starts_with("line 2"), "{error}");
        }
    }
}
