//! Real HTTP over the loopback address, in front of an intake that does what a test tells it.

mod answers;
mod limits;

use std::{net::SocketAddr, sync::Mutex};

use bytesize::ByteSize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time,
};

use super::*;
use crate::event::{Closed, Context, Identity, Refused, Settlement};

/// What the intake does with a chunk.
#[derive(Clone, Copy)]
enum Does {
    /// Settles each delivery as its payload says: `drop…`, `dead…`, `lose…`, anything else is published.
    Settle,
    /// Keeps it for the test to settle.
    Keep,
    /// Gives it back.
    Refuse(event::Refusal),
}

struct Desk {
    does: Mutex<Does>,
    capacity: usize,
    kept: Mutex<Vec<Delivery>>,
    seen: Mutex<Vec<Seen>>,
    arrived: Notify,
}

#[derive(Clone, Debug)]
struct Seen {
    lane: usize,
    context: Context,
    payload: Vec<u8>,
    unfit: Option<String>,
    identity: Identity,
}

impl Intake for Desk {
    fn lanes(&self) -> usize {
        usize::MAX
    }

    fn lane_of(&self, context: &Context) -> usize {
        context.ordering_key().len()
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    async fn send(&self, _: usize, _: Vec<Delivery>) -> Result<(), Closed> {
        unreachable!("ingest never waits for a lane")
    }

    fn try_send(&self, lane: usize, chunk: Vec<Delivery>) -> Result<(), Refused> {
        let does = *self.does.lock().expect("no test panics here");
        if let Does::Refuse(reason) = does {
            return Err(Refused { reason, chunk });
        }
        self.seen.lock().expect("no test panics here").extend(chunk.iter().map(|delivery| Seen {
            lane,
            context: (*delivery.context).clone(),
            payload: delivery.payload.to_vec(),
            unfit: delivery.unfit.clone(),
            identity: delivery.identity,
        }));
        match does {
            Does::Keep => {
                self.kept.lock().expect("no test panics here").extend(chunk);
                self.arrived.notify_one();
            }
            // Backwards and from elsewhere, as lanes beside each other might.
            _ => drop(tokio::spawn(async move { chunk.into_iter().rev().for_each(settle) })),
        }
        Ok(())
    }
}

fn settle(delivery: Delivery) {
    let settlement = match &delivery.payload[..] {
        text if text.starts_with(b"lose") => return,
        text if text.starts_with(b"drop") => Settlement::Dropped("a test".to_owned()),
        text if text.starts_with(b"dead") => Settlement::DeadLettered("broken".to_owned()),
        _ => Settlement::Published(1),
    };
    delivery.duty.settle(settlement);
}

impl Desk {
    fn new(does: Does) -> Arc<Self> {
        Self::with_capacity(does, 4096)
    }

    fn with_capacity(does: Does, capacity: usize) -> Arc<Self> {
        let (does, kept, seen) = (Mutex::new(does), Mutex::default(), Mutex::default());
        Arc::new(Self { does, capacity, kept, seen, arrived: Notify::new() })
    }

    fn does(&self, does: Does) {
        *self.does.lock().expect("no test panics here") = does;
    }

    fn kept(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.kept.lock().expect("no test panics here"))
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("no test panics here"))
    }

    fn payloads(&self) -> Vec<String> {
        self.seen().iter().map(|seen| String::from_utf8_lossy(&seen.payload).into_owned()).collect()
    }
}

struct Running {
    address: SocketAddr,
    desk: Arc<Desk>,
    metrics: Metrics,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn running(desk: &Arc<Desk>, limits: impl FnOnce(&mut Ingest<Desk>)) -> Running {
    let config = config::Ingest {
        token: Some(config::Secret("s3cret".to_owned())),
        max_body: ByteSize::kib(64),
        max_payload: ByteSize::kib(1),
        ..config::Ingest::default()
    };
    let metrics = Metrics::new();
    let mut ingest = Ingest::new(&config, desk.clone(), metrics.clone()).expect("a good configuration");
    limits(&mut ingest);
    let listener = listen::bind("ingest.listen", SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(ingest.serve(listener, shutdown.clone()));
    Running { address, desk: desk.clone(), metrics, shutdown, task }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    async fn read(stream: &mut TcpStream) -> Self {
        let mut text = Vec::new();
        // Only a failing test waits this long.
        let read = time::timeout(Duration::from_secs(10), stream.read_to_end(&mut text)).await;
        read.expect("an answer in time").expect("an answer");
        let text = String::from_utf8(text).expect("answers are UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: serde_json::from_str(body).expect("a JSON body") }
    }
}

/// Writes a request with the good token. `headers` are whole lines.
async fn send(address: SocketAddr, query: &str, headers: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "POST /v1/events{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer s3cret\r\n\
         {headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    stream.write_all(body).await.expect("the body is sent");
    stream
}

impl Running {
    async fn post(&self, query: &str, headers: &str, body: &[u8]) -> Answer {
        Answer::read(&mut send(self.address, query, headers, body).await).await
    }

    async fn text(&self, body: &str) -> Answer {
        self.post("", TEXT, body.as_bytes()).await
    }

    /// Exactly these bytes.
    async fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        Answer::read(&mut stream).await
    }

    /// A request that the intake keeps, once it has arrived there.
    async fn kept(&self, body: &str) -> (JoinHandle<Answer>, Vec<Delivery>) {
        let mut stream = send(self.address, "", TEXT, body.as_bytes()).await;
        self.desk.arrived.notified().await;
        (tokio::spawn(async move { Answer::read(&mut stream).await }), self.desk.kept())
    }

    fn in_flight(&self) -> i64 {
        self.metrics.ingest_in_flight.get()
    }
}

const TEXT: &str = "Content-Type: text/plain\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const NDJSON: &str = "Content-Type: application/x-ndjson\r\n";
