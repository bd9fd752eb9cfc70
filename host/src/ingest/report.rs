use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::collect::Outcome;
use crate::event::Settlement;

const ABANDONED: &str = "not every event is known to be stored; send those again whose outcome is `abandoned`";

/// The answer to a request that was taken.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    received: usize,
    published: usize,
    dropped: usize,
    dead_lettered: usize,
    #[serde(skip_serializing_if = "is_zero")]
    suppressed: usize,
    #[serde(skip_serializing_if = "is_zero")]
    repeated: usize,
    #[serde(skip_serializing_if = "is_zero")]
    abandoned: usize,
    results: Vec<Line>,
}

/// What became of one line.
#[derive(Debug, Serialize)]
struct Line {
    line: u64,
    outcome: &'static str,
    /// Normalized events that it was published as.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Report {
    /// `lines` and `outcomes` are of one length. Published lines are listed if `verbose`, and always when some lines
    /// were abandoned: the client has to know which ones it must not send again.
    pub(super) fn new(lines: impl Iterator<Item = u64>, outcomes: Vec<Outcome>, verbose: bool) -> Self {
        let abandoned = outcomes.contains(&Outcome::Abandoned);
        let mut report = Self { error: abandoned.then_some(ABANDONED), received: outcomes.len(), ..Self::default() };
        for (line, outcome) in lines.zip(outcomes) {
            let (count, outcome, events, reason) = match outcome {
                Outcome::Settled(Settlement::Published(events)) => {
                    (&mut report.published, "published", Some(events), None)
                }
                Outcome::Settled(Settlement::Dropped(reason)) => (&mut report.dropped, "dropped", None, Some(reason)),
                Outcome::Settled(Settlement::DeadLettered(reason)) => {
                    (&mut report.dead_lettered, "dead_lettered", None, Some(reason))
                }
                Outcome::Settled(Settlement::Suppressed(first)) => {
                    let reason = format!("of equal content as event {first}");
                    (&mut report.suppressed, "suppressed", None, Some(reason))
                }
                Outcome::Settled(Settlement::Repeated) => (&mut report.repeated, "repeated", None, None),
                Outcome::Abandoned => (&mut report.abandoned, "abandoned", None, None),
            };
            *count += 1;
            if verbose || abandoned || events.is_none() {
                report.results.push(Line { line, outcome, events, reason });
            }
        }
        report
    }

    pub(super) fn status(&self) -> StatusCode {
        if self.abandoned == 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }
}

impl IntoResponse for Report {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self)).into_response();
        if status != StatusCode::OK {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
