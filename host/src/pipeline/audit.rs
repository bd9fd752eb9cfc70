use std::time::Duration;

use tokio::sync::mpsc;

use crate::{
    broker::{
        backoff,
        redis_streams::{self, Commit, Pool},
    },
    telemetry::Chain,
};

/// Writes down what the daemon itself did: entries `agent action details timestamp` of the stream `aurora:audit`.
#[derive(Clone, Debug)]
pub struct Audit {
    entries: mpsc::Sender<[String; 3]>,
}

/// Who acts, in the field `agent`.
const AGENT: &str = "aurora-host";

/// Entries that wait for Redis. What the daemon does is rare; if this many wait, Redis has been away for long, and the
/// log has it all.
const WAITING: usize = 1024;

impl Audit {
    /// Records an action, now. It is in the log at once, and in the stream as soon as Redis takes it.
    pub fn record(&self, action: &str, details: impl Into<String>) {
        let details = details.into();
        tracing::info!(action, details, "audit");
        let entry = [action.to_owned(), details, chrono::Utc::now().to_rfc3339()];
        if self.entries.try_send(entry).is_err() {
            tracing::warn!(action, "too many audit entries wait for Redis, this one is only in the log");
        }
    }
}

/// The task behind [`Audit`].
#[derive(Debug)]
pub struct Trail {
    entries: mpsc::Receiver<[String; 3]>,
    stream: String,
    length: u64,
    reconnect_max: Duration,
}

impl Trail {
    /// The task, and its handle.
    #[must_use]
    pub fn new(config: &redis_streams::Config) -> (Audit, Self) {
        let (sender, entries) = mpsc::channel(WAITING);
        let length = config.streams.get(&config.audit).copied().unwrap_or(50_000);
        let trail = Self { entries, stream: config.audit.clone(), length, reconnect_max: config.reconnect_max };
        (Audit { entries: sender }, trail)
    }

    /// Runs until all handles are gone and every entry is stored.
    pub async fn run(mut self, redis: Pool) {
        while let Some([action, details, timestamp]) = self.entries.recv().await {
            let mut commit = Commit::new();
            let fields: [(&str, &[u8]); 4] = [
                ("agent", AGENT.as_bytes()),
                ("action", action.as_bytes()),
                ("details", details.as_bytes()),
                ("timestamp", timestamp.as_bytes()),
            ];
            commit.add(&self.stream, self.length, &fields);
            let (mut waits, mut told) = (backoff(self.reconnect_max), false);
            while let Err(error) = commit.store(&redis).await {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %Chain(&error), stream = self.stream, "cannot store an audit entry yet");
                }
                tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
            }
        }
    }
}
