//! What a task leaves behind: its result and, if it was given up, its dead letter. `deploy/README.md` has the fields.

use serde_json::{Map, Value, json};

use super::{
    crew::Done,
    entry::{Task, Unfit},
};
use crate::{broker::redis_streams::Ending, event::EntryId};

type Fields = Vec<(&'static str, Vec<u8>)>;

/// Who did it.
#[derive(Clone, Debug)]
pub struct Maker<'a> {
    /// The worker.
    pub worker: &'a str,
    /// The guest, `task/triage@0123456789abcdef`; empty where none was asked.
    pub guest: &'a str,
    /// Attempts so far.
    pub attempts: u64,
}

/// What is the same in a result and in a dead letter.
fn begun(id: &str, agent: &str) -> Fields {
    vec![("task_id", id.into()), ("agent", agent.into())]
}

fn ended(fields: &mut Fields, maker: &Maker<'_>) {
    fields.push(("attempts", maker.attempts.to_string().into()));
    fields.push(("worker", maker.worker.into()));
    if !maker.guest.is_empty() {
        fields.push(("guest", maker.guest.into()));
    }
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    fields.push(("timestamp", now.into()));
}

/// Of a task that is done.
pub fn done(task: &Task, done: Done, maker: &Maker<'_>) -> Ending {
    let mut result = begun(&task.id, &task.agent);
    result.push(("status", b"completed".into()));
    result.push(("output", done.output));
    if !done.summary.is_empty() {
        result.push(("summary", done.summary.into()));
    }
    ended(&mut result, maker);
    Ending { id: task.entry, result, letter: None, named: task.named() }
}

/// Of a task that is given up for `reason`.
pub fn failed(task: &Task, reason: &str, maker: &Maker<'_>) -> Ending {
    let given_up = given_up((task.entry, &task.id, &task.agent), reason, ("input", &task.input), maker);
    Ending { named: task.named(), ..given_up }
}

/// Of a task whose name is that of another one, the entry `first`. It goes by its entry's id, as what has no name that can
/// be used: under the name stands the other's result, and who waits for that must not take this for it.
pub fn taken(task: &Task, first: EntryId, maker: &Maker<'_>) -> Ending {
    let reason = of_another(&task.id, first);
    given_up((task.entry, &task.entry.to_string(), &task.agent), &reason, ("input", &task.input), maker)
}

/// Of an entry that is no task.
pub fn unfit(unfit: &Unfit, maker: &Maker<'_>) -> Ending {
    let what = ("fields", unfit.fields.as_bytes());
    let given_up = given_up((unfit.entry, &unfit.id, &unfit.agent), &unfit.reason, what, maker);
    Ending { named: unfit.named.clone(), ..given_up }
}

/// Of one whose name is moreover that of another task, as in [`taken`].
pub fn unfit_and_taken(unfit: &Unfit, first: EntryId, maker: &Maker<'_>) -> Ending {
    let reason = format!("{}; {}", unfit.reason, of_another(&unfit.id, first));
    let what = ("fields", unfit.fields.as_bytes());
    given_up((unfit.entry, &unfit.entry.to_string(), &unfit.agent), &reason, what, maker)
}

fn of_another(id: &str, first: EntryId) -> String {
    format!("the task_id {id} is that of another task, of the entry {first}, which asks something else")
}

fn given_up(
    (entry, id, agent): (EntryId, &str, &str),
    reason: &str,
    (name, bytes): (&'static str, &[u8]),
    maker: &Maker<'_>,
) -> Ending {
    let mut result = begun(id, agent);
    result.push(("status", b"failed".into()));
    result.push(("error", reason.into()));
    ended(&mut result, maker);
    let mut letter = begun(id, agent);
    letter.push(("reason", reason.into()));
    letter.push((name, bytes.into()));
    letter.push(("entry", entry.to_string().into()));
    ended(&mut letter, maker);
    Ending { id: entry, result, letter: Some(letter), named: None }
}

/// The task that a result is of; empty if it does not say.
pub fn task_of(fields: &[Vec<u8>]) -> String {
    let found = fields.chunks_exact(2).find(|pair| pair[0] == b"task_id").map(|pair| &pair[1]);
    found.map(|id| String::from_utf8_lossy(id).into_owned()).unwrap_or_default()
}

/// What whoever asked for a task is given of its result, whoever has written that: its fields, of which `output` is JSON
/// where it can be. With its task.
pub fn for_client(fields: &[Vec<u8>], most: usize) -> (String, String) {
    let task = task_of(fields);
    let mut object = Map::new();
    for pair in fields.chunks_exact(2) {
        let [name, value] = [&pair[0], &pair[1]].map(|bytes| String::from_utf8_lossy(bytes));
        let value = match &*name {
            "output" => serde_json::from_str(&value).unwrap_or_else(|_| Value::from(&*value)),
            "attempts" => value.parse::<u64>().map_or_else(|_| Value::from(&*value), Value::from),
            _ => Value::from(&*value),
        };
        object.insert(name.into_owned(), value);
    }
    // Those of other workers need not say.
    object.entry("status").or_insert_with(|| "completed".into());
    let json = Value::Object(object).to_string();
    if json.len() <= most.saturating_mul(2) {
        return (task, json);
    }
    let error = format!("the result has {} bytes, more than is kept (tasks.max_payload)", json.len());
    let json = json!({ "task_id": task, "status": "failed", "error": error }).to_string();
    (task, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<Vec<u8>> {
        pairs.iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.as_bytes().to_vec()]).collect()
    }

    #[test]
    fn what_uses_the_name_of_another_task_leaves_no_result_under_it() {
        let (entry, first) = (EntryId { ms: 9, sequence: 0 }, EntryId { ms: 7, sequence: 1 });
        let task = Task { entry, id: "t".into(), is_named: true, agent: "a".into(), input: b"1".to_vec() };
        let maker = Maker { worker: "w", guest: "", attempts: 0 };
        let ending = taken(&task, first, &maker);
        let of = |fields: &Fields, wanted: &str| {
            let found = fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
            String::from_utf8(found.unwrap_or_default()).unwrap()
        };
        let letter = ending.letter.unwrap();
        assert_eq!(
            (&*of(&ending.result, "task_id"), &*of(&letter, "task_id"), &*of(&letter, "input")),
            ("9-0", "9-0", "1")
        );
        assert!(of(&ending.result, "error").contains("task_id t is that of another task, of the entry 7-1"));
        assert_eq!(ending.named, None);
        assert_eq!(failed(&task, "why", &maker).named, task.named());
    }

    #[test]
    fn a_client_gets_the_output_as_what_it_is_whoever_wrote_it() {
        let (task, json) = for_client(&fields(&[("task_id", "7"), ("output", "{\"a\":1}"), ("attempts", "2")]), 100);
        assert_eq!(
            (task.as_str(), json.as_str()),
            ("7", r#"{"attempts":2,"output":{"a":1},"status":"completed","task_id":"7"}"#)
        );
        let (_, json) = for_client(&fields(&[("task_id", "7"), ("output", "plain"), ("status", "failed")]), 100);
        assert_eq!(json, r#"{"output":"plain","status":"failed","task_id":"7"}"#);
        let (task, json) = for_client(&fields(&[("task_id", "7"), ("output", &"x".repeat(300))]), 100);
        assert!(task == "7" && json.len() < 150 && json.contains("tasks.max_payload"), "{json}");
        assert_eq!(task_of(&fields(&[("output", "1")])), "");
    }
}
