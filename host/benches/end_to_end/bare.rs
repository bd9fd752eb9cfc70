//! The least that any subscriber pays: the daemon's own MQTT session, before lanes that settle at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aurora::{
    admin::Readiness,
    broker::mqtt::{Config, Session, Subscription},
    event::{Closed, Context, Delivery, Intake, Refusal, Refused, Settlement, Stop},
    telemetry::{Broker, Metrics},
};
use tokio::sync::mpsc;

use crate::{
    sample, site,
    throughput::{Task, say_done},
};

/// Runs until `task.events` are acknowledged.
pub fn run(task: &Task) -> Result<()> {
    // One thread: what a message costs, not how many cores there are.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(take(task))
}

async fn take(task: &Task) -> Result<()> {
    let config = Config {
        url: format!("mqtt://127.0.0.1:{}", task.mqtt),
        client_id: site::CLIENT.to_owned(),
        subscriptions: vec![Subscription {
            topic: sample::FILTER.to_owned(),
            qos: task.qos,
            format: "json".to_owned(),
            source: "suricata".to_owned(),
        }],
        ..Config::default()
    };
    let (stop, metrics) = (Stop::default(), Metrics::new());
    let (chunks, mut taken) = mpsc::channel(64);
    let lanes = Arc::new(Lanes { chunks });
    let session = Session::new(config, lanes, &metrics, Readiness::new([]), stop.clone(), None, None)?;
    let session = tokio::spawn(session.run());
    let mut begun = None;
    // A backlog comes with the connection, a live load waits for this word.
    while metrics.broker(Broker::Mqtt).connected.get() == 0 && taken.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("ready");
    let mut events = 0;
    while events < task.events {
        let chunk: Vec<Delivery> = taken.recv().await.context("the session ended")?;
        begun.get_or_insert_with(Instant::now);
        events += chunk.len() as u64;
        for delivery in chunk {
            delivery.duty.settle(Settlement::Published(1));
        }
    }
    stop.reading.cancel();
    stop.connection.cancel();
    let left = session.await?;
    ensure!(left == 0, "{left} messages were not acknowledged");
    say_done(begun.map_or(0.0, |begun: Instant| begun.elapsed().as_secs_f64()))
}

struct Lanes {
    chunks: mpsc::Sender<Vec<Delivery>>,
}

impl Intake for Lanes {
    fn lanes(&self) -> usize {
        1
    }

    fn lane_of(&self, _: &Context) -> usize {
        0
    }

    /// The session waits instead of trying.
    fn capacity(&self) -> usize {
        0
    }

    fn try_send(&self, _: usize, chunk: Vec<Delivery>) -> Result<(), Refused> {
        Err(Refused { reason: Refusal::Full, chunk })
    }

    async fn send(&self, _: usize, chunk: Vec<Delivery>) -> Result<(), Closed> {
        self.chunks.send(chunk).await.map_err(|_| Closed)
    }
}
