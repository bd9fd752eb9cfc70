use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, close_code};
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast::error::RecvError},
    time::{self, Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{Seat, filter::Filter, message::Message};
use crate::telemetry::FeedMetrics;

/// Longest wait for a viewer to take one message. The ring turns meanwhile.
const STALL: Duration = Duration::from_secs(10);

/// Longest wait for it to take its leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// One who watches.
pub(super) struct Viewer {
    pub socket: WebSocket,
    pub filter: Filter,
    pub seat: Seat,
    pub ping: Duration,
    pub metrics: FeedMetrics,
    /// Its place among the viewers.
    pub place: OwnedSemaphorePermit,
}

/// Why one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It went by itself.
    Left,
    /// It did not keep up; so many messages were missed, if that is known.
    Slow(Option<u64>),
    /// It did not answer.
    Silent,
    /// It sent something.
    Talks,
    /// The daemon ends.
    Stop,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Slow(_) => "slow",
            Self::Silent => "silent",
            Self::Talks => "talks",
            Self::Stop => "stop",
        }
    }

    /// What it is told; nothing if it has gone.
    fn frame(self) -> Option<CloseFrame> {
        let (code, reason): (_, Cow<'static, str>) = match self {
            Self::Left => return None,
            Self::Slow(None) => (close_code::AGAIN, "too slow".into()),
            Self::Slow(Some(missed)) => (close_code::AGAIN, format!("too slow: {missed} messages were missed").into()),
            Self::Silent => (close_code::POLICY, "no answer to a ping".into()),
            Self::Talks => (close_code::UNSUPPORTED, "nothing is taken here; filters stand in the URL".into()),
            Self::Stop => (close_code::AWAY, "the daemon ends".into()),
        };
        Some(CloseFrame { code, reason: reason.as_ref().into() })
    }
}

impl Viewer {
    /// Passes on what it wants to see, until it goes or is sent away.
    pub async fn attend(mut self, stop: CancellationToken) {
        self.metrics.clients.inc();
        let end = self.watch(&stop).await;
        if let Some(frame) = end.frame() {
            // It may have gone, or take nothing any more.
            let _ = time::timeout(FAREWELL, self.socket.send(Frame::Close(Some(frame)))).await;
        }
        self.metrics.clients.dec();
        self.metrics.closed(end.as_str());
        drop(self.place);
    }

    async fn watch(&mut self, stop: &CancellationToken) -> End {
        let mut pings = time::interval_at(Instant::now() + self.ping, self.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return End::Stop,
                // Control frames first, or a busy feed would keep us from hearing that it is alive.
                frame = self.socket.recv() => match frame {
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => heard = Instant::now(),
                    Some(Ok(Frame::Text(_) | Frame::Binary(_))) => return End::Talks,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return End::Left,
                },
                message = self.seat.recv() => match message {
                    Ok(message) => match self.pass_on(&message).await {
                        Ok(()) => {}
                        Err(end) => return end,
                    },
                    Err(RecvError::Lagged(missed)) => return End::Slow(Some(missed)),
                    Err(RecvError::Closed) => return End::Stop,
                },
                _ = pings.tick() => {
                    if heard.elapsed() > 2 * self.ping {
                        return End::Silent;
                    }
                    match time::timeout(STALL, self.socket.send(Frame::Ping(Vec::new().into()))).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return End::Left,
                        Err(_) => return End::Slow(None),
                    }
                }
            }
        }
    }

    async fn pass_on(&mut self, message: &Arc<Message>) -> Result<(), End> {
        if !self.filter.takes(message) {
            return Ok(());
        }
        match time::timeout(STALL, self.socket.send(Frame::Text(message.text.clone()))).await {
            Ok(Ok(())) => {
                self.metrics.sent.inc();
                Ok(())
            }
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Slow(None)),
        }
    }
}
