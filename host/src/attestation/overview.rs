//! All that is known of a site's devices, for people and pages.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Config, Health, Last, Registry, Standing};
use crate::broker::redis_streams::{Devices, DevicesError};

/// A device that is enrolled or was heard of.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// Its id.
    pub device_id: String,
    /// `online`, `stale`, `offline` or `unknown`; `revoked`, whether it is heard of or not.
    pub health: &'static str,
    /// When its last heartbeat came, milliseconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_ms: Option<i64>,
    /// `file`, `redis`, `awaiting`, `revoked`, `no`, or what is wrong.
    pub enrolled: String,
    /// SHA-256 of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
    /// The boot count of its last answer that held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_count: Option<String>,
    /// When it was last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_ms: Option<i64>,
    /// The last verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
}

/// Devices that are read at once.
const PART: usize = 500;

impl Overview {
    /// Of every device, by id.
    ///
    /// # Errors
    /// If Redis cannot be reached or refuses.
    pub async fn read(devices: &Devices, registry: &Registry, config: &Config) -> Result<Vec<Self>, DevicesError> {
        let (records, mut heard) = (devices.records().await?, devices.heard().await?);
        let listed = registry.listed();
        let enrolled_ids: Vec<&str> = records.keys().chain(listed.keys()).map(String::as_str).collect();
        heard.extend(devices.heard_of(&enrolled_ids).await?);
        let names: BTreeSet<&str> =
            records.keys().chain(heard.keys()).chain(listed.keys()).map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let (now, mut all) = (chrono::Utc::now().timestamp_millis(), Vec::with_capacity(names.len()));
        for part in names.chunks(PART) {
            for (name, known) in part.iter().zip(devices.look(part).await?) {
                let heard_ms = heard.get(*name).copied();
                let standing = registry.standing_of(name, &known);
                let key_fingerprint = match &standing {
                    Standing::Enrolled { device, .. } => Some(device.key.fingerprint()),
                    _ => None,
                };
                all.push(Self {
                    device_id: (*name).to_owned(),
                    health: match standing {
                        Standing::Revoked => "revoked",
                        _ => Health::of(heard_ms, now, config).as_str(),
                    },
                    heard_ms,
                    enrolled: enrolled(&standing, now),
                    key_fingerprint,
                    boot_count: known.boot,
                    asked_ms: known.challenges.first().map(|challenge| challenge.issued),
                    // One that a newer version wrote is not worth an error.
                    last: known.last.and_then(|last| serde_json::from_str(&last).ok()),
                });
            }
        }
        Ok(all)
    }
}

fn enrolled(standing: &Standing, now: i64) -> String {
    match standing {
        Standing::Enrolled { by_file: true, .. } => "file".to_owned(),
        Standing::Enrolled { by_file: false, .. } => "redis".to_owned(),
        Standing::Awaiting(gate) if gate.until_ms > now => "awaiting".to_owned(),
        Standing::Awaiting(_) | Standing::Unknown => "no".to_owned(),
        Standing::Revoked => "revoked".to_owned(),
        Standing::Unreadable(what) => format!("unreadable: {what}"),
    }
}
