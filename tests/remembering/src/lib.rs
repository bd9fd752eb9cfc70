//! A guest that does to its state what an event tells it to. An event is a line of words, and what came of it is the
//! title of the normalized one:
//!
//! | line | title |
//! |---|---|
//! | `count KEY [SECONDS]`, on the event's account | the count |
//! | `add KEY BY`, on nobody's | the count |
//! | `get KEY` | the value, or `nothing` |
//! | `put KEY VALUE [SECONDS]`, `delete KEY` | `done` |
//! | `size KEY BYTES`: puts a value of this size | `done` |
//! | `long BYTES`: asks for a key of this size | the value, or `nothing` |
//! | `flood`: puts a KiB under one key after the other | how many until it was refused |
//! | `ask`: reads one key after the other | how many until it was refused, 100,000 at most |
//! | `both KEY`: a read and an addition, for all such events of the batch at once | the value and the count |
//! | `once`: is put off the first time | the count of `once` |
//! | `told TYPE VALUE`: looks an observable up | the sites that tell it, how often, its marking; or `nothing` |
//! | `trap`: counts `trap`, then traps | |
//!
//! What is refused has the refusal as its title. As a router it counts events under `routed` and says so in its reason.

use std::time::Duration;

use aurora_guest::{
    Category, Kind, Normalized, Normalizing, ObservableType, OriginEvents, RawEvents, Routes, Routing, Severity,
    Summary, Text, lookup,
    state::{self, Increment, Refusal},
};

#[cfg(target_family = "wasm")]
mod component;

const MINUTE: Duration = Duration::from_secs(60);

/// The normalizer.
#[must_use]
pub fn normalize(input: &RawEvents) -> Normalized {
    let mut out = Normalizing::with_capacity(input.ends.len(), input.payload.len());
    let mut both = both(input).into_iter();
    for (index, raw) in input.iter().enumerate() {
        let line = str::from_utf8(raw.payload).unwrap_or_default();
        let title = match line.strip_prefix("both ") {
            Some(_) => both.next().unwrap_or_default(),
            None if line == "once" => {
                let count = state::increment(Increment::of_event(index, "once", MINUTE));
                // An event that is put off comes again, and so does its account.
                if state::get("put off").is_ok_and(|value| value.is_none()) {
                    let _ = state::put("put off", b"yes", MINUTE);
                    out.retry_after(5, "the first time");
                    continue;
                }
                said(count.map(|count| count.to_string()))
            }
            None => said(told(index, line)),
        };
        out.event().finish(&Summary {
            kind: Kind::Status,
            severity: Severity::Info,
            category: Category::Network,
            timestamp_ms: raw.received_ms,
            source: Text::Str(""),
            device_id: Text::Str(""),
            dedup_key: Text::Str(""),
            title: Text::Str(&title),
            description: Text::Str(line),
        });
        out.accept();
    }
    out.finish()
}

/// What came of the events that ask for both, in two questions.
fn both(input: &RawEvents) -> Vec<String> {
    let lines = input.iter().enumerate().map(|(index, raw)| (index, str::from_utf8(raw.payload).unwrap_or_default()));
    let asked: Vec<_> = lines.filter_map(|(index, line)| Some((index, line.strip_prefix("both ")?))).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let values = state::get_many(asked.iter().map(|(_, key)| format!("value:{key}")));
    let counted = state::increment_many(asked.iter().map(|(index, key)| Increment::of_event(*index, *key, MINUTE)));
    match (values, counted) {
        (Ok(values), Ok(counted)) => {
            let shown = |(value, count): (Option<Vec<u8>>, i64)| format!("{} {count}", text(value));
            values.into_iter().zip(counted).map(shown).collect()
        }
        (Err(refusal), _) | (_, Err(refusal)) => vec![said(Err(refusal)); asked.len()],
    }
}

fn told(index: usize, line: &str) -> Result<String, Refusal> {
    let words: Vec<&str> = line.split(' ').collect();
    let seconds = |word: Option<&&str>| word.and_then(|word| word.parse().ok()).map_or(MINUTE, Duration::from_secs);
    let done = |()| "done".to_owned();
    match words[..] {
        ["count", key, ref rest @ ..] => {
            let count = state::increment(Increment::of_event(index, key, seconds(rest.first())))?;
            Ok(count.to_string())
        }
        ["add", key, by] => {
            let by = by.parse().unwrap_or_default();
            let increment = Increment { key: key.to_owned(), by, ttl: MINUTE, event: None };
            Ok(state::increment(increment)?.to_string())
        }
        ["get", key] => Ok(text(state::get(key)?)),
        ["put", key, value, ref rest @ ..] => state::put(key, value.as_bytes(), seconds(rest.first())).map(done),
        ["delete", key] => state::delete(key).map(done),
        ["size", key, bytes] => {
            let value = vec![b'x'; bytes.parse().unwrap_or_default()];
            state::put(key, &value, MINUTE).map(done)
        }
        ["long", bytes] => Ok(text(state::get(&"k".repeat(bytes.parse().unwrap_or_default()))?)),
        ["flood"] => {
            let value = [0; 1024];
            let refused = (0..).map(|i| state::put(&format!("flood:{i}"), &value, MINUTE)).find_map(Result::err);
            let count = (0..).find(|i| state::get(&format!("flood:{i}")).is_ok_and(|value| value.is_none()));
            Ok(format!("{} then {refused:?}", count.map_or_else(|| "all".to_owned(), |count| count.to_string())))
        }
        ["ask"] => {
            let refused = (0..100_000).find(|i| state::get(&format!("ask:{i}")).is_err());
            Ok(format!("{refused:?}"))
        }
        ["told", kind, value] => Ok(looked_up(kind, value)),
        ["trap"] => {
            let _ = state::increment(Increment::of_event(index, "trap", MINUTE));
            let _ = state::put("trapped", b"yes", MINUTE);
            trap();
            Ok(String::new())
        }
        _ => Ok(line.to_owned()),
    }
}

fn looked_up(kind: &str, value: &str) -> String {
    let kind = ObservableType::ALL.into_iter().find(|known| known.as_str() == kind).unwrap_or(ObservableType::Ip);
    match lookup::look_up([(kind, value)]) {
        Ok(found) => found.into_iter().flatten().next().map_or_else(
            || "nothing".to_owned(),
            |known| format!("{} {} {}", known.sites.join(","), known.count, known.tlp.as_str()),
        ),
        Err(lookup::Refusal::Unavailable) => "unavailable".to_owned(),
        Err(refusal) => format!("{refusal:?}"),
    }
}

fn trap() {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
}

fn text(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
}

fn said(done: Result<String, Refusal>) -> String {
    match done {
        Ok(text) => text,
        Err(Refusal::Unavailable) => "unavailable".to_owned(),
        Err(Refusal::OverQuota) => "over quota".to_owned(),
        Err(Refusal::Invalid(why)) => format!("invalid: {why}"),
        Err(Refusal::Other(why)) => why,
    }
}

/// The router.
#[must_use]
pub fn route(input: &OriginEvents) -> Routes {
    let mut routing = Routing::new();
    let events = input.events.kind.len();
    let counted = state::increment_many((0..events).map(|event| Increment::of_event(event, "routed", MINUTE)));
    for index in 0..events {
        let reason = match &counted {
            Ok(counted) => format!("routed {}", counted[index]),
            Err(refusal) => format!("{refusal:?}"),
        };
        routing.to(&["aurora:alerts"], &reason);
    }
    routing.finish()
}
