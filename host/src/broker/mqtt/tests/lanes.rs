//! Lanes that remember what they got, and a session that feeds them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{sync::Semaphore, task::JoinHandle};

use super::{super::Session, Config};
use crate::{
    admin::Readiness,
    event::{Closed, Context, Delivery, Intake, Refusal, Refused, Settlement, Stop},
    telemetry::{Broker, Metrics},
};

/// What becomes of a delivery once it is here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Settle,
    Hold,
}

pub(super) struct Lanes {
    then: Mutex<Then>,
    pub held: Mutex<Vec<Delivery>>,
    /// Payload, and how often it came.
    counts: Mutex<HashMap<Vec<u8>, u32>>,
    /// First byte, length and reason of what was unfit.
    pub unfit: Mutex<Vec<(u8, usize, String)>>,
    /// Closed by `block`.
    gate: Semaphore,
}

impl Lanes {
    pub fn new(then: Then) -> Arc<Self> {
        Arc::new(Self {
            then: Mutex::new(then),
            held: Mutex::default(),
            counts: Mutex::default(),
            unfit: Mutex::default(),
            gate: Semaphore::new(1),
        })
    }

    /// Lets nothing in until `open`, as full lanes do.
    pub fn fill(&self) {
        self.gate.try_acquire().expect("an open gate").forget();
    }

    pub fn open(&self) {
        self.gate.add_permits(1);
    }

    pub fn then(&self, then: Then) {
        *self.then.lock().unwrap() = then;
    }

    /// Settles what is held.
    pub fn settle_held(&self) {
        let held: Vec<_> = self.held.lock().unwrap().drain(..).collect();
        for delivery in held {
            delivery.duty.settle(Settlement::Published(1));
        }
    }

    /// Number of different payloads.
    pub fn seen(&self) -> usize {
        self.counts.lock().unwrap().len()
    }

    /// Payloads that came more than once.
    pub fn repeated(&self) -> Vec<(String, u32)> {
        let counts = self.counts.lock().unwrap();
        let repeated = counts.iter().filter(|(_, count)| **count > 1);
        repeated.map(|(payload, count)| (String::from_utf8_lossy(payload).into_owned(), *count)).collect()
    }

    /// `Ok` once exactly `number` different payloads came.
    pub fn has(&self, number: usize) -> Result<(), usize> {
        let seen = self.seen();
        if seen == number { Ok(()) } else { Err(seen) }
    }
}

impl Intake for Lanes {
    fn lanes(&self) -> usize {
        2
    }

    fn lane_of(&self, context: &Context) -> usize {
        context.ordering_key().len() % 2
    }

    /// The session waits instead of trying.
    fn capacity(&self) -> usize {
        0
    }

    fn try_send(&self, _: usize, chunk: Vec<Delivery>) -> Result<(), Refused> {
        Err(Refused { reason: Refusal::Full, chunk })
    }

    async fn send(&self, lane: usize, chunk: Vec<Delivery>) -> Result<(), Closed> {
        let _open = self.gate.acquire().await.map_err(|_| Closed)?;
        for delivery in chunk {
            assert_eq!(lane, self.lane_of(&delivery.context));
            if let Some(why) = &delivery.unfit {
                let first = delivery.payload.first().copied().unwrap_or_default();
                self.unfit.lock().unwrap().push((first, delivery.payload.len(), why.clone()));
            }
            *self.counts.lock().unwrap().entry(delivery.payload.to_vec()).or_default() += 1;
            if *self.then.lock().unwrap() == Then::Settle {
                delivery.duty.settle(Settlement::Published(1));
            } else {
                self.held.lock().unwrap().push(delivery);
            }
        }
        Ok(())
    }
}

/// A session that runs.
pub(super) struct Running {
    pub stop: Stop,
    pub metrics: Metrics,
    task: JoinHandle<usize>,
}

impl Running {
    pub fn start(config: Config, lanes: &Arc<Lanes>) -> Self {
        let (stop, metrics) = (Stop::default(), Metrics::new());
        let session = Session::new(config, Arc::clone(lanes), &metrics, Readiness::new([]), stop.clone(), None, None)
            .expect("a valid configuration");
        Self { stop, metrics, task: tokio::spawn(session.run()) }
    }

    /// `Ok` while connected and subscribed.
    pub fn is_connected(&self) -> Result<(), i64> {
        let connected = self.metrics.broker(Broker::Mqtt).connected.get();
        if connected == 1 { Ok(()) } else { Err(connected) }
    }

    pub fn in_flight(&self) -> i64 {
        self.metrics.broker(Broker::Mqtt).in_flight.get()
    }

    /// `Ok` once everything that came is acknowledged.
    pub fn is_idle(&self) -> Result<(), i64> {
        if self.in_flight() == 0 { Ok(()) } else { Err(self.in_flight()) }
    }

    /// Stops as the daemon does, and returns what was left for redelivery.
    pub async fn stop(self) -> usize {
        self.stop.reading.cancel();
        self.stop.connection.cancel();
        self.task.await.expect("no panic")
    }

    /// Ends as a crash does.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err());
    }
}
