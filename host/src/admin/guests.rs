//! Guests over HTTP: `/v1/guests`.
//!
//! | route | |
//! |---|---|
//! | `GET /v1/guests` | every slot, those of agents (`task/<name>`) among them: what runs, why, what ran before; and what becomes of each agent's tasks, with the token the reasons of its newest dead letters, too |
//! | `GET /v1/guests/<slot>` | one of them, with the report of its rehearsal; what that shows of events, fields and examples, with the token alone |
//! | `GET /v1/guests/<slot>/history` | what befell it, newest first |
//! | `POST /v1/guests/<slot>` | install a guest: the component as body, or JSON `{"path": …}` or `{"oci": "registry/repository@sha256:…"}` |
//! | `POST /v1/guests/<slot>/rollback` | take the guest before |
//! | `POST /v1/guests/<slot>/promote` | install what is, or was, rehearsed |
//! | `DELETE /v1/guests/<slot>/rehearsal` | end a rehearsal, or clear its report away |
//!
//! A slot that a rule chooses, `normalize/acme`, is `normalize:acme` in a URL. Parameters of an installation, in the
//! query or in the JSON: `shadow=5m` or `shadow=10000` (events) to rehearse it first, `promote_if=` as in
//! `faults<=0,differences<=10,slower<=1.5`, `cases=` a folder of this machine; and with a body `name=`.
//!
//! Looking is open, as `/metrics` is. Changing takes the bearer token of `[admin]`; where there is none nothing can be
//! changed this way. An answer is JSON: what was done, or `{"error": …}`. What became of a wish that was taken in is in the
//! audit stream as well. 422: the guest is refused. 409: somebody else wanted another one meanwhile, or there is nothing to do it with.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Bytes, HttpBody as _},
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    ingest::{Shown, Token},
    supply::MOST,
    swap::{By, Plan, Refused, Source, Swap, View, Wish},
    tasks::{AgentView, Roster},
    telemetry::Chain,
};

/// The header with the file of signatures of a component that is the body, base64.
pub const SIGNATURE: &str = "aurora-signature";

/// Longest wait for all of a component.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the routes need.
#[derive(Clone, Default)]
pub struct Handle {
    /// Set once the guests are loaded.
    pub swap: Arc<OnceLock<Swap>>,
    /// Set once the agents of `[tasks]` are loaded, where there is that section.
    pub agents: Arc<OnceLock<Roster>>,
    /// Without it nothing can be changed.
    pub token: Option<Arc<Token>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("token", &self.token.is_some()).finish_non_exhaustive()
    }
}

pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/v1/guests", get(list))
        .route("/v1/guests/{slot}", get(one).merge(post(install)))
        .route("/v1/guests/{slot}/history", get(history))
        .route("/v1/guests/{slot}/rollback", post(roll_back))
        .route("/v1/guests/{slot}/promote", post(promote))
        .route("/v1/guests/{slot}/rehearsal", delete(end_rehearsal))
        .with_state(handle)
}

/// Why a request did nothing.
enum Denied {
    Starting,
    NoTokenConfigured,
    NoToken,
    WrongToken,
    Malformed(String),
    Slow,
    Refused(Refused),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Starting => (StatusCode::SERVICE_UNAVAILABLE, "the guests are not loaded yet".to_owned()),
            Self::NoTokenConfigured => (
                StatusCode::FORBIDDEN,
                "guests are changed only with a token: write one into a file, name that as `admin.token_file`, and restart \
                 the daemon"
                    .to_owned(),
            ),
            Self::NoToken => (StatusCode::UNAUTHORIZED, "send the bearer token of `admin.token_file`".to_owned()),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, "the bearer token is wrong".to_owned()),
            Self::Malformed(what) => (StatusCode::BAD_REQUEST, what),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".to_owned()),
            Self::Refused(refused) => (status(&refused), refused.text()),
        };
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::NoSlot { .. } => StatusCode::NOT_FOUND,
        Refused::Superseded(_) | Refused::NoneBefore | Refused::NoRehearsal | Refused::Rehearsing => {
            StatusCode::CONFLICT
        }
        Refused::Unrehearsable => StatusCode::BAD_REQUEST,
        Refused::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refused::Ending => StatusCode::SERVICE_UNAVAILABLE,
        Refused::NoThread(_) | Refused::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Refused::Fetch(_) | Refused::Load(_) | Refused::Cases(_) | Refused::NotKept(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }
}

impl Handle {
    fn swap(&self) -> Result<&Swap, Denied> {
        self.swap.get().ok_or(Denied::Starting)
    }

    fn may_change(&self, headers: &HeaderMap) -> Result<&Swap, Denied> {
        match self.token.as_ref().ok_or(Denied::NoTokenConfigured)?.shown(headers) {
            Shown::Right => self.swap(),
            Shown::Wrong => Err(Denied::WrongToken),
            Shown::None => Err(Denied::NoToken),
        }
    }

    /// Whether the token was shown.
    fn knows(&self, headers: &HeaderMap) -> bool {
        self.token.as_ref().is_some_and(|token| matches!(token.shown(headers), Shown::Right))
    }

    /// Leaves of a view what its reader may see. What a rehearsal keeps of events is for who has the token.
    fn show(&self, view: &mut View, headers: &HeaderMap) {
        if let Some(report) = view.rehearsal.as_mut().filter(|_| !self.knows(headers)) {
            report.examples.clear();
            report.fields.clear();
        }
    }
}

async fn list(State(handle): State<Handle>, headers: HeaderMap) -> Result<Response, Denied> {
    #[derive(Serialize)]
    struct All {
        guests: Vec<View>,
        #[serde(skip_serializing_if = "Option::is_none")]
        agents: Option<Vec<AgentView>>,
    }
    let mut views = handle.swap()?.views().await?;
    views.iter_mut().for_each(|view| handle.show(view, &headers));
    let agents = match handle.agents.get() {
        Some(roster) => Some(roster.views(handle.knows(&headers)).await),
        None => None,
    };
    Ok(Json(All { guests: views, agents }).into_response())
}

async fn one(State(handle): State<Handle>, Path(slot): Path<String>, headers: HeaderMap) -> Result<Response, Denied> {
    let mut view = handle.swap()?.view(&slot).await?;
    handle.show(&mut view, &headers);
    Ok(Json(view).into_response())
}

async fn history(State(handle): State<Handle>, Path(slot): Path<String>) -> Result<Response, Denied> {
    Ok(Json(json!({ "history": handle.swap()?.history(&slot).await? })).into_response())
}

/// Parameters of an installation.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    path: Option<std::path::PathBuf>,
    oci: Option<String>,
    name: Option<String>,
    shadow: Option<String>,
    promote_if: Option<String>,
    cases: Option<std::path::PathBuf>,
}

async fn install(
    State(handle): State<Handle>,
    Path(slot): Path<String>,
    query: Result<Query<Wanted>, QueryRejection>,
    request: Request,
) -> Result<Response, Denied> {
    let (parts, body) = request.into_parts();
    // Before anything of the body is taken: without a token nobody may fill our memory.
    let swap = handle.may_change(&parts.headers)?;
    let Query(query) = query.map_err(|error| Denied::Malformed(error.body_text()))?;
    if body.size_hint().lower() > MOST {
        return Err(Denied::Refused(Refused::TooLarge { most: MOST }));
    }
    let whole = axum::body::to_bytes(body, MOST as usize);
    let whole = tokio::time::timeout(PATIENCE, whole).await.map_err(|_| Denied::Slow)?;
    let body = whole.map_err(|error| Denied::Malformed(format!("the body cannot be taken: {}", Chain(&error))))?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let wish = if content_type.starts_with(b"application/json") {
        if query != Wanted::default() {
            return Err(Denied::Malformed("with JSON all parameters stand in it".to_owned()));
        }
        let wanted = serde_json::from_slice(&body);
        wish(wanted.map_err(|error| Denied::Malformed(format!("the body is no wish: {error}")))?, None)
    } else {
        let signature = parts.headers.get(SIGNATURE).map(|value| STANDARD.decode(value)).transpose();
        let signature = signature.map_err(|_| Denied::Malformed(format!("the header {SIGNATURE} is not base64")))?;
        wish(query, Some((body, signature)))
    };
    Ok(Json(swap.install(&slot, wish.map_err(Denied::Malformed)?).await?).into_response())
}

/// A component, and its file of signatures.
type Sent = (Bytes, Option<Vec<u8>>);

fn wish(wanted: Wanted, body: Option<Sent>) -> Result<Wish, String> {
    let Wanted { path, oci, name, shadow, promote_if, cases } = wanted;
    let source = match (path, oci, body.filter(|(wasm, _)| !wasm.is_empty())) {
        (None, None, Some((wasm, signature))) => {
            Source::Sent { name: name.unwrap_or_else(|| "sent".to_owned()), wasm: wasm.into(), signature }
        }
        (Some(path), None, None) if name.is_none() => Source::Path(path),
        (None, Some(reference), None) if name.is_none() => Source::Oci(reference),
        (Some(_), None, None) | (None, Some(_), None) => {
            return Err("`name` is for a component that is sent as the body".to_owned());
        }
        _ => {
            let ways =
                "send a component as the body, or JSON with its `path` on this machine, or its place in a registry";
            return Err(format!("{ways} as `oci`"));
        }
    };
    let promote_if = promote_if.map(|rule| rule.parse()).transpose()?;
    let rehearse = match shadow {
        Some(until) => Some(Plan { until: until.parse()?, promote_if }),
        None if promote_if.is_some() => return Err("`promote_if` is for a rehearsal: set `shadow` as well".to_owned()),
        None => None,
    };
    Ok(Wish { source, by: By::Admin, cases, rehearse })
}

async fn roll_back(
    State(handle): State<Handle>,
    Path(slot): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Denied> {
    Ok(Json(handle.may_change(&headers)?.roll_back(&slot).await?).into_response())
}

async fn promote(
    State(handle): State<Handle>,
    Path(slot): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Denied> {
    Ok(Json(handle.may_change(&headers)?.promote(&slot).await?).into_response())
}

async fn end_rehearsal(
    State(handle): State<Handle>,
    Path(slot): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Denied> {
    Ok(Json(handle.may_change(&headers)?.end_rehearsal(&slot).await?).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(wanted: Wanted, body: &'static [u8]) -> Result<Wish, String> {
        wish(wanted, Some((Bytes::from_static(body), None)))
    }

    #[test]
    fn wants_one_guest_and_a_rehearsal_that_makes_sense() {
        assert!(asked(Wanted::default(), b"").is_err());
        let both = Wanted { path: Some("a.wasm".into()), ..Wanted::default() };
        assert!(asked(both, b"wasm").is_err());
        let pulled = || Wanted { oci: Some("registry.example/acme@sha256:0".to_owned()), ..Wanted::default() };
        assert!(asked(pulled(), b"wasm").is_err());
        assert!(matches!(wish(pulled(), None).expect("a wish").source, Source::Oci(_)));
        assert!(wish(Wanted { path: Some("a.wasm".into()), ..pulled() }, None).is_err());
        let rule = || Some("differences<=3".to_owned());
        assert!(asked(Wanted { promote_if: rule(), ..Wanted::default() }, b"wasm").is_err());
        let wanted = Wanted { promote_if: rule(), shadow: Some("100".to_owned()), ..Wanted::default() };
        let plan = asked(wanted, b"wasm").expect("a wish").rehearse.expect("a rehearsal");
        assert_eq!(plan.promote_if.expect("a rule").to_string(), "faults<=0,differences<=3,slower<=2");
    }
}
