use std::{
    collections::BinaryHeap,
    hash::{DefaultHasher, Hasher},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    sync::{Semaphore, TryAcquireError, mpsc, oneshot},
};

use super::{
    batch::{Chunk, Gather},
    decide::Decider,
    encode::{Ready, encode},
    stages::Stages,
    tap::Tap,
    target::Target,
};
use crate::{
    attestation::Attestor,
    broker::redis_streams::{Producer, Session},
    config,
    event::{Closed, Context, Delivery, Intake, Refusal, Refused},
    intel::Matcher,
    telemetry::{Metrics, Stage},
};

/// The lanes' queues, as sources see them. When the last handle is dropped the lanes finish what they have and end.
#[derive(Debug)]
pub struct Lanes {
    queues: Vec<Queue>,
    /// Places of each queue.
    places: usize,
    metrics: Metrics,
}

#[derive(Debug)]
struct Queue {
    chunks: mpsc::Sender<Chunk>,
    places: Arc<Semaphore>,
}

/// One lane, to be run on a thread of its own.
#[derive(Debug)]
struct Lane {
    gather: Gather,
    decider: Decider,
    target: Arc<Target>,
    /// Numbers its batches.
    producer: Producer,
    publisher: mpsc::Sender<Ready>,
    /// Events that a guest has put off.
    waiting: BinaryHeap<Waiting>,
    tap: Tap,
    metrics: Metrics,
}

/// What goes beside a lane's guests.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Where it leaves copies of its batches.
    pub tap: Tap,
    /// Whose verdict answers of devices get.
    pub attestor: Option<Attestor>,
    /// Who finds shared indicators.
    pub matcher: Option<Matcher>,
}

/// Decided batches that wait for a lane's publisher.
const DECIDED: usize = 2;

/// A lane as its starter sees it.
#[derive(Debug)]
pub struct Started {
    /// Batches on their way to the lane's publisher.
    pub decided: mpsc::Receiver<Ready>,
    /// Answers when the lane's thread has ended; an error if it panicked.
    pub ended: oneshot::Receiver<()>,
}

impl Lanes {
    /// Starts `count` lanes, each with what goes `beside`.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn start(
        count: usize,
        config: &config::Lanes,
        stages: &Stages,
        beside: &Beside,
        target: &Arc<Target>,
        session: &Session,
        metrics: &Metrics,
    ) -> std::io::Result<(Self, Vec<Started>)> {
        let (mut queues, mut started) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for index in 0..count {
            // A chunk takes a place for each of its events, so there are never more chunks than places.
            let (chunks, input) = mpsc::channel(config.queue);
            let (publisher, decided) = mpsc::channel(DECIDED);
            let (ending, ended) = oneshot::channel();
            let lane = Lane {
                gather: Gather::new(input, config.batch, config.batch_bytes.as_u64(), config.linger),
                decider: Decider::new(stages, config.retries, metrics.clone())
                    .attested_by(beside.attestor.clone())
                    .matched_by(beside.matcher.clone()),
                target: Arc::clone(target),
                producer: session.producer(&format!("lane-{index}")),
                publisher,
                waiting: BinaryHeap::new(),
                tap: beside.tap.clone(),
                metrics: metrics.clone(),
            };
            let runtime = runtime::Handle::current();
            thread::Builder::new().name(format!("lane-{index}")).spawn(move || {
                lane.run(&runtime);
                // Dropped without this by a panic, which is how the supervisor learns of one.
                let _ = ending.send(());
            })?;
            queues.push(Queue { chunks, places: Arc::new(Semaphore::new(config.queue)) });
            started.push(Started { decided, ended });
        }
        Ok((Self { queues, places: config.queue, metrics: metrics.clone() }, started))
    }

    /// Places a chunk that a source began to hand over at `begun`: the stage's time is the wait for places.
    fn place(&self, lane: usize, chunk: Chunk, begun: Instant) -> Result<(), Closed> {
        let events = chunk.deliveries.len();
        let source = self.metrics.stage(Stage::Source);
        source.batch.observe(events as f64);
        source.seconds.observe(begun.elapsed().as_secs_f64());
        self.queues[lane].chunks.try_send(chunk).map_err(|_| Closed)?;
        self.metrics.stage(Stage::Normalize).queue.add(events as i64);
        Ok(())
    }

    fn places_of(&self, chunk: &[Delivery]) -> u32 {
        u32::try_from(chunk.len().min(self.places)).unwrap_or(u32::MAX)
    }
}

impl Intake for Lanes {
    fn lanes(&self) -> usize {
        self.queues.len()
    }

    fn lane_of(&self, context: &Context) -> usize {
        let mut hasher = DefaultHasher::new();
        hasher.write(context.ordering_key().as_bytes());
        usize::try_from(hasher.finish() % self.queues.len() as u64).unwrap_or_default()
    }

    fn capacity(&self) -> usize {
        self.places
    }

    fn try_send(&self, lane: usize, chunk: Vec<Delivery>) -> Result<(), Refused> {
        let begun = Instant::now();
        let places = match Arc::clone(&self.queues[lane].places).try_acquire_many_owned(self.places_of(&chunk)) {
            Ok(places) => places,
            Err(TryAcquireError::NoPermits) => return Err(Refused { reason: Refusal::Full, chunk }),
            Err(TryAcquireError::Closed) => return Err(Refused { reason: Refusal::Closed, chunk }),
        };
        self.place(lane, Chunk { deliveries: chunk, places }, begun)
            .map_err(|Closed| Refused { reason: Refusal::Closed, chunk: Vec::new() })
    }

    async fn send(&self, lane: usize, chunk: Vec<Delivery>) -> Result<(), Closed> {
        let begun = Instant::now();
        let places = Arc::clone(&self.queues[lane].places).acquire_many_owned(self.places_of(&chunk)).await;
        let places = places.map_err(|_| Closed)?;
        self.place(lane, Chunk { deliveries: chunk, places }, begun)
    }
}

impl Lane {
    fn run(mut self, runtime: &runtime::Handle) {
        let queue = self.metrics.stage(Stage::Normalize).queue.clone();
        while let Some(mut batch) = self.gather.next(self.waiting.peek().map(|next| next.due), runtime) {
            queue.sub(batch.len() as i64);
            let now = Instant::now();
            while self.waiting.peek().is_some_and(|next| next.due <= now) {
                batch.extend(self.waiting.pop().map(|next| next.delivery));
            }
            if batch.is_empty() {
                continue;
            }
            self.tap.copy(&batch);
            let decided = self.decider.decide(batch);
            let (ready, put_off) = encode(decided, &self.target, &mut self.producer);
            self.put_off(put_off);
            if self.publisher.blocking_send(ready).is_err() {
                // The publisher has given up; its batches and ours are abandoned, and sources redeliver.
                return;
            }
        }
    }

    fn put_off(&mut self, put_off: Vec<(Duration, Delivery)>) {
        let now = Instant::now();
        self.waiting.extend(put_off.into_iter().map(|(wait, delivery)| Waiting { due: now + wait, delivery }));
    }
}

/// An event that a guest has put off. The one that is due first compares greatest.
#[derive(Debug)]
struct Waiting {
    due: Instant,
    delivery: Delivery,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.due.cmp(&self.due)
    }
}
