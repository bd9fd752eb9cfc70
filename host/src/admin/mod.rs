//! Health, metrics and guests over HTTP, for the site's own monitoring and its operators. Looking takes no password, so
//! it listens on the loopback address unless told otherwise; changing guests takes a token.
//!
//! | route | answer |
//! |---|---|
//! | `GET /livez` | 200 `ok` while every long-lived task lives, else 503 with those that ended: restart the daemon |
//! | `GET /readyz` | 200 or 503 with every part and what it waits for: send it no traffic, it mends itself |
//! | `GET /metrics` | Prometheus text |
//! | `/v1/devices…` | which devices there are, and whether they are what they say: [`devices`] |
//! | `GET /`, `GET /v1/overview` | the page that shows all of it, and what it reads: [`console`] |
//! | `/v1/guests…` | which guests run, and others in their place: [`guests`] |

mod liveness;
mod readiness;
mod shown;
pub mod guests;
pub mod devices;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Encoder, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use liveness::Liveness;
pub use readiness::{Part, Readiness, Report, State as PartState};

use crate::{
    console, listen,
    telemetry::{Chain, Metrics},
};

/// What exists, for whoever asks for something else.
const INDEX: &str = "there is: GET / (a page), GET /livez, GET /readyz, GET /metrics, GET /v1/guests, GET /v1/devices, \
                     GET /v1/overview\n";

/// What the routes read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Whether the tasks live.
    pub liveness: Liveness,
    /// Whether the parts are ready.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Metrics,
    /// Which guests run.
    pub guests: guests::Handle,
    /// Which devices there are.
    pub devices: devices::Handle,
    /// What the page shows. Without it there is none.
    pub console: Option<console::Handle>,
}

/// Serves the routes until `shutdown`. It should be the last thing to end: a drain that nobody can watch looks like a
/// hang.
pub async fn serve(listener: TcpListener, handle: Handle, shutdown: CancellationToken) {
    let limits = listen::Limits { connections: 64, ..listen::Limits::default() };
    listen::serve(listener, router(handle), limits, shutdown).await;
}

fn router(handle: Handle) -> Router {
    let guests = guests::router(handle.guests.clone());
    let devices = devices::router(handle.devices.clone());
    let console = handle.console.clone().map(console::router).unwrap_or_default();
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, INDEX))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, INDEX))
        .with_state(handle)
        .merge(guests)
        .merge(devices)
        .merge(console)
}

async fn livez(State(handle): State<Handle>) -> Response {
    let lost = handle.liveness.lost();
    if lost.is_empty() {
        return "ok".into_response();
    }
    let lines: String = lost.iter().map(|(task, reason)| format!("{task}: {reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn readyz(State(handle): State<Handle>) -> Response {
    let report = handle.readiness.report();
    let status = if report.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(handle): State<Handle>) -> Response {
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    match encoder.encode(&handle.metrics.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(cause) => {
            error!(error = %Chain(&cause), "cannot write the metrics");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", Chain(&cause))).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn served(handle: &Handle) -> SocketAddr {
        let listener = listen::bind("admin.listen", SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        tokio::spawn(serve(listener, handle.clone(), CancellationToken::new()));
        address
    }

    fn handle(parts: &[Part]) -> Handle {
        Handle {
            liveness: Liveness::default(),
            readiness: Readiness::new(parts.iter().copied()),
            metrics: Metrics::new(),
            guests: guests::Handle::default(),
            devices: devices::Handle::default(),
            console: None,
        }
    }

    async fn ask(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn is_live_until_a_task_is_lost() {
        let handle = handle(&[]);
        let address = served(&handle).await;
        let alive = ask(address, "GET /livez").await;
        assert!(alive.starts_with("HTTP/1.1 200") && alive.ends_with("\r\n\r\nok"), "{alive}");
        handle.liveness.lose("lane 2", "panicked");
        let dead = ask(address, "GET /livez").await;
        assert!(dead.starts_with("HTTP/1.1 503") && dead.ends_with("lane 2: panicked\n"), "{dead}");
    }

    #[tokio::test]
    async fn is_unready_with_the_reason_while_redis_is_away() {
        let handle = handle(&[Part::Guests, Part::Redis]);
        let address = served(&handle).await;
        handle.readiness.set(Part::Guests, PartState::Ready);
        handle.readiness.set(Part::Redis, PartState::Ready);
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200"));
        handle.readiness.set(Part::Redis, PartState::NotReady("connection refused".to_owned()));
        let answer = ask(address, "GET /readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let body: serde_json::Value =
            serde_json::from_str(answer.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        assert_eq!(body["ready"], false);
        assert_eq!(body["parts"]["redis"]["reason"], "connection refused");
        assert_eq!(body["parts"]["guests"]["ready"], true);
        assert!(body["parts"].get("nats").is_none(), "a part that is not configured is listed");
    }

    #[tokio::test]
    async fn writes_metrics_as_prometheus_reads_them() {
        let handle = handle(&[]);
        handle.metrics.events_published.inc_by(7);
        let answer = ask(served(&handle).await, "GET /metrics").await;
        assert!(answer.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("\naurora_events_published_total 7\n"), "{answer}");
    }

    #[tokio::test]
    async fn lists_what_exists_for_an_unknown_path_and_method() {
        let address = served(&handle(&[])).await;
        for (line, status) in [("GET /", "404"), ("POST /livez", "405")] {
            let answer = ask(address, line).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains("/readyz"), "{answer}");
        }
    }
}
