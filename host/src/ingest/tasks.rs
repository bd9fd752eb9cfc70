//! Tasks for agents, over HTTP, where there is a section `[tasks]`: `POST /v1/tasks` asks for one, `GET /v1/tasks/<id>` for
//! its result.
//!
//! ```text
//! POST /v1/tasks   {"agent":"triage","input":{…},"wait":"10s"}
//! ```
//!
//! `input` is any JSON (`{}` without it), `wait` how long the answer may take (not at all without it, `tasks.max_wait` at the
//! most). 200 with the result if it came in that time: `{"task_id":"…","agent":"triage","status":"completed","output":…}`, or
//! `"status":"failed"` with `error`; else 202 with `{"task_id":"…","status":"pending"}` and a `Location`. With an
//! `Idempotency-Key` the same request again is the same task.
//!
//! For an agent that this host does not know the 202 has `known_agents`, its own ones: another worker may have it. Where
//! there are no other workers (`tasks.unknown = "refuse"`) it is 400 with the same, and where too many wait for such agents
//! (`tasks.max_unknown`), 429.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, HttpBody},
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Ingest, refusal::Refusal, wanted::idempotency_key};
use crate::{
    event::Intake,
    tasks::{Asked, Desk, Look, Unasked, is_agent, is_task_id},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    agent: String,
    #[serde(default)]
    input: Option<Box<RawValue>>,
    #[serde(default, with = "humantime_serde")]
    wait: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patience {
    #[serde(default, with = "humantime_serde")]
    wait: Option<Duration>,
}

/// An answer about one task.
struct Answer {
    id: String,
    asked: Asked,
    /// The agents that this host knows, where the task is for none of them: a slip of the pen would wait for ever.
    known_agents: Option<Vec<String>>,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self.asked {
            Asked::Result(json) => {
                let json_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
                (StatusCode::OK, json_type, json).into_response()
            }
            Asked::Pending => {
                let mut pending = json!({ "task_id": self.id, "status": "pending" });
                if let Some(known) = self.known_agents {
                    pending["known_agents"] = known.into();
                }
                let pending = Json(pending);
                let location = [(header::LOCATION, format!("/v1/tasks/{}", self.id))];
                (StatusCode::ACCEPTED, location, pending).into_response()
            }
        }
    }
}

impl From<Unasked> for Refusal {
    fn from(unasked: Unasked) -> Self {
        match unasked {
            Unasked::Full(_) => Self::Busy("too many tasks wait for workers"),
            Unasked::Strange(_) => Self::Busy("too many tasks wait for agents that this host does not know"),
            Unasked::Other => Self::Conflict,
            Unasked::Redis(error) => {
                tracing::warn!(error = %crate::telemetry::Chain(&error), "a task cannot be asked for");
                Self::Away
            }
        }
    }
}

pub(super) async fn post_task<I: Intake>(
    State((ingest, desk)): State<(Arc<Ingest<I>>, Desk)>,
    request: Request,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let response = match ask(&ingest, &desk, &parts, &mut body).await {
        Ok(answer) => answer.into_response(),
        Err(refusal) => {
            if refusal.leaves_body() && !parts.headers.contains_key(header::EXPECT) && !body.is_end_stream() {
                ingest.bounds.discard(&mut body).await;
            }
            refusal.into_response()
        }
    };
    ingest.metrics.ingest_answer(response.status().as_u16());
    response
}

async fn ask<I: Intake>(ingest: &Ingest<I>, desk: &Desk, parts: &Parts, body: &mut Body) -> Result<Answer, Refusal> {
    ingest.token.check(&parts.headers)?;
    if ingest.draining.is_cancelled() {
        return Err(Refusal::Draining);
    }
    is_json(&parts.headers)?;
    let key = idempotency_key(&parts.headers)?;
    let whole = ingest.bounds.read(body, &ingest.draining).await?;
    let malformed = |what: String| Refusal::Malformed(what);
    let wish: Wish = serde_json::from_slice(&whole.bytes).map_err(|error| {
        malformed(format!("the body is no task: {error}; send {{\"agent\":\"…\",\"input\":…,\"wait\":\"10s\"}}"))
    })?;
    if !is_agent(&wish.agent) {
        return Err(malformed("`agent` is no name: 1 to 64 of A-Z a-z 0-9 _ . -".to_owned()));
    }
    let known_agents = desk.others_than(&wish.agent);
    if desk.is_alone()
        && let Some(known) = known_agents
    {
        return Err(Refusal::NoSuchAgent { agent: wish.agent, known });
    }
    let input = wish.input.as_ref().map_or("{}", |input| input.get());
    if input.len() > desk.max_input() {
        return Err(Refusal::InputTooLarge(desk.max_input()));
    }
    // Keys of other clients and of other agents are other tasks.
    let key = key.map(|key| [wish.agent.as_bytes(), b"\0", &key].concat());
    let id = Desk::id(key.as_deref());
    let wait = wish.wait.unwrap_or_default();
    let asked = match (desk.ask(&id, &wish.agent, input, wait, &ingest.draining).await, known_agents.clone()) {
        (Err(Unasked::Strange(waiting)), Some(known)) => {
            return Err(Refusal::TooManyStrange { agent: wish.agent, waiting, known });
        }
        (asked, _) => asked?,
    };
    Ok(Answer { id, asked, known_agents })
}

pub(super) async fn get_task<I: Intake>(
    State((ingest, desk)): State<(Arc<Ingest<I>>, Desk)>,
    Path(id): Path<String>,
    patience: Result<Query<Patience>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let looked = async {
        ingest.token.check(&headers)?;
        let Query(patience) = patience.map_err(|rejection| {
            let said = rejection.body_text();
            Refusal::Malformed(format!("{said}; there is `wait` alone, a time with its unit, as in ?wait=10s"))
        })?;
        if !is_task_id(&id) {
            return Err(Refusal::NoSuchTask);
        }
        match desk.look(&id, patience.wait.unwrap_or_default(), &ingest.draining).await? {
            Look::Known(asked) => Ok(Answer { id, asked, known_agents: None }),
            Look::Unknown => Err(Refusal::NoSuchTask),
        }
    };
    let response = looked.await.map_or_else(IntoResponse::into_response, IntoResponse::into_response);
    ingest.metrics.ingest_answer(response.status().as_u16());
    response
}

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match declared.split(';').next().map(str::trim) {
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(Refusal::MediaType("a task is `Content-Type: application/json`".to_owned())),
    }
}
