use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

/// `[redis]`: where normalized events go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `redis://[user:password@]host[:6379][/db]` or `rediss://…` for TLS. Required.
    pub url: String,
    /// Certificate authority of `rediss://`, PEM. Without it well-known ones are trusted.
    pub ca: Option<PathBuf>,
    /// Connections in the pool.
    pub pool: usize,
    /// Longest wait for a connection or an answer.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Ceiling of the back-off between attempts after an error.
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
    /// Length to which each stream is trimmed, approximately (`MAXLEN ~`); 0 never trims. These are also the streams
    /// that a router may name. Those left out keep their defaults; new names add streams.
    #[serde(deserialize_with = "over_defaults")]
    pub streams: BTreeMap<String, u64>,
    /// Stream of dead letters.
    pub dead_letter: String,
    /// Stream of the audit trail.
    pub audit: String,
    /// Stream of what waits to be sent to other sites. Never trimmed: an entry goes when JetStream has it.
    pub outbox: String,
}

/// Streams of the seeds with their lengths.
fn streams() -> BTreeMap<String, u64> {
    [
        ("aurora:alerts", 50_000),
        ("aurora:cps:alerts", 50_000),
        ("aurora:cps:attestation", 10_000),
        ("aurora:audit", 50_000),
        ("aurora:dead_letter", 50_000),
    ]
    .map(|(name, length)| (name.to_owned(), length))
    .into()
}

fn over_defaults<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let mut all = streams();
    all.extend(BTreeMap::<String, u64>::deserialize(deserializer)?);
    Ok(all)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            ca: None,
            pool: 16,
            timeout: Duration::from_secs(5),
            reconnect_max: Duration::from_secs(5),
            streams: streams(),
            dead_letter: "aurora:dead_letter".to_owned(),
            audit: "aurora:audit".to_owned(),
            outbox: "aurora:outbox".to_owned(),
        }
    }
}
