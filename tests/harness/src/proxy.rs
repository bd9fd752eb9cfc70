//! A TCP proxy that does what networks do: cut, delay, throttle, freeze, close one way.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::{JoinHandle, JoinSet},
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
    /// Bytes that may still pass towards the broker on each new connection before it is cut, in the middle of
    /// whatever they are.
    pub cut_after: Option<usize>,
    /// Counts up at each [`Proxy::cut`]; connections of an older count end.
    cuts: u64,
    /// As `cuts`, for [`Proxy::half_close`].
    half_closes: u64,
}

/// A proxy before one broker. Ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    faults: watch::Sender<Faults>,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Stands before `upstream` on a free loopback port.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(upstream: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the proxy cannot listen")?;
        let port = listener.local_addr().context("the proxy has no address")?.port();
        let (faults, watching) = watch::channel(Faults::default());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream));
        let accepting = tokio::spawn(async move {
            // Owned here, so that all connections end with the proxy.
            let mut passing = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                if !watching.borrow().refuse {
                    passing.spawn(connection(client, upstream, watching.clone()));
                }
            }
        });
        Ok(Self { port, faults, connections, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections so far, refused ones too.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
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

async fn connection(client: TcpStream, upstream: SocketAddr, faults: watch::Receiver<Faults>) {
    let Ok(broker) = TcpStream::connect(upstream).await else { return };
    let (cuts, half_closes, cut_after) = {
        let faults = faults.borrow();
        (faults.cuts, faults.half_closes, faults.cut_after)
    };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let mut watching = faults.clone();
    let down = async {
        let mut half = faults.clone();
        let half_closed = async move { half.wait_for(|faults| faults.half_closes != half_closes).await.is_ok() };
        tokio::select! {
            ended = pass(from_broker, to_client, faults.clone(), None, false) => ended,
            _ = half_closed => Ended::Closed,
        }
    };
    let up = pass(from_client, to_broker, faults.clone(), cut_after, true);
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

async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut faults: watch::Receiver<Faults>,
    mut left: Option<usize>,
    up: bool,
) -> Ended {
    let flows = move |faults: &Faults| !(faults.frozen || up && faults.frozen_up);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if faults.wait_for(flows).await.is_err() {
            return Ended::Cut;
        }
        let rate = faults.borrow().bytes_per_second;
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
        if faults.wait_for(flows).await.is_err() {
            return Ended::Cut;
        }
        // Asked for only now: the wait for these bytes may have begun long before.
        let delay = faults.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if rate > 0 {
            tokio::time::sleep(Duration::from_secs_f64(read as f64 / rate as f64)).await;
        }
        let passed = left.map_or(read, |left| read.min(left));
        if to.write_all(&buffer[..passed]).await.is_err() {
            return Ended::Closed;
        }
        if let Some(left) = &mut left {
            *left -= passed;
            if *left == 0 {
                return Ended::Cut;
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
}
