use serde::Serialize;
use serde_json::value::RawValue;

use crate::pipeline::{DecidedEvent, Leaving, Stages, event_json};

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
    /// What the ceiling cut of it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ceiling: &'a [String],
    /// All that other sites would get, where that is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Sent>,
}

#[derive(Serialize)]
struct Sent {
    subject: String,
    id: String,
    kind: String,
    data: Box<RawValue>,
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
        ceiling: &share.cut,
        messages: Vec::new(),
    });
    Ok(Entry {
        event: RawValue::from_string(String::from_utf8(event_json(event))?)?,
        streams: event.streams.iter().map(|&stream| stages.streams[stream].as_str()).collect(),
        route_reason: event.route_reason,
        keep_reason: share.is_none().then_some(event.share_reason),
        share,
    })
}

impl Entry<'_> {
    /// The same with the messages of `event` that would leave the site.
    ///
    /// # Errors
    /// If one is no JSON, which all of them are.
    pub(super) fn with_messages(mut self, event: &DecidedEvent<'_>, leaving: &Leaving) -> anyhow::Result<Self> {
        let Some(share) = &mut self.share else { return Ok(self) };
        let mut failed = None;
        leaving.each(event, &leaving.plan(event), "", |message| {
            let data = str::from_utf8(message.data).map_err(anyhow::Error::from);
            match data.and_then(|data| Ok(RawValue::from_string(data.to_owned())?)) {
                Ok(data) => share.messages.push(Sent {
                    subject: message.subject.to_owned(),
                    id: message.id.to_owned(),
                    kind: message.kind.to_owned(),
                    data,
                }),
                Err(error) => failed = Some(error),
            }
        });
        failed.map_or(Ok(self), Err)
    }
}
