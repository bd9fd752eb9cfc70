//! A TCP proxy that can cut its connections.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub(super) struct Proxy {
    pub port: u16,
    counts: Arc<Counts>,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    to_broker: AtomicU64,
    to_client: AtomicU64,
}

impl Proxy {
    pub async fn start(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let counts = Arc::new(Counts::default());
        let (cut, cuts) = watch::channel(0);
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::Relaxed);
                let (counts, mut cuts) = (Arc::clone(&counted), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)).await else { return };
                    let (client_in, client_out) = client.into_split();
                    let (broker_in, broker_out) = broker.into_split();
                    tokio::select! {
                        () = pass(client_in, broker_out, &counts.to_broker) => {}
                        () = pass(broker_in, client_out, &counts.to_client) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { port, counts, cut, task }
    }

    /// Cuts all connections, bytes under way included.
    pub fn cut(&self) {
        self.cut.send_modify(|times| *times += 1);
    }

    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    pub fn to_broker(&self) -> u64 {
        self.counts.to_broker.load(Ordering::Relaxed)
    }

    pub fn to_client(&self) -> u64 {
        self.counts.to_client.load(Ordering::Relaxed)
    }
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, count: &AtomicU64) {
    // An odd size, so that packets are torn in all places.
    let mut bytes = vec![0; 1499];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}
