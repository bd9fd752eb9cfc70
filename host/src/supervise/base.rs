//! What the parts are made of, and what tells each of them to end.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Part, Readiness},
    broker::redis_streams::{self, Letters, Pool},
    config::Config,
    event::Stop,
    pipeline::Target,
    telemetry::Metrics,
};

/// What the parts are made of. It lives for as long as they are started.
pub(super) struct Base<'a> {
    pub config: &'a Config,
    /// Its `[redis]`.
    pub redis_config: &'a redis_streams::Config,
    pub redis: Pool,
    /// Where things are stored.
    pub target: Arc<Target>,
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub stops: Stops,
}

/// What tells the parts to end. They do so in the order of [`Running::end`](super::running::Running::end).
#[derive(Default)]
pub(super) struct Stops {
    /// The places of guests, where others are installed.
    pub swap: CancellationToken,
    /// Sources that hold a connection.
    pub sources: Stop,
    pub ingest: CancellationToken,
    /// Publishers, which give up what is not stored yet.
    pub give_up: CancellationToken,
    pub relay: CancellationToken,
    pub replay: CancellationToken,
    /// What looks at Redis beside the lanes.
    pub redis: CancellationToken,
    /// Who keeps guests that have proved themselves.
    pub good: CancellationToken,
    pub admin: CancellationToken,
}

impl<'a> Base<'a> {
    /// As `config` wants it. Nothing is connected yet.
    pub fn new(config: &'a Config) -> anyhow::Result<Self> {
        let redis_config = config.redis.as_ref().context("no [redis] is configured")?;
        let metrics = Metrics::new();
        let readiness = Readiness::new(parts(config));
        readiness.register(&metrics.registry).context("cannot show the readiness")?;
        Ok(Self {
            config,
            redis_config,
            redis: Pool::new(redis_config)?,
            target: Arc::new(Target::new(config)),
            metrics,
            readiness,
            stops: Stops::default(),
        })
    }

    /// The dead letters.
    pub fn letters(&self) -> Letters {
        Letters::new(&self.redis, &self.target.layout, self.target.dead_letter)
    }
}

/// The parts that have to be in order for the daemon to be ready.
fn parts(config: &Config) -> Vec<Part> {
    let mqtt = config.mqtt.is_some().then_some(Part::Mqtt);
    let raw = config.raw.is_some().then_some(Part::Raw);
    let nats = config.nats.is_some().then_some(Part::Nats);
    [Part::Guests, Part::Lanes, Part::Redis].into_iter().chain(mqtt).chain(raw).chain(nats).collect()
}
