//! Answers as JSON: what `aurora guest test` compares with `expected.json`, each stage its own part of what `aurora
//! pipe` prints. What is empty is left out.

use serde_json::{Map, Value, json};

use crate::{
    Decisions, Disposition, EventView, Judgement, Normalized, OriginEvents, Outcome, RawEvents, Routes, Scope,
    TaskFailure, Verdicts,
};

/// A normalizer's answer to `batch`.
#[must_use]
pub fn normalized_json(batch: RawEvents, answer: Normalized) -> Value {
    let context = vec![0; answer.events.kind.len()];
    let origin = OriginEvents { contexts: batch.contexts, context, events: answer.events };
    let (mut events, mut reasons) = (origin.iter(), answer.reasons.iter());
    let mut waits = answer.retry_after_ms.iter();
    let verdicts = answer.disposition.iter().zip(&answer.count).map(|(disposition, &count)| match disposition {
        Disposition::Accepted => {
            let events: Vec<_> = events.by_ref().take(count as usize).map(|event| entry(&event)).collect();
            json!({ "outcome": "accepted", "events": events })
        }
        Disposition::Dropped => json!({ "outcome": "dropped", "reason": reasons.next() }),
        Disposition::Rejected => json!({ "outcome": "rejected", "reason": reasons.next() }),
        Disposition::RetryAfter => {
            json!({ "outcome": "retry-after", "reason": reasons.next(), "retry_after_ms": waits.next() })
        }
    });
    verdicts.collect()
}

/// Normalized events, as they stand in a normalizer's answer.
#[must_use]
pub fn events_json(events: &OriginEvents) -> Value {
    events.iter().map(|event| entry(&event)).collect()
}

/// A router's answer.
#[must_use]
pub fn routes_json(answer: &Routes) -> Value {
    let mut streams = answer.stream.iter().map(|&stream| &answer.streams[stream as usize]);
    let events = answer.count.iter().zip(&answer.reason).map(|(&count, &reason)| {
        let streams: Vec<_> = streams.by_ref().take(count as usize).collect();
        json!({ "streams": streams, "route_reason": answer.reasons[reason as usize] })
    });
    events.collect()
}

/// A policy's answer to `batch`, within the host's ceiling.
#[must_use]
pub fn decisions_json(batch: &OriginEvents, answer: &Decisions) -> Value {
    let (mut observables, mut removes, mut next) = (answer.observable.iter(), answer.remove.iter(), 0);
    let events = batch.iter().zip(answer.share.iter().zip(&answer.reason)).map(|(event, (&share, &reason))| {
        let reason = &answer.reasons[reason as usize];
        if !share {
            return json!({ "share": null, "keep_reason": reason });
        }
        let own: Vec<_> = event.observables().collect();
        let chosen =
            observables.by_ref().take(answer.observables[next] as usize).map(|&position| own[position as usize]);
        let chosen: Vec<_> = chosen
            .filter(|observable| observable.scope == Scope::Public)
            .map(|observable| json!({ "type": observable.kind.as_str(), "value": observable.value }))
            .collect();
        let remove: Vec<_> =
            removes.by_ref().take(answer.removed[next] as usize).map(|&key| &answer.keys[key as usize]).collect();
        let (subject, tlp) = (&answer.subjects[answer.subject[next] as usize], answer.tlp[next].as_str());
        next += 1;
        let mut shared = json!({ "subject": subject, "tlp": tlp, "observables": chosen, "reason": reason });
        if !remove.is_empty() {
            shared["remove"] = json!(remove);
        }
        json!({ "share": shared })
    });
    events.collect()
}

/// An answer about messages of other sites.
#[must_use]
pub fn verdicts_json(answer: &Verdicts) -> Value {
    let mut severities = answer.severity.iter();
    let verdict = |(judgement, &reason): (&Judgement, &u32)| {
        let reason = &answer.reasons[reason as usize];
        match judgement {
            Judgement::Accepted => {
                let severity = severities.next().map(|severity| severity.as_str());
                json!({ "outcome": "accepted", "severity": severity, "reason": reason })
            }
            Judgement::Refused => json!({ "outcome": "refused", "reason": reason }),
            Judgement::Dropped => json!({ "outcome": "dropped", "reason": reason }),
        }
    };
    answer.disposition.iter().zip(&answer.reason).map(verdict).collect()
}

/// What an agent said of tasks.
///
/// # Panics
/// If an output is no JSON: the host would take it for a failed attempt.
#[must_use]
pub fn tasks_json(answers: &[Result<Outcome, TaskFailure>]) -> Value {
    let outcome = |answer: &Result<Outcome, TaskFailure>| match answer {
        Ok(Outcome { output, summary }) => {
            let output: Value = serde_json::from_slice(output).expect("an output that is JSON");
            match summary.as_str() {
                "" => json!({ "outcome": "done", "output": output }),
                summary => json!({ "outcome": "done", "output": output, "summary": summary }),
            }
        }
        Err(TaskFailure::Retry { after_ms: 0, reason }) => json!({ "outcome": "retry", "reason": reason }),
        Err(TaskFailure::Retry { after_ms, reason }) => {
            json!({ "outcome": "retry", "reason": reason, "after_ms": after_ms })
        }
        Err(TaskFailure::Permanent(reason)) => json!({ "outcome": "permanent", "reason": reason }),
        Err(TaskFailure::InvalidSettings(reason)) => json!({ "outcome": "invalid-settings", "reason": reason }),
    };
    answers.iter().map(outcome).collect()
}

fn entry(event: &EventView<'_>) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| {
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(values) => values.is_empty(),
            _ => false,
        };
        if !empty {
            map.insert(key.to_owned(), value);
        }
    };
    let observables = event.observables().map(|observable| {
        let (kind, scope) = (observable.kind.as_str(), observable.scope.as_str());
        json!({ "type": kind, "value": observable.value, "scope": scope })
    });
    put("kind", event.kind().as_str().into());
    put("severity", event.severity().as_str().into());
    put("category", event.category().as_str().into());
    put("timestamp_ms", event.timestamp_ms().into());
    put("source", event.own_source().into());
    put("device_id", event.own_device_id().into());
    put("dedup_key", event.dedup_key().into());
    put("title", event.title().into());
    put("description", event.description().into());
    put("fields", event.fields().map(|(key, value)| (key.to_owned(), Value::from(value))).collect());
    put("iocs", observables.collect());
    put("mitre_techniques", event.techniques().map(Value::from).collect());
    json!({ "event": map })
}
