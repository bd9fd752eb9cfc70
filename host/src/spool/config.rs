use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use crate::config::findings::Findings;

/// `[spool]`: where decided batches wait while Redis is away. Without this section the sources hold the events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the spool, created if missing. It must belong to one daemon alone. Required.
    pub path: PathBuf,
    /// Most disk space that waiting batches take. Full means that the sources stop reading. What is set aside as damaged
    /// does not count.
    pub max_bytes: ByteSize,
    /// How long Redis may be away before batches go to the spool.
    #[serde(with = "humantime_serde")]
    pub after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { path: PathBuf::new(), max_bytes: ByteSize::gib(1), after: Duration::from_secs(1) }
    }
}

impl Config {
    pub(crate) fn validate(&self, findings: &mut Findings) {
        if self.path.as_os_str().is_empty() {
            findings.problem("spool.path", "is missing or empty", "name a folder that the daemon may write to");
        }
        // The least holds a batch of the usual size several times over; one that never fits would wait for ever.
        let sizes = (ByteSize::mib(8), ByteSize::tib(16));
        findings.range("spool.max_bytes", self.max_bytes, sizes, ("\"8MiB\"", "\"16TiB\""));
        let waits = (Duration::ZERO, Duration::from_secs(3600));
        findings.range("spool.after", self.after, waits, ("\"0ms\"", "\"1h\""));
    }
}
