//! Checked answers as JSON.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::event::event_value;
use crate::sandbox::{
    Attempted, TaskFailure,
    answer::{Decisions, Normalized, Routes, Verdict},
    events::Events,
    judged::Judgement,
};
use crate::tasks;

/// One for each raw event. A key that an event has twice is an error that only a trial looks for: consumers would see
/// the last one.
pub(super) fn normalized(answer: &Normalized) -> Result<Vec<Value>, String> {
    for event in answer.events.iter() {
        let mut keys = BTreeSet::new();
        if let Some((key, _)) = event.fields().find(|(key, _)| !keys.insert(*key)) {
            return Err(format!(
                "the event {:?} has the field {key:?} twice, of which consumers see only the last; the keys of an event \
                 are unique",
                event.title()
            ));
        }
    }
    let verdict = |verdict: &Verdict| match verdict {
        Verdict::Accepted(range) => {
            let events: Vec<_> =
                range.clone().map(|event| json!({ "event": event_value(answer.events.get(event)) })).collect();
            json!({ "outcome": "accepted", "events": events })
        }
        Verdict::Dropped(reason) => json!({ "outcome": "dropped", "reason": reason }),
        Verdict::Rejected(reason) => json!({ "outcome": "rejected", "reason": reason }),
        // No guest says this.
        Verdict::PutOff { wait, reason } => {
            json!({ "outcome": "retry-after", "milliseconds": wait.as_millis(), "reason": reason })
        }
        Verdict::RetryAfter { milliseconds, reason } => {
            json!({ "outcome": "retry-after", "reason": reason, "retry_after_ms": milliseconds })
        }
    };
    Ok(answer.verdicts.iter().map(verdict).collect())
}

/// Of one task.
pub(super) fn attempted(answer: Attempted) -> Result<Vec<Value>, String> {
    let said = match answer {
        Ok(outcome) => {
            let done = tasks::checked(outcome)?;
            let output: Value = serde_json::from_slice(&done.output).map_err(|error| error.to_string())?;
            match done.summary.as_str() {
                "" => json!({ "outcome": "done", "output": output }),
                summary => json!({ "outcome": "done", "output": output, "summary": summary }),
            }
        }
        Err(TaskFailure::Retry(again)) if again.after_ms == 0 => json!({ "outcome": "retry", "reason": again.reason }),
        Err(TaskFailure::Retry(again)) => {
            json!({ "outcome": "retry", "reason": again.reason, "after_ms": again.after_ms })
        }
        Err(TaskFailure::Permanent(reason)) => json!({ "outcome": "permanent", "reason": reason }),
        Err(TaskFailure::InvalidSettings(reason)) => json!({ "outcome": "invalid-settings", "reason": reason }),
    };
    Ok(vec![said])
}

/// One for each message.
pub(super) fn judged(answer: &[Judgement]) -> Vec<Value> {
    let said = |judgement: &Judgement| match judgement {
        Judgement::Accepted { severity, reason } => {
            json!({ "outcome": "accepted", "severity": severity.as_str(), "reason": reason })
        }
        Judgement::Refused(reason) => json!({ "outcome": "refused", "reason": reason }),
        Judgement::Dropped(reason) => json!({ "outcome": "dropped", "reason": reason }),
    };
    answer.iter().map(said).collect()
}

/// One for each event.
pub(super) fn routes(answer: &Routes, configured: &[String]) -> Vec<Value> {
    let route = |event| {
        let streams: Vec<_> = answer.streams(event).iter().map(|&stream| &configured[stream]).collect();
        json!({ "streams": streams, "route_reason": answer.reason(event) })
    };
    (0..answer.len()).map(route).collect()
}

/// One for each event.
pub(super) fn decisions(answer: &Decisions, events: &Events) -> Vec<Value> {
    let decision = |event| match answer.share(event) {
        None => json!({ "share": null, "keep_reason": answer.reason(event) }),
        Some(share) => {
            let observables: Vec<_> = share
                .observables
                .iter()
                .map(|&position| events.get(event).observable(position as usize))
                .map(|(kind, _, value)| json!({ "type": kind.as_str(), "value": value }))
                .collect();
            let mut shared = json!({
                "subject": share.subject,
                "tlp": share.tlp.as_str(),
                "observables": observables,
                "reason": answer.reason(event),
            });
            if !share.remove.is_empty() {
                shared["remove"] = json!(share.remove);
            }
            json!({ "share": shared })
        }
    };
    (0..answer.len()).map(decision).collect()
}
