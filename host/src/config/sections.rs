//! The sections that belong to no other module.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

/// `[site]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Name of this site, `[A-Za-z0-9_-]{1,64}`: it marks what leaves for other sites. Required.
    pub id: String,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What to log, in the syntax of `tracing_subscriber::EnvFilter`: `info`, `aurora=debug,info`.
    pub level: String,
}

/// `[log] format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
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

/// `[guests]`: the components, one for each stage.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guests {
    /// `[guests.normalize]`
    pub normalize: Guest,
    /// `[guests.route]`
    pub route: Guest,
    /// `[guests.federate]`
    pub federate: Guest,
    /// Folder of compiled components, kept from start to start. It must belong to the daemon alone; nothing is kept
    /// where it is not set.
    pub cache: Option<PathBuf>,
}

/// `[guests.<stage>]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guest {
    /// The component, a `.wasm` file. Required.
    pub path: PathBuf,
    /// Most linear memory.
    pub memory: ByteSize,
    /// Most time of a call. Halves of a batch that is searched for a culprit get less.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// Most bytes that cross from the guest in one call: its answer, and separately what it passes to the host.
    pub output: ByteSize,
    /// Most log lines of a call.
    pub log_lines: u32,
    /// Whether memory lives on from batch to batch.
    pub instance: Instance,
    /// `[guests.<stage>.options]`: the guest's own settings.
    pub options: BTreeMap<String, toml::Value>,
}

/// `[guests.<stage>] instance`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instance {
    /// A new one for each batch: nothing leaks from batch to batch, and any batch replays bit for bit.
    #[default]
    Fresh,
    /// The same one until it traps: a little faster, for guests that the site trusts.
    Reuse,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            memory: ByteSize::mib(64),
            deadline: Duration::from_millis(100),
            output: ByteSize::mib(16),
            log_lines: 100,
            instance: Instance::Fresh,
            options: BTreeMap::new(),
        }
    }
}

/// `[ingest]`: events over HTTP. Without this section nothing listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// File that holds the bearer token. One of `token_file` and `token` is required.
    pub token_file: Option<PathBuf>,
    /// The bearer token itself; meant for `AURORA_INGEST__TOKEN`.
    pub token: Option<Secret>,
    /// Largest request body.
    pub max_body: ByteSize,
    /// Largest single event; larger ones become dead letters.
    pub max_payload: ByteSize,
    /// Events taken and not yet stored, over all requests. Beyond it a request is answered with 429.
    pub max_in_flight: usize,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9465)),
            token_file: None,
            token: None,
            max_body: ByteSize::mib(16),
            max_payload: ByteSize::mib(1),
            max_in_flight: 8192,
        }
    }
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address of `/livez`, `/readyz` and `/metrics`.
    pub listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
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

/// Text that never shows in a log.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}
