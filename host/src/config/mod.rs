//! The configuration: one TOML file, overridden key by key by the environment.

mod sections;

pub use sections::{Admin, Guest, Guests, Ingest, Instance, Lanes, Log, LogFormat, Secret, Shutdown, Site};

use crate::broker::{jetstream, mqtt, redis_streams};

/// Everything that the daemon is told. Each module documents its own section.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who we are.
    pub site: Site,
    /// How we log.
    pub log: Log,
    /// Raw events from devices.
    pub mqtt: Option<mqtt::Config>,
    /// Raw events from collectors.
    pub ingest: Option<Ingest>,
    /// How events are spread over threads.
    pub lanes: Lanes,
    /// Who decides what events mean.
    pub guests: Guests,
    /// Where events go. Required by `run`.
    pub redis: Option<redis_streams::Config>,
    /// Where shared events go.
    pub nats: Option<jetstream::Config>,
    /// Health and metrics.
    pub admin: Admin,
    /// How we end.
    pub shutdown: Shutdown,
}
