use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, ensure};

use crate::{
    attestation::{self, Registry},
    broker::redis_streams::{Devices, Known, Pool},
    cli::loaded,
    event::is_device_id,
    pipeline::Aside,
};

/// Where the devices are.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The daemon's configuration; of it [redis] and [attestation] are used. Without it only what the environment sets.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A configuration, and the way to its devices.
pub(super) struct Opened {
    pub attestation: attestation::Config,
    pub devices: Devices,
    pub registry: Arc<Registry>,
    pub aside: Aside,
}

impl Place {
    /// Reads the configuration as its user may: without the secrets of the other brokers.
    pub fn open(&self) -> anyhow::Result<Opened> {
        let config = loaded::load(self.config.as_deref())?;
        let redis = loaded::redis(&config)?;
        if config.attestation.is_none() {
            eprintln!(
                "note: the configuration has no [attestation], so its daemon asks no device and judges no answer"
            );
        }
        let attestation = config.attestation.clone().unwrap_or_default();
        let registry = Arc::new(Registry::load(attestation.devices.as_deref())?);
        let devices = Devices::new(&Pool::new(redis)?, redis);
        let aside = Aside::new(&config)?;
        Ok(Opened { attestation, devices, registry, aside })
    }
}

impl Opened {
    /// What is known of `device`.
    pub async fn known(&self, device: &str) -> anyhow::Result<Known> {
        Ok(self.devices.look(&[device]).await?.pop().unwrap_or_default())
    }

    /// Writes `record` down, with an entry in the audit trail. The entry goes first: nothing is changed of which nobody
    /// could be told.
    pub async fn write(&mut self, device: &str, record: &str, action: &str, details: &str) -> anyhow::Result<()> {
        self.aside.look().await?;
        self.aside.note(action, details).await?;
        Ok(self.devices.write(device, record).await?)
    }
}

/// A device id of a command line.
pub(super) fn device(id: &str) -> Result<String, String> {
    match is_device_id(id) {
        true => Ok(id.to_owned()),
        false => Err("is no device id, which is 1 to 64 of A-Z a-z 0-9 _ -".to_owned()),
    }
}

/// The SHA-256 of a firmware, on a command line.
pub(super) fn hash(text: &str) -> Result<String, String> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => {
            Err("is not the 64 hexadecimal digits of a SHA-256; --image FILE takes the firmware itself".to_owned())
        }
    }
}

/// The SHA-256 of each of `images`.
pub(super) fn hashed(images: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    use sha2::{Digest as _, Sha256};
    let of = |path: &PathBuf| {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(!bytes.is_empty(), "{} is empty", path.display());
        Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    };
    images.iter().map(of).collect()
}

/// Now, milliseconds since 1970-01-01 UTC.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
