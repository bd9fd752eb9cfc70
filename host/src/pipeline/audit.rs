use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    broker::{
        backoff,
        redis_streams::{CommitError, Pool, Producer, Session, Stream},
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
    producer: Producer,
    stream: Stream,
    reconnect_max: Duration,
}

impl Trail {
    /// The task, which stores as `session`, and its handle.
    #[must_use]
    pub fn new(session: &Session, stream: Stream, reconnect_max: Duration) -> (Audit, Self) {
        let (sender, entries) = mpsc::channel(WAITING);
        (Audit { entries: sender }, Self { entries, producer: session.producer("audit"), stream, reconnect_max })
    }

    /// Runs until all handles are gone and every entry is stored.
    pub async fn run(mut self, redis: Pool, session: Arc<Session>) {
        while let Some([action, details, timestamp]) = self.entries.recv().await {
            let mut commit = self.producer.begin(1024);
            commit.entry(
                self.stream,
                &[
                    ("agent", AGENT.as_bytes()),
                    ("action", action.as_bytes()),
                    ("details", details.as_bytes()),
                    ("timestamp", timestamp.as_bytes()),
                ],
            );
            let Some(mut commit) = self.producer.seal(commit) else { continue };
            let (mut waits, mut told) = (backoff(self.reconnect_max), false);
            loop {
                let refused = match commit.store(&redis, &session).await {
                    Ok(stored) => stored.refused.into_iter().next().map(|(_, reason)| reason),
                    // The log has it, and whoever superseded us has the stream.
                    Err(CommitError::Superseded { .. }) => break,
                    Err(error) => {
                        if !std::mem::replace(&mut told, true) {
                            tracing::warn!(error = %Chain(&error), "cannot store an audit entry yet");
                        }
                        tokio::time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
                        continue;
                    }
                };
                if let Some(reason) = refused {
                    tracing::error!(reason, action, "Redis refuses an audit entry, it is only in the log");
                }
                break;
            }
        }
    }
}
