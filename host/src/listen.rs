//! How the HTTP listeners are bound, bounded and ended.
//!
//! `axum::serve` is not used, because it lets a client take forever over its headers, takes any number of connections,
//! and leaves its connection tasks to themselves. Here each is bounded, and every task ends with the listener.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::telemetry::Chain;

/// A client may send this much of request line and headers; hyper's own limit is six times as high.
const MAX_HEADERS: usize = 64 * 1024;

/// Out of file descriptors: accepting again at once would only spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What one listener allows its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at a time. Beyond it clients wait in the kernel's queue.
    pub connections: usize,
    /// Longest wait for a complete set of headers, and so also for the next request of an idle connection.
    pub headers: Duration,
    /// After the shutdown: longest wait for connections to take their last answer.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 256, headers: Duration::from_secs(10), linger: Duration::from_secs(2) }
    }
}

/// Address of the client, in the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", remedy(.cause, .key))]
pub struct Error {
    /// The address.
    pub address: SocketAddr,
    /// The configuration key that names it.
    pub key: &'static str,
    /// What the system says.
    #[source]
    pub cause: io::Error,
}

fn remedy(cause: &io::Error, key: &str) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program listens there; stop it, or set `{key}` to a free address")
        }
        io::ErrorKind::AddrNotAvailable => format!("this machine has no such address; set `{key}` to one it has"),
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need a privilege; set `{key}` to a higher one")
        }
        _ => format!("set `{key}` to another address"),
    }
}

/// Listens on `address`, which the configuration key `key` names.
///
/// # Errors
/// [`Error`] says what is wrong with the address and what to do.
pub async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| Error { address, key, cause })
}

/// Serves `router` until `shutdown`; then lets the requests under way end and returns. Dropping the future cuts all
/// connections.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(converse(stream, peer, router.clone(), limits, shutdown.clone()));
                }
                Err(cause) => {
                    warn!(error = %Chain(&cause), "cannot accept a connection, trying again");
                    time::sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    drop(listener);
    let all_end = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if time::timeout(limits.linger, all_end).await.is_err() {
        warn!(connections = connections.len(), "cutting connections whose clients do not end them");
    }
}

/// One connection, from its first request to its last.
async fn converse(stream: TcpStream, peer: SocketAddr, router: Router, limits: Limits, shutdown: CancellationToken) {
    // Answers are small and complete, so waiting to fill a packet only adds latency.
    if let Err(cause) = stream.set_nodelay(true) {
        debug!(%peer, error = %Chain(&cause), "cannot set TCP_NODELAY");
    }
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(limits.headers).max_buf_size(MAX_HEADERS);
    let service = TowerToHyperService::new(router.layer(Extension(Peer(peer))));
    // Once it is a WebSocket it is its new owner's, and none of ours any more.
    let mut connection = pin!(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away is no fault of ours.
        debug!(%peer, error = %Chain(&*error), "connection ended early");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(error = %Chain(&error), "a connection's task panicked; its client sees a closed connection");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Running {
        address: SocketAddr,
        shutdown: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    async fn running(limits: Limits) -> Running {
        let listener = bind("admin.listen", SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let shutdown = CancellationToken::new();
        let router =
            Router::new().route("/", get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.to_string() }));
        let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
        Running { address, shutdown, task }
    }

    /// The whole of what the server says until it closes the connection.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("an orderly end");
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn says_which_key_to_change_for_an_address_in_use() {
        let taken = bind("admin.listen", SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let address = taken.local_addr().expect("a bound port");
        let error = bind("admin.listen", address).await.expect_err("the port is taken");
        let text = error.to_string();
        assert!(text.contains(&address.to_string()) && text.contains("set `admin.listen`"), "{text}");
    }

    #[tokio::test]
    async fn names_the_peer_in_every_request() {
        let server = running(Limits::default()).await;
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        let own = stream.local_addr().expect("a connected socket").to_string();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
        assert!(rest(&mut stream).await.ends_with(&own));
    }

    #[tokio::test]
    async fn closes_a_connection_that_never_completes_its_headers() {
        let server = running(Limits { headers: Duration::from_millis(50), ..Limits::default() }).await;
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-").await.expect("sent");
        assert!(!rest(&mut stream).await.contains("200 OK"));
    }

    #[tokio::test]
    async fn closes_an_idle_connection() {
        let server = running(Limits { headers: Duration::from_millis(50), ..Limits::default() }).await;
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    }

    #[tokio::test]
    async fn refuses_headers_without_end() {
        let server = running(Limits::default()).await;
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        let endless = format!("GET / HTTP/1.1\r\nX-Long: {}", "a".repeat(2 * MAX_HEADERS));
        // The server may close before all of it is sent; what it says is not always readable then.
        let _ = stream.write_all(endless.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    }

    #[tokio::test]
    async fn serves_a_waiting_client_once_another_has_gone() {
        let server = running(Limits { connections: 1, ..Limits::default() }).await;
        let mut first = TcpStream::connect(server.address).await.expect("a connection");
        first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        let mut byte = [0];
        first.read_exact(&mut byte).await.expect("the first client is served");
        let mut second = TcpStream::connect(server.address).await.expect("the kernel's queue takes it");
        second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
        let early = time::timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await;
        assert!(early.is_err(), "the second client was served beside the first");
        drop(first);
        assert!(rest(&mut second).await.contains("200 OK"));
    }

    #[tokio::test]
    async fn ends_although_a_client_holds_its_connection() {
        let server = running(Limits { linger: Duration::from_millis(50), ..Limits::default() }).await;
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-").await.expect("sent");
        server.shutdown.cancel();
        time::timeout(Duration::from_secs(5), server.task).await.expect("it ends").expect("without a panic");
    }
}
