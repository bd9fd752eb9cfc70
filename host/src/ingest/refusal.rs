use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("send the bearer token: `Authorization: Bearer <token>`")]
    NoToken,
    #[error("the bearer token is wrong")]
    WrongToken,
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    MediaType(String),
    #[error("the body is larger than {0} bytes; send it in parts")]
    BodyTooLarge(u64),
    #[error("`input` is larger than {0} bytes (tasks.max_payload)")]
    InputTooLarge(usize),
    #[error("the body holds more than {0} events; send it in parts")]
    TooManyEvents(usize),
    #[error("the body did not arrive in time")]
    Slow,
    #[error("{0}; nothing of this request was taken, send it again")]
    Busy(&'static str),
    #[error("the daemon is shutting down; nothing of this request was taken, send it again")]
    Draining,
    #[error("there is POST /v1/events and, with [tasks], POST /v1/tasks and GET /v1/tasks/<id>; nothing else")]
    NoSuchRoute,
    #[error("/v1/events and /v1/tasks take POST, /v1/tasks/<id> takes GET")]
    NoSuchMethod,
    #[error("nobody asked for this task here, or so long ago that its result is not kept any more")]
    NoSuchTask,
    #[error("there is no agent {agent:?} here, nor are there other workers (tasks.unknown); nothing was added")]
    NoSuchAgent { agent: String, known: Vec<String> },
    #[error(
        "there is no agent {agent:?} here, and {waiting} tasks for agents that are not here wait already \
         (tasks.max_unknown, tasks.expected); nothing was added"
    )]
    TooManyStrange { agent: String, waiting: u64, known: Vec<String> },
    #[error("this Idempotency-Key was used for another task")]
    Conflict,
    #[error("Redis is away; nobody knows whether the task was added: send it again with the same Idempotency-Key")]
    Away,
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) | Self::NoSuchAgent { .. } => StatusCode::BAD_REQUEST,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge(_) | Self::TooManyEvents(_) | Self::InputTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy(_) | Self::TooManyStrange { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Draining | Self::Away => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoSuchRoute | Self::NoSuchTask => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// Whether the client may still be writing a body that is worth reading to its end: a connection closed on unread
    /// bytes is reset, and the client might never see the answer.
    pub(super) fn leaves_body(&self) -> bool {
        !matches!(self, Self::Slow | Self::NoSuchRoute | Self::NoSuchMethod)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.to_string() });
        if let Self::NoSuchAgent { known, .. } | Self::TooManyStrange { known, .. } = &self {
            body["known_agents"] = json!(known);
        }
        let mut response = (self.status(), Json(body)).into_response();
        let header = match self {
            Self::NoToken => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"aurora\"")),
            Self::WrongToken => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"aurora\", error=\"invalid_token\"")),
            Self::Busy(_) | Self::Draining | Self::Away => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
