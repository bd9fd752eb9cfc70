//! The daemon's tasks while they run, and how they end.

use std::{process::ExitCode, time::Duration};

use prometheus::IntGauge;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};

use super::{Ended, base::Stops};
use crate::{
    admin::{Liveness, Readiness},
    federation::Offer,
    pipeline::Audit,
    telemetry::{Broker, Metrics},
};

/// Time for what follows the drain: the last audit entry, the last acks of JetStream.
const FAREWELL: Duration = Duration::from_secs(2);

/// The daemon's tasks.
pub(super) struct Running {
    /// Sources.
    pub sources: JoinSet<Ended>,
    /// Lanes with their publishers.
    pub lanes: JoinSet<Ended>,
    /// The audit trail, the relay, and whatever else is beside the way of events.
    pub others: JoinSet<Ended>,
    /// Who answers operators; the last to end.
    pub admin: JoinHandle<()>,
    pub audit: Option<Audit>,
    pub stops: Stops,
    pub liveness: Liveness,
    pub readiness: Readiness,
    pub metrics: Metrics,
    /// Messages of other sites in flight, by stream.
    pub inbound: Vec<IntGauge>,
    /// Why it ends, if not because it was told to.
    pub failure: Option<String>,
}

impl Running {
    /// Waits for a task to end that should not: which, and how.
    pub async fn loss(&mut self) -> (String, String) {
        let ended = tokio::select! {
            Some(ended) = self.sources.join_next() => ended,
            Some(ended) = self.lanes.join_next() => ended,
            Some(ended) = self.others.join_next() => ended,
        };
        match ended {
            Ok((name, _)) => (name.to_owned(), "ended".to_owned()),
            Err(error) => ("a task".to_owned(), error.to_string()),
        }
    }

    /// Ends all of it, sources first; what has not settled after `grace` is left to be delivered again.
    pub async fn end(mut self, grace: Duration) -> ExitCode {
        let deadline = Instant::now() + grace;
        self.readiness.drain();
        // A guest that would be installed now would only delay the end.
        self.stops.swap.cancel();
        self.stops.sources.reading.cancel();
        self.stops.ingest.cancel();
        let offers = Offer::ALL.map(|offer| self.metrics.offered_entries(offer.as_str()).in_flight);
        let of_sources: Vec<_> = [
            self.metrics.broker(Broker::Mqtt).in_flight.clone(),
            self.metrics.raw_in_flight.clone(),
            self.metrics.tasks.in_flight.clone(),
        ]
        .into_iter()
        .chain(offers)
        .chain(self.inbound.iter().cloned())
        .collect();
        let settled = async {
            while of_sources.iter().any(|in_flight| in_flight.get() > 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // What happens in time is seen below, by what is left.
        let _ = timeout_at(deadline, settled).await;
        self.stops.sources.connection.cancel();
        let mut left = 0;
        let sources = async {
            while let Some(ended) = self.sources.join_next().await {
                left += ended.map_or(0, |(_, left)| left);
            }
        };
        let ended = timeout_at(deadline + FAREWELL, sources).await;
        if ended.is_err() {
            // A source that still waits for events is dropped with them; its clients hear nothing and send again.
            self.sources.abort_all();
            tracing::warn!("a source did not end in time");
        }
        // The sources held the lanes' queues; without them the lanes finish and end.
        if timeout_at(deadline, drain(&mut self.lanes)).await.is_err() {
            self.stops.give_up.cancel();
            // A lane that is in the middle of a call ends by that call's deadline; nobody waits for it any more.
            let _ = timeout_at(Instant::now() + FAREWELL, drain(&mut self.lanes)).await;
        }
        if let Some(audit) = self.audit.take() {
            let how = self.failure.as_deref().unwrap_or("asked to end");
            audit.record("stop", format!("{how}; {left} deliveries left for redelivery"));
        }
        self.stops.relay.cancel();
        self.stops.replay.cancel();
        self.stops.redis.cancel();
        self.stops.good.cancel();
        if timeout_at(Instant::now() + FAREWELL, drain(&mut self.others)).await.is_err() {
            tracing::warn!("the last audit entries could not be stored");
        }
        self.stops.admin.cancel();
        let _ = timeout_at(Instant::now() + FAREWELL, self.admin).await;
        tracing::info!(left_for_redelivery = left, "ended");
        if self.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

async fn drain(tasks: &mut JoinSet<Ended>) {
    while tasks.join_next().await.is_some() {}
}
