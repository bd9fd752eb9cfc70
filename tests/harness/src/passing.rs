//! One connection through a [`Proxy`](crate::Proxy): both ways of it, and what goes wrong on them.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp},
    sync::watch,
};

use crate::{
    proxy::Faults,
    tap::{Tap, Way},
};

/// What all connections of a proxy share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub upstream: AtomicU16,
    pub connections: AtomicUsize,
    pub snare: Mutex<Option<Snare>>,
    pub answers_lost: AtomicUsize,
    pub tap: Option<Tap>,
}

/// Which requests go through while their answers do not.
#[derive(Debug)]
pub(crate) struct Snare {
    pub marker: Vec<u8>,
    pub left: usize,
}

impl Shared {
    /// Whether the answer to a request with these bytes is to be lost.
    fn snares(&self, request: &[u8]) -> bool {
        let mut snare = self.snare.lock().unwrap_or_else(PoisonError::into_inner);
        match snare.as_mut() {
            Some(Snare { marker, left }) if *left > 0 && request.windows(marker.len()).any(|seen| seen == marker) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

/// Passes bytes between `client` and the broker until one of them, or a fault, ends it.
pub(crate) async fn connection(client: TcpStream, shared: Arc<Shared>, faults: watch::Receiver<Faults>) {
    let upstream = (Ipv4Addr::LOCALHOST, shared.upstream.load(Ordering::Relaxed));
    let Ok(broker) = TcpStream::connect(upstream).await else { return };
    let (cuts, half_closes, cut_after) = {
        let faults = faults.borrow();
        (faults.cuts, faults.half_closes, faults.cut_after)
    };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let mut watching = faults.clone();
    let doomed = AtomicBool::new(false);
    let mut tap = shared.tap.as_ref().map(Tap::connection);
    let (tap_up, tap_down) = tap.as_mut().map_or((None, None), |(up, down)| (Some(up), Some(down)));
    let down = async {
        let mut half = faults.clone();
        let half_closed = async move { half.wait_for(|faults| faults.half_closes != half_closes).await.is_ok() };
        let passing = Passing { faults: faults.clone(), left: None, tap: tap_down, shared: &shared, doomed: &doomed };
        tokio::select! {
            ended = passing.run(from_broker, to_client, false) => ended,
            _ = half_closed => Ended::Closed,
        }
    };
    let passing = Passing { faults: faults.clone(), left: cut_after, tap: tap_up, shared: &shared, doomed: &doomed };
    let up = passing.run(from_client, to_broker, true);
    let both = async {
        tokio::pin!(up, down);
        // A closed way leaves the other one open; a cut takes both.
        let first = tokio::select! { ended = &mut up => (ended, true), ended = &mut down => (ended, false) };
        match first {
            (Ended::Cut, _) => {}
            (Ended::Closed, true) => _ = down.await,
            (Ended::Closed, false) => _ = up.await,
        }
    };
    tokio::select! {
        () = both => {}
        _ = watching.wait_for(|faults| faults.cuts != cuts) => {}
    }
}

enum Ended {
    Closed,
    Cut,
}

/// One way of a connection.
struct Passing<'a> {
    faults: watch::Receiver<Faults>,
    left: Option<usize>,
    tap: Option<&'a mut Way>,
    shared: &'a Shared,
    /// Set on the way there when the answer is to be lost on the way back.
    doomed: &'a AtomicBool,
}

impl Passing<'_> {
    async fn run(mut self, mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, to_broker: bool) -> Ended {
        let flows =
            move |faults: &Faults| !(faults.frozen || if to_broker { faults.frozen_up } else { faults.frozen_down });
        let mut buffer = vec![0; 16 * 1024];
        loop {
            if self.faults.wait_for(flows).await.is_err() {
                return Ended::Cut;
            }
            let rate = self.faults.borrow().bytes_per_second;
            // Small bites when throttled, so that a change of mind is soon heard.
            let bite =
                if rate == 0 { buffer.len() } else { usize::try_from(rate / 20).unwrap_or(1).clamp(1, buffer.len()) };
            let read = match from.read(&mut buffer[..bite]).await {
                Ok(0) | Err(_) => {
                    to.shutdown().await.ok();
                    return Ended::Closed;
                }
                Ok(read) => read,
            };
            // Frozen while it waited for bytes: these wait too.
            if self.faults.wait_for(flows).await.is_err() {
                return Ended::Cut;
            }
            if to_broker && self.shared.snares(&buffer[..read]) {
                self.doomed.store(true, Ordering::Relaxed);
            } else if !to_broker && self.doomed.load(Ordering::Relaxed) {
                self.shared.answers_lost.fetch_add(1, Ordering::Relaxed);
                return Ended::Cut;
            }
            // Asked for only now: the wait for these bytes may have begun long before.
            let delay = self.faults.borrow().delay;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if rate > 0 {
                tokio::time::sleep(Duration::from_secs_f64(read as f64 / rate as f64)).await;
            }
            let passed = self.left.map_or(read, |left| read.min(left));
            if to.write_all(&buffer[..passed]).await.is_err() {
                return Ended::Closed;
            }
            if let Some(tap) = &mut self.tap {
                tap.see(&buffer[..passed]);
            }
            if let Some(left) = &mut self.left {
                *left -= passed;
                if *left == 0 {
                    return Ended::Cut;
                }
            }
        }
    }
}
