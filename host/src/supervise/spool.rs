//! The spool, and the task that empties it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;

use super::{Ended, base::Base};
use crate::{
    broker::redis_streams::Session,
    pipeline::{Audit, Unspool},
    spool::Spool,
};

/// Opens it, where there is one, and says after what time without Redis batches go there. Beside the runtime: a full one
/// takes a while to look through.
pub(super) async fn open(base: &Base<'_>) -> anyhow::Result<Option<(Spool, Duration)>> {
    let Some(config) = base.config.spool.clone() else { return Ok(None) };
    let (after, metrics) = (config.after, base.metrics.clone());
    let open = move || Spool::open(&config, &metrics);
    let spool = tokio::task::spawn_blocking(open).await.context("opening the spool failed")??;
    Ok(Some((spool, after)))
}

/// Who brings what lies in `spool` to Redis.
pub(super) fn replay(base: &Base<'_>, spool: Spool, session: &Arc<Session>, audit: &Audit) -> Unspool {
    Unspool {
        spool,
        redis: base.redis.clone(),
        session: Arc::clone(session),
        dead_letter: base.target.dead_letter,
        reconnect_max: base.redis_config.reconnect_max,
        readiness: base.readiness.clone(),
        audit: audit.clone(),
        metrics: base.metrics.clone(),
        stop: base.stops.replay.clone(),
    }
}

/// Ends only when it is told to, or when another daemon has taken our place.
pub(super) async fn empty(unspool: Unspool) -> Ended {
    if let Err(error) = unspool.run().await {
        tracing::error!(error = %error, "superseded");
    }
    ("replay of the spool", 0)
}
