//! Who may watch, and what. Everything is decided before the upgrade, so that a refusal is an ordinary answer.
//!
//! | answer | |
//! |---|---|
//! | 101 | welcome |
//! | 400 | the filter, or the request for a WebSocket, is wrong; the answer says how |
//! | 401 | no token, or a wrong one |
//! | 403 | a page that is not in `broadcast.origins` |
//! | 404 | no such feed |
//! | 503 | `broadcast.max_clients` are here |
//!
//! The token comes in `Authorization: Bearer <token>`. A browser cannot set that for a WebSocket, so there it is the
//! subprotocol `aurora.bearer.<token>`, offered beside `aurora.v1`, which is the one that is agreed on. It is not taken
//! out of the URL, which proxies write into their logs.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        Path, RawQuery, State, WebSocketUpgrade, rejection::PathRejection, ws::rejection::WebSocketUpgradeRejection,
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::{Semaphore, mpsc};

use super::{Feed, Watched, filter::Filter, viewer::Viewer};
use crate::ingest::{Shown, Token};

/// The subprotocol.
const PROTOCOL: &str = "aurora.v1";

/// What a token begins with where it is offered as one.
const BEARER: &str = "aurora.bearer.";

/// Largest frame that a viewer may send: control frames have 125 bytes at most, and it sends nothing else.
const FRAME: usize = 1024;

/// What the listener knows.
pub(super) struct Door {
    pub token: Token,
    pub origins: Vec<String>,
    pub places: Arc<Semaphore>,
    pub rings: Vec<Watched>,
    pub entrants: mpsc::Sender<Viewer>,
    pub ping: Duration,
}

/// Why somebody may not watch.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    NoToken,
    WrongToken,
    Origin(String),
    NoFeed,
    Filter(String),
    Full,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                format!(
                    "send the token as `Authorization: Bearer …`, or offer the subprotocols {PROTOCOL} and {BEARER}…"
                ),
            ),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, "the token is wrong".to_owned()),
            Self::Origin(origin) => (StatusCode::FORBIDDEN, format!("{origin} is not in broadcast.origins")),
            Self::NoFeed => (StatusCode::NOT_FOUND, "there is: /ws/alerts, /ws/audit".to_owned()),
            Self::Filter(what) => (StatusCode::BAD_REQUEST, what),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "broadcast.max_clients viewers are here".to_owned()),
        };
        let mut response = (status, text + "\n").into_response();
        let more = match status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "10")),
            _ => None,
        };
        if let Some((name, value)) = more {
            response.headers_mut().insert(name, header::HeaderValue::from_static(value));
        }
        response
    }
}

pub(super) fn router(door: Door) -> Router {
    Router::new().route("/ws/{feed}", get(enter)).fallback(async || Refused::NoFeed).with_state(Arc::new(door))
}

impl Door {
    fn may_watch(&self, headers: &HeaderMap) -> Result<(), Refused> {
        // A browser always says for which page it asks, and a page cannot keep it from saying so.
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = String::from_utf8_lossy(origin.as_bytes());
            if !self.origins.iter().any(|known| *known == origin) {
                return Err(Refused::Origin(origin.into_owned()));
            }
        }
        match self.token.shown(headers) {
            Shown::Right => return Ok(()),
            Shown::Wrong => return Err(Refused::WrongToken),
            Shown::None => {}
        }
        let offers =
            headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
        let mut offered = offers.flat_map(|value| value.split(',')).filter_map(|one| one.trim().strip_prefix(BEARER));
        match offered.next() {
            Some(token) if self.token.is(token.as_bytes()) => Ok(()),
            Some(_) => Err(Refused::WrongToken),
            None => Err(Refused::NoToken),
        }
    }
}

async fn enter(
    State(door): State<Arc<Door>>,
    feed: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refused> {
    door.may_watch(&headers)?;
    let name = feed.map_err(|_| Refused::NoFeed)?.0;
    let watched = door.rings.iter().find(|(feed, ..)| feed.as_str() == name).ok_or(Refused::NoFeed)?;
    let (feed, ring, metrics): (Feed, _, _) = (watched.0, watched.1.clone(), watched.2.clone());
    let filter = Filter::of(feed, &query.unwrap_or_default()).map_err(Refused::Filter)?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    let place = Arc::clone(&door.places).try_acquire_owned().map_err(|_| Refused::Full)?;
    // From here on it misses nothing, whatever the upgrade takes.
    let seat = ring.subscribe();
    let (entrants, ping) = (door.entrants.clone(), door.ping);
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(FRAME).max_frame_size(FRAME);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let viewer = Viewer { socket, filter, seat, ping, metrics, place };
        // As many fit as there are places. Where nobody takes them any more the daemon ends, and dropping it says so.
        let _ = entrants.send(viewer).await;
    }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn door() -> Door {
        Door {
            token: Token::of("s3cret").unwrap(),
            origins: vec!["https://soc.example.org".to_owned()],
            places: Arc::new(Semaphore::new(1)),
            rings: Vec::new(),
            entrants: mpsc::channel(1).0,
            ping: Duration::from_secs(1),
        }
    }

    fn asked(headers: &[(&'static str, &'static str)]) -> Result<(), Refused> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        door().may_watch(&map)
    }

    #[test]
    fn takes_the_token_as_a_header_or_as_a_subprotocol() {
        assert_eq!(asked(&[("authorization", "Bearer s3cret")]), Ok(()));
        assert_eq!(asked(&[("sec-websocket-protocol", "aurora.v1, aurora.bearer.s3cret")]), Ok(()));
        let two = [("sec-websocket-protocol", "aurora.v1"), ("sec-websocket-protocol", "aurora.bearer.s3cret")];
        assert_eq!(asked(&two), Ok(()));
        assert_eq!(asked(&[]), Err(Refused::NoToken));
        assert_eq!(asked(&[("sec-websocket-protocol", "aurora.v1")]), Err(Refused::NoToken));
        assert_eq!(asked(&[("sec-websocket-protocol", "aurora.bearer.s3cre")]), Err(Refused::WrongToken));
        // A wrong header is not made good by something else.
        let both = [("authorization", "Bearer no"), ("sec-websocket-protocol", "aurora.bearer.s3cret")];
        assert_eq!(asked(&both), Err(Refused::WrongToken));
    }

    #[test]
    fn a_page_must_be_known_and_a_program_has_none() {
        let token = ("authorization", "Bearer s3cret");
        assert_eq!(asked(&[token, ("origin", "https://soc.example.org")]), Ok(()));
        for origin in ["https://evil.example", "null", "https://soc.example.org.evil.example", ""] {
            assert_eq!(asked(&[token, ("origin", origin)]), Err(Refused::Origin(origin.to_owned())));
        }
    }
}
