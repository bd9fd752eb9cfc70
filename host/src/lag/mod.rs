//! How long the site's streams are, and how far each of their readers is behind: ours, and everybody else's who reads by
//! a group. Looks only; the commands are those that the daemon needs anyway.

mod config;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::{
    broker::redis_streams::{self, Depth, Pool, depth},
    raw,
    telemetry::{Chain, Metrics},
};

/// What was seen last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Vec<(String, Depth)>>>);

impl Seen {
    /// Every stream that is there, by name.
    #[must_use]
    pub fn streams(&self) -> Vec<(String, Depth)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, streams: Vec<(String, Depth)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = streams;
    }
}

/// The task that looks.
pub struct Lag {
    redis: Pool,
    config: Config,
    /// Names and keys.
    streams: Vec<(String, String)>,
    metrics: Metrics,
    seen: Seen,
    /// Streams that we may not look at, and have told of.
    refused: BTreeSet<String>,
}

impl Lag {
    /// The task for the streams that these sections name.
    #[must_use]
    pub fn new(
        redis: Pool,
        config: &Config,
        redis_config: &redis_streams::Config,
        raw: Option<&raw::Config>,
        metrics: &Metrics,
        seen: &Seen,
    ) -> Self {
        let names = config.all(redis_config, raw);
        Self {
            redis,
            config: config.clone(),
            streams: names.into_iter().map(|name| (name.clone(), redis_config.key(&name))).collect(),
            metrics: metrics.clone(),
            seen: seen.clone(),
            refused: BTreeSet::new(),
        }
    }

    /// Looks again and again, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let looks = async {
            loop {
                self.look().await;
                tokio::time::sleep(self.config.every).await;
            }
        };
        tokio::select! {
            () = looks => {}
            () = stop.cancelled() => {}
        }
    }

    async fn look(&mut self) {
        let mut seen = Vec::new();
        for (name, key) in &self.streams {
            match depth(&self.redis, key).await {
                Ok(depth) => {
                    self.refused.remove(name);
                    seen.push((name.clone(), depth));
                }
                // Redis being away is told of by those who need it. A stream that we may not look at is told of once;
                // nothing but its series is missing.
                Err(error) => {
                    if self.refused.insert(name.clone()) {
                        tracing::debug!(stream = name, error = %Chain(&error), "cannot look at the stream");
                    }
                }
            }
        }
        let tasks = seen.iter().find(|(name, _)| *name == self.config.tasks).map(|(_, depth)| depth);
        let group = tasks.and_then(|depth| depth.groups.iter().find(|group| group.name == self.config.tasks_group));
        self.metrics.streams.show(&seen, group.map_or(0, |group| group.pending));
        self.seen.put(seen);
    }
}
