//! Numbered events at a steady rate, through whatever happens to the MQTT broker.
//!
//! The publisher sends no message twice. A number whose acknowledgement was still missing when its connection broke is
//! *in doubt*: the broker may have it or not, and nobody but the broker can tell. So what stands in a stream twice was
//! doubled on the way through, and what was acknowledged and is missing was lost there.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use harness::{
    PATIENCE,
    frames::{self, Frames, kind},
    unix_ms,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::events::{Kind, Sent, Shape, device, qos};

/// Messages sent and not yet acknowledged.
const WINDOW: usize = 2_000;

/// All that was sent.
#[derive(Debug, Default)]
struct Book {
    sent: Vec<Sent>,
    /// The last event of each device, of the newest fence.
    fence: Vec<u32>,
}

/// What the publisher is told to do.
#[derive(Clone, Copy, Debug)]
struct Orders {
    /// Events a second.
    rate: f64,
    /// At each change, a last event of each device.
    fence: u32,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    sent: usize,
    outstanding: usize,
    fence: u32,
}

/// A publisher at work. Ends when dropped.
#[derive(Debug)]
pub struct Load {
    book: Arc<Mutex<Book>>,
    port: Arc<AtomicU16>,
    orders: watch::Sender<Orders>,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

impl Load {
    /// Publishes `rate` events a second to the MQTT broker at `port`.
    pub fn start(port: u16, shape: Shape, rate: f64) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let port = Arc::new(AtomicU16::new(port));
        let (orders, ordered) = watch::channel(Orders { rate, fence: 0 });
        let (report, progress) = watch::channel(Progress::default());
        let publisher = Publishing {
            shape,
            book: Arc::clone(&book),
            port: Arc::clone(&port),
            orders: ordered,
            report,
            outstanding: HashMap::new(),
            next_id: 1,
            due: 0.0,
            fence: 0,
        };
        Self { book, port, orders, progress, task: tokio::spawn(publisher.run()) }
    }

    /// From the next connection on to another port.
    pub fn lead_to(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// Changes the rate.
    pub fn pace(&self, rate: f64) {
        self.orders.send_modify(|orders| orders.rate = rate);
    }

    /// Events sent so far.
    pub fn sent(&self) -> usize {
        self.progress.borrow().sent
    }

    /// Waits until `more` further events were sent.
    pub async fn after(&mut self, more: usize) -> Result<()> {
        let until = self.sent() + more;
        self.wait_for("events to be sent", |progress| progress.sent >= until).await
    }

    /// Sends nothing more, and waits until nothing is outstanding.
    pub async fn rest(&mut self) -> Result<()> {
        self.pace(0.0);
        self.wait_for("the MQTT broker's acknowledgements", |progress| progress.outstanding == 0).await
    }

    /// Sends one last high alert of each device, and gives their numbers once the broker has them: as order is kept, all
    /// that was sent before has its place when these have theirs.
    pub async fn fence(&mut self) -> Result<Vec<u32>> {
        self.rest().await?;
        for _ in 0..5 {
            let fence = self.orders.borrow().fence + 1;
            self.orders.send_modify(|orders| orders.fence = fence);
            self.wait_for("the last events to be sent", |progress| progress.fence == fence).await?;
            self.rest().await?;
            let book = lock(&self.book);
            if book.fence.iter().all(|&number| book.sent[number as usize].acked_ms.is_some()) {
                return Ok(book.fence.clone());
            }
        }
        anyhow::bail!("the MQTT broker does not stay")
    }

    /// All that was sent, by number.
    pub fn book(&self) -> Vec<Sent> {
        lock(&self.book).sent.clone()
    }

    /// A long run waits long for many events, and never long for the next change.
    async fn wait_for(&mut self, what: &str, done: impl Fn(&Progress) -> bool) -> Result<()> {
        loop {
            let seen = *self.progress.borrow_and_update();
            if done(&seen) {
                return Ok(());
            }
            let changed = timeout(PATIENCE, self.progress.changed()).await;
            changed.with_context(|| format!("waited {PATIENCE:?} for {what}: {seen:?}"))?.context("it has ended")?;
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Publishing {
    shape: Shape,
    book: Arc<Mutex<Book>>,
    port: Arc<AtomicU16>,
    orders: watch::Receiver<Orders>,
    report: watch::Sender<Progress>,
    /// Packet id to number.
    outstanding: HashMap<u16, u32>,
    next_id: u16,
    /// Events that are due and not sent.
    due: f64,
    fence: u32,
}

impl Publishing {
    async fn run(mut self) {
        // A name of its own for each connection: an earlier one may not have ended in the broker's eyes.
        for connection in 0_u64.. {
            if self.report.is_closed() {
                return;
            }
            // Whatever ends it, a killed broker mostly, the next one is tried.
            let _ended = self.connection(&format!("load-{connection}")).await;
            self.outstanding.clear();
            self.tell();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn connection(&mut self, client_id: &str) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port.load(Ordering::Relaxed))).await?;
        stream.set_nodelay(true)?;
        let (mut out, mut incoming, mut frames) = (Vec::new(), vec![0; 64 * 1024], Frames::default());
        frames::connect(client_id, &mut out);
        stream.write_all(&out).await?;
        let mut ticks = interval(Duration::from_millis(2));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut welcome, mut last) = (false, Instant::now());
        loop {
            out.clear();
            tokio::select! {
                read = stream.read(&mut incoming) => {
                    let read = read?;
                    ensure!(read > 0, "closed");
                    frames.push(&incoming[..read]);
                    for frame in frames.by_ref() {
                        match frame.kind() {
                            kind::CONNACK => welcome = true,
                            kind::PUBREC => frames::pubrel(frame.id(), &mut out),
                            kind::PUBACK | kind::PUBCOMP => self.acknowledged(frame.id()),
                            _ => {}
                        }
                    }
                    self.tell();
                }
                _ = ticks.tick(), if welcome => {
                    let orders = *self.orders.borrow();
                    // A device that was held up does not make up for more than a moment.
                    let most = (orders.rate * 0.2).max(1.0);
                    self.due = (self.due + last.elapsed().as_secs_f64() * orders.rate).min(most);
                    last = Instant::now();
                    self.publish(orders, &mut out);
                }
            }
            stream.write_all(&out).await?;
        }
    }

    fn publish(&mut self, orders: Orders, out: &mut Vec<u8>) {
        let book = Arc::clone(&self.book);
        let mut book = lock(&book);
        while self.due >= 1.0 && orders.rate > 0.0 && self.outstanding.len() < WINDOW {
            self.due -= 1.0;
            let (device, kind) = self.shape.event(book.sent.len() as u32);
            self.send(&mut book, device, kind, out);
        }
        if orders.fence != self.fence {
            self.fence = orders.fence;
            let devices = 0..self.shape.devices();
            book.fence = devices.map(|device| self.send(&mut book, device, Kind::Alert { high: true }, out)).collect();
        }
        drop(book);
        self.tell();
    }

    fn send(&mut self, book: &mut Book, of: u32, kind: Kind, out: &mut Vec<u8>) -> u32 {
        let number = book.sent.len() as u32;
        while self.next_id == 0 || self.outstanding.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let channel = if matches!(kind, Kind::Telemetry { .. }) { "telemetry" } else { "alerts" };
        let topic = format!("aurora/sensors/{}/{channel}", device(of));
        let payload = self.shape.payload(number, kind);
        frames::publish(&topic, qos(of), self.next_id, payload.as_bytes(), out);
        book.sent.push(Sent { device: of, kind, sent_ms: unix_ms(), acked_ms: None });
        self.outstanding.insert(self.next_id, number);
        self.next_id = self.next_id.wrapping_add(1);
        number
    }

    fn acknowledged(&mut self, id: u16) {
        if let Some(number) = self.outstanding.remove(&id) {
            lock(&self.book).sent[number as usize].acked_ms = Some(unix_ms());
        }
    }

    fn tell(&self) {
        let (sent, outstanding) = (lock(&self.book).sent.len(), self.outstanding.len());
        let progress = Progress { sent, outstanding, fence: self.fence };
        self.report.send_if_modified(|told| std::mem::replace(told, progress) != progress);
    }
}
