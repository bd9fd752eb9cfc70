use serde::Serialize;
use serde_json::value::RawValue;

use crate::pipeline::{DecidedEvent, Stages, event_json};

/// An event with what was decided on it, as the outside contract has it.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    event: Box<RawValue>,
    streams: Vec<&'a str>,
    route_reason: &'a str,
    share: Option<Share<'a>>,
    keep_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Share<'a> {
    subject: &'a str,
    tlp: &'a str,
    observables: Vec<Observable<'a>>,
    reason: &'a str,
}

#[derive(Serialize)]
struct Observable<'a> {
    r#type: &'a str,
    value: &'a str,
}

/// What `event` becomes.
///
/// # Errors
/// If it is no JSON, which it always is.
pub(crate) fn entry<'a>(event: &DecidedEvent<'a>, stages: &'a Stages) -> anyhow::Result<Entry<'a>> {
    let share = event.share.map(|share| Share {
        subject: &share.subject,
        tlp: share.tlp.as_str(),
        observables: share
            .observables
            .iter()
            .map(|&position| event.event.observable(position as usize))
            .map(|(kind, _, value)| Observable { r#type: kind.as_str(), value })
            .collect(),
        reason: event.share_reason,
    });
    Ok(Entry {
        event: RawValue::from_string(String::from_utf8(event_json(event))?)?,
        streams: event.streams.iter().map(|&stream| stages.streams[stream].as_str()).collect(),
        route_reason: event.route_reason,
        keep_reason: share.is_none().then_some(event.share_reason),
        share,
    })
}
