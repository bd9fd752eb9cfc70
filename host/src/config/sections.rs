//! The small sections that belong to no other module.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::{Purpose, findings::Findings};
use crate::event::is_device_id;

/// `[site]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Name of this site, `[A-Za-z0-9_-]{1,64}`: it marks what leaves for other sites. Required.
    pub id: String,
}

impl Site {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let remedy = "choose 1 to 64 of A-Z a-z 0-9 _ -";
        if self.id.is_empty() {
            if findings.purpose() == Purpose::Run {
                findings.problem("site.id", "is missing or empty", remedy);
            }
        } else if !is_device_id(&self.id) {
            findings.problem("site.id", format!("{:?} is no site id", self.id), remedy);
        }
    }
}

/// `[lanes]`: events of one device stay in one lane and in order; lanes run beside each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lanes {
    /// Number of lanes, a thread each. 0: one for each core.
    pub count: usize,
    /// Most events of a batch, 1 to 4,096.
    pub batch: usize,
    /// Most payload bytes of a batch; a single larger event is a batch of its own.
    pub batch_bytes: ByteSize,
    /// How long a lane waits for more before it runs a batch that is not full. `0ms`: it takes what is there, and
    /// batches grow by themselves while the one before is being stored.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// Most events waiting before a lane. Full means that sources stop reading.
    pub queue: usize,
    /// How often an event is asked for again after a guest's `retry-after`, before it becomes a dead letter.
    pub retries: u32,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { count: 0, batch: 256, batch_bytes: ByteSize::mib(1), linger: Duration::ZERO, queue: 4096, retries: 5 }
    }
}

impl Lanes {
    pub(super) fn validate(&self, findings: &mut Findings) {
        findings.range("lanes.count", self.count, (0, 256), ("0 (one a core)", "256"));
        findings.range("lanes.batch", self.batch, (1, 4096), ("1", "4096"));
        let sizes = (ByteSize::kib(1), ByteSize::mib(256));
        findings.range("lanes.batch_bytes", self.batch_bytes, sizes, ("\"1KiB\"", "\"256MiB\""));
        let lingers = (Duration::ZERO, Duration::from_secs(60));
        findings.range("lanes.linger", self.linger, lingers, ("\"0ms\"", "\"60s\""));
        findings.range("lanes.queue", self.queue, (1, 1 << 20), ("1", "1048576"));
        findings.range("lanes.retries", self.retries, (0, 1000), ("0", "1000"));
    }
}

/// `[shutdown]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long events in flight may take to settle after SIGTERM. What is not settled then is redelivered.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10) }
    }
}

impl Shutdown {
    pub(super) fn validate(&self, findings: &mut Findings) {
        let graces = (Duration::from_millis(100), Duration::from_secs(600));
        findings.range("shutdown.grace", self.grace, graces, ("\"100ms\"", "\"10m\""));
    }
}
