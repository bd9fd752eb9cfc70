//! A TCP proxy that does what networks do: cut, delay, throttle, freeze, close one way, lose an answer, lead elsewhere.

use std::{
    net::Ipv4Addr,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    passing::{Shared, Snare, connection},
    tap::Tap,
};

/// What is wrong with the network just now. The default is: nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// New connections are closed at once.
    pub refuse: bool,
    /// Every chunk waits this long, each way.
    pub delay: Duration,
    /// Most bytes a second, each way of each connection; 0 has no limit.
    pub bytes_per_second: u64,
    /// Nothing passes, and no connection ends.
    pub frozen: bool,
    /// Nothing passes towards the broker, and no connection ends.
    pub frozen_up: bool,
    /// Nothing passes from the broker, and no connection ends: it does what it is asked, and nobody hears of it.
    pub frozen_down: bool,
    /// Bytes that may still pass towards the broker on each new connection before it is cut, in the middle of
    /// whatever they are.
    pub cut_after: Option<usize>,
    /// Counts up at each [`Proxy::cut`]; connections of an older count end.
    pub(crate) cuts: u64,
    /// As `cuts`, for [`Proxy::half_close`].
    pub(crate) half_closes: u64,
}

/// A proxy before one broker. Ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    faults: watch::Sender<Faults>,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Stands before `upstream` on a free loopback port.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(upstream: u16) -> Result<Self> {
        Self::listen(upstream, None).await
    }

    /// The same before an MQTT broker, with a [`Tap`] on what passes.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start_tapped(upstream: u16) -> Result<Self> {
        Self::listen(upstream, Some(Tap::default())).await
    }

    async fn listen(upstream: u16, tap: Option<Tap>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the proxy cannot listen")?;
        let port = listener.local_addr().context("the proxy has no address")?.port();
        let (faults, watching) = watch::channel(Faults::default());
        let shared = Arc::new(Shared { upstream: upstream.into(), tap, ..Shared::default() });
        let sharing = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            // Owned here, so that all connections end with the proxy.
            let mut passing = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                sharing.connections.fetch_add(1, Ordering::Relaxed);
                if !watching.borrow().refuse {
                    passing.spawn(connection(client, Arc::clone(&sharing), watching.clone()));
                }
            }
        });
        Ok(Self { port, faults, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections so far, refused ones too.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// What the tap has seen; none without one.
    #[must_use]
    pub fn tap(&self) -> Option<&Tap> {
        self.shared.tap.as_ref()
    }

    /// New connections go to another port. The others stay.
    pub fn lead_to(&self, upstream: u16) {
        self.shared.upstream.store(upstream, Ordering::Relaxed);
    }

    /// The next `times` requests that contain `marker` reach the broker, and the connection is cut when it answers:
    /// what was asked for is done, and nobody hears of it.
    pub fn lose_answers_to(&self, marker: &[u8], times: usize) {
        let snare = Snare { marker: marker.to_vec(), left: times };
        *self.shared.snare.lock().unwrap_or_else(PoisonError::into_inner) = Some(snare);
    }

    /// Answers lost so far by [`lose_answers_to`](Self::lose_answers_to).
    #[must_use]
    pub fn answers_lost(&self) -> usize {
        self.shared.answers_lost.load(Ordering::Relaxed)
    }

    /// Changes what is wrong.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    /// Ends all connections now, both ways; new ones pass.
    pub fn cut(&self) {
        self.set(|faults| faults.cuts += 1);
    }

    /// Ends the way from the broker to the daemon of all connections now; the other way stays open.
    pub fn half_close(&self) {
        self.set(|faults| faults.half_closes += 1);
    }

    /// Ends all connections and lets none through.
    pub fn down(&self) {
        self.set(|faults| {
            faults.refuse = true;
            faults.cuts += 1;
        });
    }

    /// Nothing is wrong any more.
    pub fn heal(&self) {
        self.set(|faults| *faults = Faults { cuts: faults.cuts, half_closes: faults.half_closes, ..Faults::default() });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    /// Sends back what it gets.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.ok();
                });
            }
        });
        port
    }

    /// A proxy before nobody.
    async fn free() -> Proxy {
        Proxy::start(crate::free_port().unwrap()).await.unwrap()
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap()
    }

    async fn round_trip(stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut [0; 4]).await.map(drop)
    }

    #[tokio::test]
    async fn passes_bytes_both_ways_until_cut() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = connect(&proxy).await;
        round_trip(&mut stream).await.unwrap();
        proxy.cut();
        assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        let mut next = connect(&proxy).await;
        round_trip(&mut next).await.unwrap();
    }

    #[tokio::test]
    async fn a_frozen_connection_goes_on_after_it_heals() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = connect(&proxy).await;
        round_trip(&mut stream).await.unwrap();
        proxy.set(|faults| faults.frozen = true);
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        let early = tokio::time::timeout(Duration::from_millis(50), stream.read_exact(&mut answer)).await;
        assert!(early.is_err(), "an answer came through");
        proxy.heal();
        stream.read_exact(&mut answer).await.unwrap();
    }

    #[tokio::test]
    async fn one_way_frozen_leaves_the_other_one_open() {
        let (broker, proxy) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), free().await);
        proxy.lead_to(broker.local_addr().unwrap().port());
        let mut stream = connect(&proxy).await;
        let mut accepted = broker.accept().await.unwrap().0;
        let quiet = |stream: TcpStream| async move {
            let mut stream = stream;
            let early = tokio::time::timeout(Duration::from_millis(50), stream.read_exact(&mut [0; 4])).await;
            assert!(early.is_err(), "it came through");
            stream
        };
        proxy.set(|faults| faults.frozen_down = true);
        stream.write_all(b"ping").await.unwrap();
        accepted.read_exact(&mut [0; 4]).await.unwrap();
        accepted.write_all(b"pong").await.unwrap();
        stream = quiet(stream).await;
        proxy.heal();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        proxy.set(|faults| faults.frozen_up = true);
        accepted.write_all(b"pong").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        quiet(accepted).await;
    }

    #[tokio::test]
    async fn nobody_passes_while_it_is_down() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        proxy.down();
        assert!(round_trip(&mut connect(&proxy).await).await.is_err());
        proxy.heal();
        round_trip(&mut connect(&proxy).await).await.unwrap();
    }

    #[tokio::test]
    async fn cuts_in_the_middle_of_a_message() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        proxy.set(|faults| faults.cut_after = Some(6));
        let mut stream = connect(&proxy).await;
        round_trip(&mut stream).await.unwrap();
        assert!(round_trip(&mut stream).await.is_err());
    }

    #[tokio::test]
    async fn a_half_closed_connection_still_takes_bytes() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = connect(&proxy).await;
        round_trip(&mut stream).await.unwrap();
        proxy.half_close();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        stream.write_all(b"ping").await.unwrap();
    }

    #[tokio::test]
    async fn loses_the_answer_to_a_marked_request_and_to_no_other() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let (mut plain, mut marked) = (connect(&proxy).await, connect(&proxy).await);
        proxy.lose_answers_to(b"in", 1);
        marked.write_all(b"ping").await.unwrap();
        assert!(matches!(marked.read(&mut [0; 4]).await, Ok(0) | Err(_)));
        assert_eq!(proxy.answers_lost(), 1);
        round_trip(&mut plain).await.unwrap();
        round_trip(&mut connect(&proxy).await).await.unwrap();
    }

    #[tokio::test]
    async fn leads_new_connections_elsewhere() {
        let proxy = free().await;
        assert!(round_trip(&mut connect(&proxy).await).await.is_err());
        proxy.lead_to(echo().await);
        round_trip(&mut connect(&proxy).await).await.unwrap();
    }
}
