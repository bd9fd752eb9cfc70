//! Devices over HTTP: `/v1/devices`.
//!
//! | route | |
//! |---|---|
//! | `GET /v1/devices` | every device that is enrolled or was heard of: whether it is there, and its last verdict |
//! | `POST /v1/devices/<id>/challenge` | ask one now: 202, and the verdict is in the list when it is there |
//!
//! Looking is open, as `/metrics` is. Asking takes the bearer token of `[admin]`. 404 where there is no `[attestation]`, or
//! nobody has enrolled the device.

use std::sync::{Arc, OnceLock};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    attestation::{Config, Overview, Registry, Standing},
    broker::redis_streams::{Devices, DevicesError},
    event::is_device_id,
    ingest::{Shown, Token},
    telemetry::Chain,
};

/// What the routes need. Cheap to clone.
#[derive(Clone, Default)]
pub struct Handle {
    /// Set once it is known that there is an `[attestation]`.
    pub asking: Arc<OnceLock<Asking>>,
    /// Without it nobody can be asked this way.
    pub token: Option<Arc<Token>>,
}

/// The site's devices.
#[derive(Clone)]
pub struct Asking {
    /// `[attestation]`.
    pub config: Config,
    /// What is known of them.
    pub devices: Devices,
    /// Who is enrolled.
    pub registry: Arc<Registry>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("token", &self.token.is_some()).finish_non_exhaustive()
    }
}

pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/v1/devices", get(list))
        .route("/v1/devices/{device}/challenge", post(challenge))
        .with_state(handle)
}

/// Why a request did nothing: the status, and what to do.
struct Denied(StatusCode, String);

impl From<DevicesError> for Denied {
    fn from(error: DevicesError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, Chain(&error).to_string())
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let Self(status, error) = self;
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl Handle {
    fn asking(&self) -> Result<&Asking, Denied> {
        let none = || Denied(StatusCode::NOT_FOUND, "the daemon has no [attestation], or is only starting".to_owned());
        self.asking.get().ok_or_else(none)
    }

    fn may_ask(&self, headers: &HeaderMap) -> Result<&Asking, Denied> {
        let Some(token) = &self.token else {
            let what = "devices are asked only with a token: write one into a file, name that as `admin.token_file`, and \
                        restart the daemon";
            return Err(Denied(StatusCode::FORBIDDEN, what.to_owned()));
        };
        let denied = |what: &str| Denied(StatusCode::UNAUTHORIZED, what.to_owned());
        match token.shown(headers) {
            Shown::Right => self.asking(),
            Shown::Wrong => Err(denied("the bearer token is wrong")),
            Shown::None => Err(denied("send the bearer token of `admin.token_file`")),
        }
    }
}

async fn list(State(handle): State<Handle>) -> Result<Response, Denied> {
    #[derive(Serialize)]
    struct All {
        devices: Vec<Overview>,
    }
    let Asking { config, devices, registry } = handle.asking()?;
    Ok(Json(All { devices: Overview::read(devices, registry, config).await? }).into_response())
}

async fn challenge(
    State(handle): State<Handle>,
    Path(device): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Denied> {
    let Asking { devices, registry, .. } = handle.may_ask(&headers)?;
    let unknown = || Denied(StatusCode::NOT_FOUND, "nobody has enrolled this device".to_owned());
    if !is_device_id(&device) {
        return Err(unknown());
    }
    let (known, now) = (devices.look(&[&device]).await?, chrono::Utc::now().timestamp_millis());
    let standing = known.first().map(|known| registry.standing_of(&device, known));
    match standing.unwrap_or(Standing::Unknown) {
        Standing::Enrolled { .. } => {}
        Standing::Awaiting(gate) if gate.until_ms > now => {}
        Standing::Revoked => return Err(Denied(StatusCode::CONFLICT, "the device is revoked".to_owned())),
        Standing::Unreadable(_) => {
            let what = "what is known of the device cannot be read, so it is not asked";
            return Err(Denied(StatusCode::CONFLICT, what.to_owned()));
        }
        _ => return Err(unknown()),
    }
    devices.want(&device, now).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "device_id": device }))).into_response())
}
