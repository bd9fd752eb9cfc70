//! The spool, and the task that empties it.

use anyhow::Context as _;

use super::Ended;
use crate::{
    pipeline::Unspool,
    spool::{Config, Spool},
    telemetry::Metrics,
};

/// Opens it beside the runtime: a full one takes a while to look through.
pub(super) async fn open(config: &Config, metrics: &Metrics) -> anyhow::Result<Spool> {
    let (config, metrics) = (config.clone(), metrics.clone());
    let open = move || Spool::open(&config, &metrics);
    Ok(tokio::task::spawn_blocking(open).await.context("opening the spool failed")??)
}

/// Ends only when it is told to, or when another daemon has taken our place.
pub(super) async fn empty(unspool: Unspool) -> Ended {
    if let Err(error) = unspool.run().await {
        tracing::error!(error = %error, "superseded");
    }
    ("replay of the spool", 0)
}
