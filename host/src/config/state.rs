use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::findings::Findings;

/// `[guests.<stage>.state]`: how much a guest may remember that is granted `state`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateLimits {
    /// Most keys.
    pub keys: u64,
    /// Most bytes of keys and values together.
    pub bytes: ByteSize,
    /// Longest time that something is remembered.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// Longest wait for an answer of Redis. Once one took longer, guests do without until it answers again.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for StateLimits {
    fn default() -> Self {
        Self {
            keys: 100_000,
            bytes: ByteSize::mib(16),
            ttl: Duration::from_secs(86_400),
            timeout: Duration::from_millis(250),
        }
    }
}

impl StateLimits {
    pub(super) fn validate(&self, section: &str, findings: &mut Findings) {
        let key = |name: &str| format!("{section}.state.{name}");
        findings.range(&key("keys"), self.keys, (1, 10_000_000), ("1", "10000000"));
        let sizes = (ByteSize::kib(1), ByteSize::gib(4));
        findings.range(&key("bytes"), self.bytes, sizes, ("\"1KiB\"", "\"4GiB\""));
        let lives = (Duration::from_secs(1), Duration::from_secs(400 * 86_400));
        findings.range(&key("ttl"), self.ttl, lives, ("\"1s\"", "\"400d\""));
        let waits = (Duration::from_millis(5), Duration::from_secs(10));
        findings.range(&key("timeout"), self.timeout, waits, ("\"5ms\"", "\"10s\""));
    }
}
