//! The source of what devices publish.

use std::{convert::Infallible, future::pending, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{Ended, base::Base};
use crate::{
    broker::{
        mqtt::{self, Outgoings},
        redis_streams::{Pool, Session},
    },
    pipeline::Lanes,
};

/// Starts it, where there is one. It also sends what comes out of `outgoings`.
///
/// # Errors
/// If `[mqtt]` cannot be used.
pub(super) fn start(
    base: &Base<'_>,
    lanes: &Arc<Lanes>,
    outgoings: Option<Outgoings>,
    session: &Arc<Session>,
    sources: &mut JoinSet<Ended>,
) -> anyhow::Result<()> {
    let Some(config) = &base.config.mqtt else { return Ok(()) };
    let (quiet, asked) = mpsc::channel(1);
    let source = mqtt::Session::new(
        config.clone(),
        Arc::clone(lanes),
        &base.metrics,
        base.readiness.clone(),
        base.stops.sources.clone(),
        Some(quiet),
        outgoings,
    )?;
    let note = note_acknowledged(asked, base.redis.clone(), Arc::clone(session));
    sources.spawn(async move {
        tokio::select! {
            left = source.run() => ("mqtt", left),
            never = note => match never {},
        }
    });
    Ok(())
}

/// Has Redis note that all is acknowledged, whenever the MQTT session is at rest. Without an answer where it cannot: then
/// marks go on to tell what they told.
async fn note_acknowledged(
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    redis: Pool,
    session: Arc<Session>,
) -> Infallible {
    while let Some(noted) = asked.recv().await {
        match session.all_acknowledged(&redis).await {
            Ok(()) => drop(noted.send(())),
            Err(error) => tracing::debug!(%error, "cannot note that all is acknowledged"),
        }
    }
    pending().await
}
