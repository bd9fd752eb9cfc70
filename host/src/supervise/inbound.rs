//! The sources of what other sites share.

use std::sync::Arc;

use prometheus::IntGauge;
use tokio::task::JoinSet;

use super::{Ended, base::Base};
use crate::{
    broker::{jetstream::Dial, redis_streams::Begun},
    federation::inbound::Source,
    intel::Table,
    pipeline::{Lanes, Stages},
};

/// Starts one for each stream of JetStream that is read, and gives what each has in flight.
///
/// # Errors
/// If `[nats]` cannot be used.
pub(super) async fn start(
    base: &Base<'_>,
    lanes: &Arc<Lanes>,
    stages: &Stages,
    table: Option<&Table>,
    sources: &mut JoinSet<Ended>,
) -> anyhow::Result<Vec<IntGauge>> {
    let config = base.config;
    let mut in_flight = Vec::new();
    let (Some(inbound), Some(nats)) = (&config.federation.inbound, &config.nats) else { return Ok(in_flight) };
    for stream in inbound.streams(nats) {
        in_flight.push(base.metrics.inbound(stream).in_flight);
        let source = Source::new(
            inbound,
            nats,
            stream,
            &config.site.id,
            stages.inbound.as_ref().clone(),
            table.cloned(),
            Begun::new(&base.redis, base.redis_config, "inbound"),
            Arc::clone(lanes),
            base.metrics.clone(),
            base.readiness.clone(),
            base.stops.sources.clone(),
        );
        let dial = Dial::new(nats).await?;
        sources.spawn(async move { ("federation in", source.run(dial).await) });
    }
    Ok(in_flight)
}
