//! The lanes, and with each the publisher that stores what it has decided.

use std::{num::NonZero, sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::{Ended, base::Base};
use crate::{
    broker::redis_streams::Session,
    config,
    pipeline::{Beside, Lanes, Publisher, Stages, Started},
    spool::Spool,
};

/// How many lanes there are.
pub(super) fn lane_count(config: &config::Lanes) -> usize {
    match config.count {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        count => count,
    }
}

/// Starts them. Batches go to `spool` while Redis is away, after the time beside it.
///
/// # Errors
/// If the system starts no more threads.
pub(super) fn start(
    base: &Base<'_>,
    stages: &Stages,
    beside: &Beside,
    session: &Arc<Session>,
    spool: Option<&(Spool, Duration)>,
    tasks: &mut JoinSet<Ended>,
) -> anyhow::Result<Arc<Lanes>> {
    let Base { config, target, metrics, .. } = base;
    let count = lane_count(&config.lanes);
    let (lanes, started) = Lanes::start(count, &config.lanes, stages, beside, target, session, metrics)
        .context("cannot start the lanes' threads")?;
    for Started { decided, ended } in started {
        let publisher = Publisher {
            decided,
            session: Arc::clone(session),
            redis: base.redis.clone(),
            spool: spool.cloned(),
            target: Arc::clone(target),
            reconnect_max: base.redis_config.reconnect_max,
            readiness: base.readiness.clone(),
            metrics: metrics.clone(),
            give_up: base.stops.give_up.clone(),
        };
        tasks.spawn(async move {
            if let Err(error) = publisher.run().await {
                tracing::error!(error = %error, "superseded");
                return ("publisher, superseded by another daemon", 0);
            }
            // An error means that the lane's thread panicked; its deliveries were abandoned by that.
            (if ended.await.is_ok() { "lane" } else { "lane, by a panic" }, 0)
        });
    }
    Ok(Arc::new(lanes))
}
