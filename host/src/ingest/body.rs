use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Error,
    body::{Body, HttpBody},
};
use bytes::{Bytes, BytesMut};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;

/// How long a refused client may go on writing before it is cut off.
const DISCARD: Duration = Duration::from_secs(1);

/// What bounds the bodies of all requests.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Largest body, bytes.
    pub(super) largest: u32,
    /// Longest wait for all of a body.
    pub(super) patience: Duration,
    /// A permit for each byte of bodies that may be held at a time.
    pub(super) memory: Arc<Semaphore>,
}

/// A whole body. Its bytes count as held until the permit goes, which therefore lives as long as the last event.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) held: OwnedSemaphorePermit,
}

impl Bounds {
    /// Reads all of `body`.
    pub(super) async fn read(&self, body: &mut Body, draining: &CancellationToken) -> Result<Whole, Refusal> {
        let too_large = || Refusal::BodyTooLarge(self.largest.into());
        let deadline = Instant::now() + self.patience;
        let announced = match body.size_hint().exact() {
            Some(length) => {
                Some(u32::try_from(length).ok().filter(|length| *length <= self.largest).ok_or_else(too_large)?)
            }
            None => None,
        };
        let mut held = self.hold(announced.unwrap_or(0))?;
        let mut length = 0;
        let mut gathered = Gathered { first: Bytes::new(), rest: BytesMut::new() };
        loop {
            let next = tokio::select! {
                biased;
                () = draining.cancelled() => return Err(Refusal::Draining),
                next = time::timeout_at(deadline, piece(body)) => next.map_err(|_| Refusal::Slow)?,
            };
            let Some(piece) = next else { break };
            let piece = piece.map_err(|_| Refusal::Malformed("the body ends early".to_owned()))?;
            let size = u32::try_from(piece.len()).map_err(|_| too_large())?;
            length = u32::checked_add(length, size).filter(|length| *length <= self.largest).ok_or_else(too_large)?;
            if announced.is_none() {
                held.merge(self.hold(size)?);
            }
            gathered.push(piece, announced);
        }
        Ok(Whole { bytes: gathered.finish(), held })
    }

    fn hold(&self, bytes: u32) -> Result<OwnedSemaphorePermit, Refusal> {
        let held = self.memory.clone().try_acquire_many_owned(bytes);
        held.map_err(|_| Refusal::Busy("too many bytes are in flight"))
    }

    /// Reads and forgets what a refused client still writes, so that it gets to see the answer. Within bounds.
    pub(super) async fn discard(&self, body: &mut Body) {
        let all = async {
            let mut length = 0;
            while let Some(Ok(piece)) = piece(body).await
                && length <= self.largest as usize
            {
                length += piece.len();
            }
        };
        // A client that is slower than this may miss the answer, but sees the connection end.
        let _ = time::timeout(DISCARD, all).await;
    }
}

/// The next bytes; trailers say nothing that we want to know, and count as none.
async fn piece(body: &mut Body) -> Option<Result<Bytes, Error>> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Pieces of a body. A body of one piece, as most are, is not copied.
struct Gathered {
    first: Bytes,
    rest: BytesMut,
}

impl Gathered {
    fn push(&mut self, piece: Bytes, announced: Option<u32>) {
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = piece;
            return;
        }
        if self.rest.is_empty() {
            self.rest.reserve(announced.map_or(0, |length| length as usize).max(self.first.len() + piece.len()));
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&piece);
    }

    fn finish(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}
