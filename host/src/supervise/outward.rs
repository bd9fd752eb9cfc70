//! What goes out beside the lanes: to other sites, and to viewers.

use std::sync::Arc;

use tokio::{net::TcpListener, task::JoinSet};

use super::{Ended, base::Base, named};
use crate::{broadcast::Broadcast, broker::jetstream::Dial, pipeline::Relay, raw};

/// Brings what waits in the outbox to JetStream, where there is one.
///
/// # Errors
/// If `[nats]` cannot be used.
pub(super) async fn relay(base: &Base<'_>, tasks: &mut JoinSet<Ended>) -> anyhow::Result<()> {
    let Some(config) = &base.config.nats else { return Ok(()) };
    let dial = Dial::new(config).await?;
    let relay = Relay {
        redis: base.redis.clone(),
        config: config.clone(),
        timeout: base.redis_config.timeout,
        target: Arc::clone(&base.target),
        readiness: base.readiness.clone(),
        metrics: base.metrics.clone(),
        stop: base.stops.relay.clone(),
    };
    tasks.spawn(named("relay", relay.run(dial)));
    Ok(())
}

/// Shows viewers on `socket` what happens, where they are wanted.
///
/// # Errors
/// If the token cannot be read.
pub(super) fn broadcast(
    base: &Base<'_>,
    socket: Option<TcpListener>,
    tasks: &mut JoinSet<Ended>,
) -> anyhow::Result<()> {
    let (Some(config), Some(socket)) = (&base.config.broadcast, socket) else { return Ok(()) };
    // As in the group of the raw stream: unique at this Redis, and the same after a restart.
    let consumer = raw::Config::default().consumer(base.config);
    let broadcast = Broadcast::new(config, &base.redis, base.redis_config, &consumer, &base.readiness, &base.metrics);
    let broadcast = broadcast.map_err(anyhow::Error::msg)?;
    tasks.spawn(named("broadcast", broadcast.run(socket, base.stops.redis.clone())));
    Ok(())
}
