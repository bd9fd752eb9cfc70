//! Events over HTTP, from collectors that speak no MQTT: `POST /v1/events`. Where `[tasks]` is configured, tasks for agents
//! as well: see `tasks.rs` beside this file.
//!
//! # The request
//!
//! | header or parameter | meaning |
//! |---|---|
//! | `Authorization: Bearer <token>` | required; the token of `[ingest]` |
//! | `Content-Type` | `application/json`: one event, or an array of events · `application/x-ndjson`: one event a line · `text/plain`: raw lines |
//! | `?format=` | `cef`, `leef`, `syslog`, `json`, `auto`, …: what the events are written in. Default: `json` for the JSON types, else `auto` |
//! | `?source=` or `X-Aurora-Source` | name of the origin, `[A-Za-z0-9_.-]{1,64}`. Default: `http` |
//! | `?device=` | device id that all of the events concern, `[A-Za-z0-9_-]{1,64}` |
//! | `?framing=` | `line`: one event a line · `whole`: the body is one event. Default: by content type |
//! | `?verbose` | list every line in the answer |
//! | `Idempotency-Key` | 1 to 255 bytes, new for each request: see below |
//!
//! Blank lines are no events. Anything else that is on a line, in an array or in a body is one, however malformed: it
//! becomes a dead letter, not an error of the request. Events of one request stay in order, because they share a
//! source and device and therefore a lane.
//!
//! # The answer
//!
//! It comes only when every event of the request is settled, so 200 means stored:
//! `{"received":3,"published":1,"dropped":1,"dead_lettered":1,"results":[{"line":2,"outcome":"dropped","reason":"…"},…]}`.
//! `line` counts from 1, in an array its elements. Published lines are listed with `?verbose` only.
//!
//! A request is taken whole or not at all. Nothing of it was taken when the answer is 400 (malformed), 401 (token), 408
//! (too slow), 413 (too large, or more events than a lane has places for), 415 (content type, compressed), 429 (no
//! place now; `Retry-After` says when to try again) or 503 without `results` (shutting down). A 503 with `results` lists
//! every line: send those again whose outcome is `abandoned`.
//!
//! # Sending again
//!
//! A client that hears nothing cannot know what was stored. With an `Idempotency-Key` it sends the same request under
//! the same key, within a day: lines that were stored are not stored again, and are `repeated` in the answer. Without a
//! key every request is new; alerts of equal content are then still one event within the window of `[dedup]`, and
//! `suppressed` in the answer.

mod token;
mod wanted;
mod body;
mod cut;
mod collect;
mod identity;
mod report;
mod refusal;
mod tasks;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    body::HttpBody,
    extract::{Request, State},
    http::{header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use self::token::{Shown, Token};
use self::{
    body::{Bounds, Whole},
    collect::{Collector, Occupied, Outcome},
    cut::{Cut, cut},
    identity::Identities,
    refusal::Refusal,
    report::Report,
    wanted::Wanted,
};
use crate::{
    config,
    event::{self, Delivery, Duty, Intake},
    listen::{self, Peer},
    tasks::Desk,
    telemetry::{Metrics, Stage},
};

/// Longest wait for all of a request's body.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bodies of the largest size that may be held at a time, those of unsettled events included. Without it
/// `max_in_flight` times `max_payload` would be the bound, which is more memory than most machines have.
const BODIES: usize = 4;

/// Why ingest cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a file nor a token.
    #[error("`ingest` has no token; set `ingest.token_file`, or AURORA_INGEST__TOKEN in the environment")]
    NoToken,
    /// A file and a token.
    #[error("`ingest.token_file` and `ingest.token` are both set; keep one")]
    TwoTokens,
    /// A token that no client could send.
    #[error("the token of `ingest` is empty, or holds something else than visible ASCII characters")]
    UnusableToken,
    /// The file cannot be read.
    #[error("cannot read `ingest.token_file` {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A limit that cannot be kept.
    #[error("`ingest.{key}` has to be 1 to {}", u32::MAX)]
    Limit {
        /// Which.
        key: &'static str,
    },
}

/// The route `POST /v1/events`, and what it hands events to; and those of tasks, where there are any.
pub struct Ingest<I> {
    intake: Arc<I>,
    metrics: Metrics,
    token: Token,
    bounds: Bounds,
    max_payload: u64,
    /// A permit for each event taken and not yet stored.
    places: Arc<Semaphore>,
    max_in_flight: u32,
    identities: Identities,
    draining: CancellationToken,
    desk: Option<Desk>,
}

impl<I: Intake> Ingest<I> {
    /// Ready to serve, with the token read.
    ///
    /// # Errors
    /// [`Error`] names the setting that is at fault.
    pub fn new(config: &config::Ingest, intake: Arc<I>, metrics: Metrics) -> Result<Self, Error> {
        let limit = |key, value| u32::try_from(value).ok().filter(|value| *value > 0).ok_or(Error::Limit { key });
        let max_in_flight = limit("max_in_flight", config.max_in_flight as u64)?;
        let largest = limit("max_body", config.max_body.as_u64())?;
        Ok(Self {
            intake,
            metrics,
            token: Token::load(config)?,
            bounds: Bounds {
                largest,
                patience: PATIENCE,
                memory: Arc::new(Semaphore::new((BODIES * largest as usize).min(Semaphore::MAX_PERMITS))),
            },
            max_payload: config.max_payload.as_u64(),
            places: Arc::new(Semaphore::new((max_in_flight as usize).min(Semaphore::MAX_PERMITS))),
            max_in_flight,
            identities: Identities::default(),
            draining: CancellationToken::new(),
            desk: None,
        })
    }

    /// The same with the routes of tasks.
    #[must_use]
    pub fn with_tasks(self, desk: Option<Desk>) -> Self {
        Self { desk, ..self }
    }

    /// Serves until `shutdown`, then answers 503 until every event taken is settled, and returns. It waits for the
    /// lanes without a limit: dropping the future gives up.
    pub async fn serve(mut self, listener: TcpListener, shutdown: CancellationToken) {
        self.draining = shutdown.clone();
        let (places, all, desk) = (self.places.clone(), self.max_in_flight, self.desk.take());
        let ingest = Arc::new(self);
        let tasks = desk.map(|desk| {
            Router::new()
                .route("/v1/tasks", post(tasks::post_task::<I>))
                .route("/v1/tasks/{id}", get(tasks::get_task::<I>))
                .with_state((Arc::clone(&ingest), desk))
        });
        let router = Router::new()
            .route("/v1/events", post(post_events::<I>))
            .with_state(ingest)
            .merge(tasks.unwrap_or_default())
            .fallback(async || Refusal::NoSuchRoute)
            .method_not_allowed_fallback(async || Refusal::NoSuchMethod);
        let settled = CancellationToken::new();
        let drain = async {
            shutdown.cancelled().await;
            // All permits are back when nothing is in flight. The semaphore is never closed.
            let _all = places.acquire_many(all).await;
            settled.cancel();
        };
        tokio::join!(listen::serve(listener, router, listen::Limits::default(), settled.clone()), drain);
    }

    async fn take(&self, parts: &Parts, body: &mut axum::body::Body, peer: Peer) -> Result<Report, Refusal> {
        self.token.check(&parts.headers)?;
        if self.draining.is_cancelled() {
            return Err(Refusal::Draining);
        }
        let wanted = Wanted::of(parts, peer.0.ip())?;
        let most = self.intake.capacity().min(self.max_in_flight as usize);
        let Whole { bytes, held } = self.bounds.read(body, &self.draining).await?;
        let cuts = cut(&bytes, wanted.framing, most)?;
        drop(bytes);
        if cuts.is_empty() {
            return Ok(Report::default());
        }
        let count = u32::try_from(cuts.len()).map_err(|_| Refusal::TooManyEvents(most))?;
        let places = self.places.clone().try_acquire_many_owned(count);
        let places = places.map_err(|_| Refusal::Busy("too many events are in flight"))?;
        let occupied = Occupied::new(self.metrics.ingest_in_flight.clone(), places, held);
        let (collector, outcomes) = Collector::new(cuts.len(), occupied);
        let lines: Vec<u64> = cuts.iter().map(|cut| cut.line).collect();
        self.hand_over(cuts, &wanted, &collector)?;
        drop(collector);
        // The collector answers before it goes. If it could not, nothing is known to be stored.
        let outcomes = outcomes.await.unwrap_or_else(|_| vec![Outcome::Abandoned; lines.len()]);
        Ok(Report::new(lines.into_iter(), outcomes, wanted.verbose))
    }

    /// All of the cuts to their lane, or none.
    fn hand_over(&self, cuts: Vec<Cut>, wanted: &Wanted, collector: &Arc<Collector>) -> Result<(), Refusal> {
        let context = Arc::new(wanted.context.clone());
        let identity = self.identities.of_request(&context, wanted.key.as_deref());
        let received_ms = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let delivery = |(ticket, cut): (u64, Cut)| Delivery {
            context: context.clone(),
            received_ms,
            identity: identity(cut.line),
            attempts: 0,
            unfit: (cut.payload.len() as u64 > self.max_payload)
                .then(|| format!("{} bytes, at most {} are taken", cut.payload.len(), self.max_payload)),
            payload: cut.payload,
            duty: Duty::new(collector.clone(), ticket),
        };
        let chunk: Vec<Delivery> = (0..).zip(cuts).map(delivery).collect();
        let count = chunk.len() as u64;
        // The chunk that comes back is dropped and so abandoned, which the collector tells nobody.
        self.intake.try_send(self.intake.lane_of(&context), chunk).map_err(|refused| match refused.reason {
            event::Refusal::Full => Refusal::Busy("the lane is full"),
            event::Refusal::Closed => Refusal::Draining,
        })?;
        let metrics = self.metrics.stage(Stage::Source);
        metrics.received.inc_by(count);
        metrics.sent.inc_by(count);
        Ok(())
    }
}

async fn post_events<I: Intake>(
    State(ingest): State<Arc<Ingest<I>>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let response = match ingest.take(&parts, &mut body, peer).await {
        Ok(report) => report.into_response(),
        Err(refusal) => {
            debug!(peer = %peer.0, reason = %refusal, "refused a request");
            // With `Expect: 100-continue` the client waits for our word before it writes, so there is nothing to read.
            if refusal.leaves_body() && !parts.headers.contains_key(header::EXPECT) && !body.is_end_stream() {
                ingest.bounds.discard(&mut body).await;
            }
            refusal.into_response()
        }
    };
    ingest.metrics.ingest_answer(response.status().as_u16());
    response
}
