//! What it takes to ask devices and to judge their answers.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::base::Base;
use crate::{
    admin::devices::Asking,
    attestation::{Attestor, Challenger, Heard, Judge, Means, Registry},
    broker::{
        mqtt::{self, Outgoings},
        redis_streams::Devices,
    },
    event::Intake,
    pipeline::Audit,
    telemetry::Broker,
};

/// The parts, before there are lanes and a session to put them into.
pub(super) struct Attesting {
    means: Means,
    pub outgoings: Option<Outgoings>,
}

impl Attesting {
    /// As `[attestation]` wants it; none without that section.
    ///
    /// # Errors
    /// If the file of devices cannot be used.
    pub fn of(base: &Base<'_>) -> anyhow::Result<Option<Self>> {
        let Some(config) = &base.config.attestation else { return Ok(None) };
        let registry = Registry::load(config.devices.as_deref()).context("no devices")?;
        let (outlet, outgoings) = mqtt::outlet();
        let means = Means {
            config: config.clone(),
            devices: Devices::new(&base.redis, base.redis_config),
            registry: Arc::new(registry),
            outlet,
            heard: Heard::default(),
            connected: base.metrics.broker(Broker::Mqtt).connected.clone(),
            metrics: base.metrics.attestation.clone(),
        };
        Ok(Some(Self { means, outgoings: Some(outgoings) }))
    }

    /// For the lanes, which run beside this runtime.
    pub fn attestor(&self, audit: &Audit) -> Attestor {
        let Means { config, devices, registry, heard, metrics, .. } = &self.means;
        let judge = Judge::new(config, devices.clone(), Arc::clone(registry), Some(audit.clone()));
        Attestor::new(judge, heard.clone(), metrics.clone(), tokio::runtime::Handle::current())
    }

    /// For whoever asks over HTTP.
    pub fn asking(&self) -> Asking {
        let Means { config, devices, registry, .. } = &self.means;
        Asking { config: config.clone(), devices: devices.clone(), registry: Arc::clone(registry) }
    }

    /// The task, which hands notices to `intake` until `stop`.
    pub fn challenger<I: Intake>(self, intake: &Arc<I>, stop: &CancellationToken) -> Challenger<I> {
        Challenger::new(self.means, Arc::clone(intake), stop.clone())
    }
}
