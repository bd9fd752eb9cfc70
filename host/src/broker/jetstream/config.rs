use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

/// `[nats]`: where shared events go. Without this section nothing leaves the site.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `nats://[user:password@]host[:4222]` or `tls://…`. Required. Several, separated by commas, name a cluster.
    pub url: String,
    /// NATS credentials file (JWT and seed).
    pub credentials: Option<PathBuf>,
    /// Certificate authority, PEM.
    pub ca: Option<PathBuf>,
    /// Client certificate chain, PEM. Needs `key`.
    pub cert: Option<PathBuf>,
    /// Client private key, PEM. Needs `cert`.
    pub key: Option<PathBuf>,
    /// Name of the JetStream stream. Created if missing; an existing one is used as it is.
    pub stream: String,
    /// Subjects of a stream that we create, and the only ones that a policy may share to.
    pub subjects: Vec<String>,
    /// Size limit of a stream that we create.
    pub max_bytes: ByteSize,
    /// Window in which JetStream drops a second message with the same `Nats-Msg-Id`, of a stream that we create.
    #[serde(with = "humantime_serde")]
    pub duplicate_window: Duration,
    /// Longest wait for JetStream's ack.
    #[serde(with = "humantime_serde")]
    pub ack_timeout: Duration,
    /// Messages sent and not yet acknowledged.
    pub max_in_flight: usize,
    /// Ceiling of the back-off between attempts after an error.
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            credentials: None,
            ca: None,
            cert: None,
            key: None,
            stream: "AURORA".to_owned(),
            subjects: [
                "aurora.alerts.>",
                "aurora.intel.>",
                "aurora.cps.>",
                "aurora.soar.>",
                "AURORA.alerts",
                "AURORA.ioc_sharing",
                "AURORA.agent_results",
                "AURORA.audit",
            ]
            .map(str::to_owned)
            .into(),
            max_bytes: ByteSize::gib(10),
            duplicate_window: Duration::from_secs(10 * 60),
            ack_timeout: Duration::from_secs(5),
            max_in_flight: 512,
            reconnect_max: Duration::from_secs(5),
        }
    }
}
