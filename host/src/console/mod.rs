//! The page at `/` of the admin listener, and what it reads: `GET /v1/overview`.
//!
//! The page is one document with its styles and its script in it. It fetches nothing but the overview, so it works
//! without any other network; its policy lets it do nothing else. What the overview says is open, as `/metrics` is.
//! What events say, titles and devices and reasons, is in it only for who shows the token of `[admin]`; what is marked
//! TLP:RED or TLP:AMBER+STRICT is not in it for anybody, for a wall is no place for that.

mod page;
mod overview;
mod contents;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

pub use self::overview::About;
use self::{contents::Contents, page::PAGE};
use crate::{
    admin::{Liveness, Readiness, devices, guests},
    broker::redis_streams::Letters,
    ingest::Shown,
    lag::Seen,
    telemetry::Metrics,
};

/// What the page is made of. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    about: Arc<About>,
    liveness: Liveness,
    readiness: Readiness,
    metrics: Metrics,
    seen: Seen,
    guests: guests::Handle,
    contents: Arc<Contents>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("about", &self.about).finish_non_exhaustive()
    }
}

impl Handle {
    /// Of the daemon's parts.
    #[must_use]
    pub fn new(
        about: About,
        (liveness, readiness): (&Liveness, &Readiness),
        metrics: &Metrics,
        seen: &Seen,
        (guests, devices): (&guests::Handle, &devices::Handle),
        letters: Letters,
    ) -> Self {
        let contents = Contents::new(&about, letters, devices.clone(), Arc::clone(&guests.agents));
        Self {
            about: Arc::new(about),
            liveness: liveness.clone(),
            readiness: readiness.clone(),
            metrics: metrics.clone(),
            seen: seen.clone(),
            guests: guests.clone(),
            contents: Arc::new(contents),
        }
    }
}

pub(crate) fn router(handle: Handle) -> Router {
    Router::new().route("/", get(page)).route("/v1/overview", get(overview)).with_state(handle)
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, &*PAGE.policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, &*PAGE.html).into_response()
}

async fn overview(State(handle): State<Handle>, headers: HeaderMap) -> Response {
    let shown = handle.guests.token.as_ref().map(|token| token.shown(&headers));
    if shown == Some(Shown::Wrong) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, Json(json!({ "error": "the bearer token is wrong" })))
            .into_response();
    }
    let mut overview = handle.overview().await;
    overview["contents_need"] = match shown {
        None => "a-token-configured",
        Some(_) => "a-token",
    }
    .into();
    if shown == Some(Shown::Right) {
        overview["contents"] = handle.contents.now().await;
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(overview)).into_response()
}
