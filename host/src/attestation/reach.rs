//! One challenge to one device: noted in Redis before it is sent, and as lacking an answer after it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;

use super::{Config, health::milliseconds, hex};
use crate::{
    broker::{
        mqtt::Outlet,
        redis_streams::{Devices, DevicesError, Issued, Occasion},
    },
    telemetry::{AttestationMetrics, Chain},
};

/// What it takes to ask one.
#[derive(Clone)]
pub(super) struct Reach {
    pub config: Arc<Config>,
    pub devices: Devices,
    pub outlet: Outlet,
    pub metrics: AttestationMetrics,
    /// Devices of which it was said that what is known of them cannot be read.
    pub unreadable: Arc<Mutex<BTreeSet<String>>>,
}

impl Reach {
    /// Asks a device. When the next challenge is due, if that is known.
    pub async fn challenge(&self, device: &str, occasion: Occasion) -> Option<i64> {
        let Self { config, devices, outlet, metrics, .. } = self;
        let mut chance = [0; 32];
        if let Err(error) = getrandom::fill(&mut chance) {
            // Better no challenge than one that somebody could foresee.
            tracing::error!(%error, "the system gives no random bytes, so no device is asked");
            return None;
        }
        let nonce = hex::encode(&chance);
        let issued = devices.issue(device, &nonce, config.answer_within, config.interval, occasion).await;
        let (at, expires) = match issued {
            Ok(Issued::Now { at, expires }) => {
                self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).remove(device);
                (at, expires)
            }
            Ok(Issued::Later(due)) => return Some(due).filter(|due| *due > 0),
            Ok(Issued::Unreadable) => {
                self.warn(device, "the challenges that it was sent");
                return None;
            }
            Err(error) => {
                tracing::debug!(device, error = %Chain(&error), "cannot note a challenge, so it is not sent");
                return None;
            }
        };
        let due = Some(at + milliseconds(config.interval));
        let payload = json!({ "device_id": device, "nonce": nonce, "issued_ms": at, "expires_ms": expires });
        let published = outlet.publish(config.topic(device), payload.to_string(), config.answer_within).await;
        if let Err(error) = published {
            metrics.unsent.inc();
            tracing::warn!(device, error = %error, "a challenge could not be sent");
            return due;
        }
        metrics.sent.inc();
        // Only what was sent can lack an answer.
        if let Err(error) = devices.sent(device, &nonce, expires).await {
            tracing::debug!(device, error = %Chain(&error), "a missing answer to this challenge will not be noticed");
        }
        due
    }

    /// Says once that `what` is known of a device cannot be read.
    pub fn warn(&self, device: &str, what: &str) {
        if self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(device.to_owned()) {
            tracing::warn!(device, what, "what is known of a device cannot be read, so it is not asked");
        }
    }

    /// Notes that the challenge with this nonce will not be answered any more.
    pub async fn forget(&self, device: &str, nonce: &str) -> Result<(), DevicesError> {
        if self.devices.forget(device, nonce).await? {
            self.metrics.unanswered.inc();
        }
        Ok(())
    }
}
