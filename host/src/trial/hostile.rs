//! Input that nobody wrote: empty, huge, random, and the cases' own input damaged. The same seed and cases give the same
//! input.

use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;

use serde_json::Value;

use super::{Batch, Foreign, Origin, Raw, Task};
use crate::{
    event::Context,
    sandbox::{Category, Kind, ObservableType, Scope, Severity, events::Draft},
    tasks,
    telemetry::Stage,
};

/// Size of a huge event. MQTT and HTTP take in no more by default.
const HUGE: usize = 1 << 20;

/// `count` batches of one event for a guest of `stage`, made of `cases` or of nothing, each with the position of the
/// case that it was made of.
#[must_use]
pub fn batches(stage: Stage, cases: &[&Batch], count: usize, seed: u64) -> Vec<(usize, Batch)> {
    let mut rng = Rng::with_seed(seed);
    match stage {
        Stage::Normalize => {
            let own = |(case, batch): (usize, &&Batch)| {
                let events = if let Batch::Raw(events) = batch { events.clone() } else { Vec::new() };
                events.into_iter().map(move |event| (case, event))
            };
            let own: Vec<(usize, Raw)> = cases.iter().enumerate().flat_map(own).collect();
            let make = |index| {
                let (case, event) = raw(index, &own, &mut rng);
                (case, Batch::Raw(vec![event]))
            };
            (0..count).map(make).collect()
        }
        Stage::Task => {
            let own = |(case, batch): (usize, &&Batch)| {
                let tasks = if let Batch::Tasks(tasks) = batch { tasks.clone() } else { Vec::new() };
                tasks.into_iter().map(move |task| (case, task))
            };
            let own: Vec<(usize, Task)> = cases.iter().enumerate().flat_map(own).collect();
            let make = |index| {
                let (case, task) = task(index, &own, &mut rng);
                (case, Batch::Tasks(vec![task]))
            };
            (0..count).map(make).collect()
        }
        Stage::Inbound => {
            let own = |(case, batch): (usize, &&Batch)| {
                let messages = if let Batch::Foreign(messages) = batch { messages.clone() } else { Vec::new() };
                messages.into_iter().map(move |message| (case, message.origin))
            };
            let own: Vec<(usize, Origin)> = cases.iter().enumerate().flat_map(own).collect();
            let make = |index| {
                let (case, Origin { event, .. }) = origin(index, &own, &mut rng);
                (case, Batch::Foreign(vec![Foreign::of(event)]))
            };
            (0..count).map(make).collect()
        }
        _ => {
            let own = |(case, batch): (usize, &&Batch)| {
                let events = if let Batch::Normalized(events) = batch { events.clone() } else { Vec::new() };
                events.into_iter().map(move |event| (case, event))
            };
            let own: Vec<(usize, Origin)> = cases.iter().enumerate().flat_map(own).collect();
            let make = |index| {
                let (case, event) = origin(index, &own, &mut rng);
                (case, Batch::Normalized(vec![event]))
            };
            (0..count).map(make).collect()
        }
    }
}

/// The known nuisances first, then damaged cases and noise.
fn raw(index: usize, own: &[(usize, Raw)], rng: &mut Rng) -> (usize, Raw) {
    let (case, model) = rng.choice(own).cloned().unzip();
    let known = NUISANCES.len();
    let payload = match index {
        _ if index < known => {
            let (piece, times) = NUISANCES[index];
            piece.repeat(times)
        }
        _ if index == known => noise(HUGE, rng),
        _ => match &model {
            Some(model) if rng.u8(..) < 200 => damaged(&model.payload, own, rng),
            _ => noise(rng.usize(..2048), rng),
        },
    };
    let context = model.as_ref().map_or_else(some_context, |model: &Raw| Arc::clone(&model.context));
    let received_ms = match rng.u8(..8) {
        0 => *[0, -1, i64::MIN, i64::MAX].get(rng.usize(..4)).unwrap_or(&0),
        _ => model.map_or(1_772_323_200_000, |model| model.received_ms),
    };
    (case.unwrap_or_default(), Raw { context, received_ms, payload: Bytes::from(payload) })
}

/// A task whose input is a case's damaged, or noise: as it is where that is JSON, which the host sees to, else as a text.
fn task(index: usize, own: &[(usize, Task)], rng: &mut Rng) -> (usize, Task) {
    let payloads: Vec<(usize, Raw)> = own
        .iter()
        .map(|(case, task)| {
            (*case, Raw { context: some_context(), received_ms: task.now_ms, payload: task.input.clone() })
        })
        .collect();
    let (case, Raw { received_ms, payload, .. }) = raw(index, &payloads, rng);
    let input = match tasks::is_json(&payload) {
        Ok(()) => payload,
        // As JSON it is up to six times as long, and the host takes in no more than a huge one.
        Err(_) => Value::from(String::from_utf8_lossy(&payload[..payload.len().min(HUGE / 6)])).to_string().into(),
    };
    let agent = own.first().map_or_else(|| "test".to_owned(), |(_, task)| task.agent.clone());
    (case, Task { id: format!("hostile-{index}"), agent, attempt: 1, attempts: 4, now_ms: received_ms, input })
}

/// A piece, and how often it is repeated.
const NUISANCES: [(&[u8], usize); 22] = [
    (b"", 0),
    (b" ", 1),
    (b"\0", 1),
    (b"\n", 1),
    (b"\r\n\r\n", 64),
    (b"\xff", 256),
    (b"\xef\xbb\xbf", 1),
    (b"\xf0\x9f", 1),
    (b"a", HUGE),
    (b" ", HUGE),
    (b"\0", HUGE),
    (b"\xff", HUGE),
    (b"[", HUGE / 4),
    (b"{\"a\":", HUGE / 8),
    (b"\"", HUGE / 4),
    (b"=", HUGE / 4),
    (b"a=b ", HUGE / 4),
    (b"|", HUGE / 4),
    (b"<a>", HUGE / 8),
    (b"\\", HUGE / 4),
    (b"1.1.1.1 ", HUGE / 8),
    ("\u{202e}\u{0}\u{1b}[2J\u{feff}é".as_bytes(), 100),
];

fn noise(length: usize, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

/// One to eight changes of `payload`.
fn damaged(payload: &[u8], own: &[(usize, Raw)], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    for _ in 0..rng.usize(1..=8) {
        let at = rng.usize(..=bytes.len());
        let end = rng.usize(at..=bytes.len());
        match rng.u8(..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << rng.u8(..8)),
            4 => {
                let piece: &[u8] = ODD[rng.usize(..ODD.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            5 => bytes[at..end].reverse(),
            6 => bytes[at..end].iter_mut().filter(|byte| byte.is_ascii_digit()).for_each(|byte| *byte = b'9'),
            _ => {
                let other = rng.choice(own).map_or(&[][..], |(_, other)| &other.payload[..]);
                let from = rng.usize(..=other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
    }
    bytes
}

/// What parsers stumble over.
const ODD: [&[u8]; 16] = [
    b"\0",
    b"\xff",
    b"\xc3",
    b"\"",
    b"'",
    b"\\",
    b"\\u0000",
    b"=",
    b"|",
    b"{}",
    b"[[",
    b"%s%n",
    b"-9223372036854775809",
    b"1e999999",
    b"\r\n",
    "\u{1F600}".as_bytes(),
];

fn some_context() -> Arc<Context> {
    let context = Context { source: "test".to_owned(), format: "auto".to_owned(), ..Context::default() };
    Arc::new(context)
}

/// A normalized event that a normalizer may make of hostile input, and that passes the host's checks.
fn origin(index: usize, own: &[(usize, Origin)], rng: &mut Rng) -> (usize, Origin) {
    let (case, model) = rng.choice(own).cloned().unzip();
    let context = model.as_ref().map_or_else(some_context, |model: &Origin| Arc::clone(&model.context));
    let mut event = model.map_or_else(|| some_event(rng), |model| model.event);
    let text = |rng: &mut Rng| match rng.u8(..6) {
        0 => String::new(),
        1 => "x".repeat(HUGE / 8),
        2 => "\u{202e}\u{0}\u{1b}[2J\u{feff}é".to_owned(),
        3 => "..>.*. \n".to_owned(),
        4 => "{\"a\":1}".to_owned(),
        _ => (0..rng.usize(..64)).map(|_| rng.char(..)).collect(),
    };
    if index == 0 {
        event = some_event(rng);
    }
    for _ in 0..rng.usize(1..=6) {
        match rng.u8(..11) {
            0 => event.title = text(rng),
            1 => event.description = text(rng),
            2 => event.source = text(rng),
            3 => event.device_id = text(rng),
            4 => event.severity = Severity::ALL[rng.usize(..Severity::ALL.len())],
            5 => event.category = Category::ALL[rng.usize(..Category::ALL.len())],
            6 => event.kind = Kind::ALL[rng.usize(..Kind::ALL.len())],
            7 => event.timestamp_ms = [0, -1, i64::MIN, i64::MAX][rng.usize(..4)],
            8 => event.fields = (0..rng.usize(..4096)).map(|key| (format!("k{key}"), "v".to_owned())).collect(),
            9 => {
                let observable = |value: usize, rng: &mut Rng| {
                    let kind = ObservableType::ALL[rng.usize(..ObservableType::ALL.len())];
                    (kind, Scope::ALL[rng.usize(..Scope::ALL.len())], format!("value{value}"))
                };
                event.observables = (0..rng.usize(..512)).map(|value| observable(value, rng)).collect();
            }
            _ => event.fields.iter_mut().take(3).for_each(|(_, value)| *value = text(rng)),
        }
    }
    (case.unwrap_or_default(), Origin { context, event })
}

fn some_event(rng: &mut Rng) -> Draft {
    Draft {
        kind: Kind::Alert,
        severity: Severity::ALL[rng.usize(..Severity::ALL.len())],
        category: Category::ALL[rng.usize(..Category::ALL.len())],
        timestamp_ms: 0,
        fields: Vec::new(),
        observables: Vec::new(),
        techniques: Vec::new(),
        source: String::new(),
        device_id: String::new(),
        dedup_key: String::new(),
        title: String::new(),
        description: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_input_and_another_one_another() {
        let model = Raw { context: some_context(), received_ms: 1, payload: Bytes::from_static(b"level=high msg=x") };
        let case = Batch::Raw(vec![model]);
        let of = |seed| batches(Stage::Normalize, &[&case], 60, seed);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        let size =
            |(_, batch): &(usize, Batch)| if let Batch::Raw(events) = batch { events[0].payload.len() } else { 0 };
        let sizes: Vec<_> = of(7).iter().map(size).collect();
        assert_eq!((sizes.iter().min(), sizes.iter().max()), (Some(&0), Some(&HUGE)));
    }
}
