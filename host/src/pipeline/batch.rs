use std::time::{Duration, Instant};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout_at,
};

use crate::event::Delivery;

/// Deliveries on their way into a lane, with the places that they take in its queue.
#[derive(Debug)]
pub struct Chunk {
    /// In order.
    pub deliveries: Vec<Delivery>,
    /// Given back when the lane takes the chunk, by being dropped.
    #[expect(dead_code, reason = "held for its drop")]
    pub places: OwnedSemaphorePermit,
}

/// Gathers a lane's batches: full by number or by bytes, or as soon as nothing more is waiting and `linger` is over.
#[derive(Debug)]
pub struct Gather {
    input: mpsc::Receiver<Chunk>,
    /// Taken from the queue and not yet in a batch.
    rest: std::vec::IntoIter<Delivery>,
    most: usize,
    most_bytes: u64,
    linger: Duration,
}

impl Gather {
    /// Batches of at most `most` events and `most_bytes` bytes out of `input`.
    #[must_use]
    pub fn new(input: mpsc::Receiver<Chunk>, most: usize, most_bytes: u64, linger: Duration) -> Self {
        Self { input, rest: Vec::new().into_iter(), most, most_bytes, linger }
    }

    /// The next batch; blocks until there is one. Nothing more comes once all senders are gone and all is taken.
    /// `wake` ends the wait early with an empty batch.
    pub fn next(&mut self, wake: Option<Instant>, runtime: &tokio::runtime::Handle) -> Option<Vec<Delivery>> {
        let mut batch = Vec::with_capacity(self.most.min(256));
        let mut bytes = 0;
        let first = match self.rest.next() {
            Some(first) => first,
            None => match self.wait(wake, runtime) {
                Wait::Chunk(chunk) => {
                    self.rest = chunk.deliveries.into_iter();
                    self.rest.next()?
                }
                Wait::Over => return Some(batch),
                Wait::Closed => return None,
            },
        };
        bytes += first.payload.len() as u64;
        batch.push(first);
        let deadline = Instant::now() + self.linger;
        while batch.len() < self.most {
            let next = match self.rest.next() {
                Some(next) => next,
                None => match self.more(deadline, runtime) {
                    Some(chunk) => {
                        self.rest = chunk.deliveries.into_iter();
                        continue;
                    }
                    None => break,
                },
            };
            bytes += next.payload.len() as u64;
            if bytes > self.most_bytes {
                let rest: Vec<_> = std::iter::once(next).chain(self.rest.by_ref()).collect();
                self.rest = rest.into_iter();
                break;
            }
            batch.push(next);
        }
        Some(batch)
    }

    fn wait(&mut self, wake: Option<Instant>, runtime: &tokio::runtime::Handle) -> Wait {
        let chunk = match wake {
            None => self.input.blocking_recv(),
            // A timer can only be made within the runtime, hence the block.
            Some(wake) => match runtime.block_on(async { timeout_at(wake.into(), self.input.recv()).await }) {
                Ok(chunk) => chunk,
                Err(_) => return Wait::Over,
            },
        };
        chunk.map_or(Wait::Closed, Wait::Chunk)
    }

    fn more(&mut self, deadline: Instant, runtime: &tokio::runtime::Handle) -> Option<Chunk> {
        if let Ok(chunk) = self.input.try_recv() {
            return Some(chunk);
        }
        if self.linger.is_zero() {
            return None;
        }
        runtime.block_on(async { timeout_at(deadline.into(), self.input.recv()).await }).ok().flatten()
    }
}

enum Wait {
    Chunk(Chunk),
    Over,
    Closed,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::{runtime::Runtime, sync::Semaphore};

    use super::*;
    use crate::event::{Duty, Identity};

    fn chunk(events: usize) -> Chunk {
        let delivery = |_| Delivery {
            context: Arc::default(),
            received_ms: 0,
            payload: Bytes::from_static(b"four"),
            identity: Identity::Once(0),
            attempts: 0,
            unfit: None,
            duty: Duty::none(),
        };
        let places = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Chunk { deliveries: (0..events).map(delivery).collect(), places }
    }

    /// As a lane has it: a thread that is not the runtime's.
    fn gather(most: usize, most_bytes: u64, linger: Duration) -> (mpsc::Sender<Chunk>, Gather, Runtime) {
        let (sender, input) = mpsc::channel(16);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        (sender, Gather::new(input, most, most_bytes, linger), runtime)
    }

    #[test]
    fn cuts_batches_by_number_and_by_bytes_and_loses_none() {
        let (sender, mut gather, runtime) = gather(3, 9, Duration::ZERO);
        sender.try_send(chunk(4)).unwrap();
        sender.try_send(chunk(1)).unwrap();
        drop(sender);
        let sizes: Vec<_> =
            std::iter::from_fn(|| gather.next(None, runtime.handle())).map(|batch| batch.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn a_batch_that_does_not_fill_runs_when_its_linger_is_over() {
        let (sender, mut gather, runtime) = gather(3, 1000, Duration::from_millis(1));
        sender.try_send(chunk(2)).unwrap();
        assert_eq!(gather.next(None, runtime.handle()).unwrap().len(), 2);
    }

    #[test]
    fn an_event_that_is_due_again_ends_the_wait() {
        let (_sender, mut gather, runtime) = gather(3, 1000, Duration::ZERO);
        assert_eq!(gather.next(Some(Instant::now()), runtime.handle()).unwrap().len(), 0);
    }
}
