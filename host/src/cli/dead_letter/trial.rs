use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::super::entry::entry;
use crate::pipeline::{Fate, Letter, Stages, Trial};

/// What a replay would do with a letter: the line of `aurora pipe`, with the letter's id before it. Of its events it
/// has only what would be stored.
#[derive(Serialize)]
struct Line<'a> {
    letter: String,
    line: u64,
    outcome: &'static str,
    reason: &'a str,
    events: Vec<Box<RawValue>>,
    /// What a message of another site tells of, as `type:value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    indicators: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

/// What goes back into the outbox as it is.
#[derive(Serialize)]
struct Message<'a> {
    subject: &'a str,
    id: &'a str,
    kind: &'a str,
}

/// Writes a line for each letter; `line` counts them from 1. Returns how many would stay.
pub(super) fn write(out: &mut impl Write, trial: &Trial, stages: &Stages, line: &mut u64) -> io::Result<usize> {
    let mut failed = 0;
    for (index, (letter, fate)) in trial.letters().enumerate() {
        let (outcome, reason) = match &fate {
            Fate::Failed(reason) => ("rejected", reason.as_str()),
            Fate::Dropped(reason) => ("dropped", reason.as_str()),
            _ => ("accepted", ""),
        };
        failed += usize::from(outcome == "rejected");
        let mut events = Vec::new();
        trial.visit(index, |event, _| {
            // An event that is no JSON does not exist; one line without it is better than none of the others.
            events.extend(entry(event, stages).ok().and_then(|entry| to_raw_value(&entry).ok()));
        });
        *line += 1;
        let message = (outcome == "accepted").then(|| message(letter)).flatten();
        let indicators = trial.seen(index).iter().map(|seen| seen.indicator.to_string()).collect();
        let shown = Line { letter: letter.id.to_string(), line: *line, outcome, reason, events, indicators, message };
        serde_json::to_writer(&mut *out, &shown)?;
        out.write_all(b"\n")?;
    }
    Ok(failed)
}

fn message(letter: &Letter) -> Option<Message<'_>> {
    let subject = letter.context.topic.as_deref().unwrap_or_default();
    let is_message = !letter.message_id.is_empty();
    is_message.then_some(Message { subject, id: &letter.message_id, kind: &letter.message_kind })
}
