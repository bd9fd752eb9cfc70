//! Whether JetStream has the messages of an event, and where.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use crate::{
    broker::jetstream::{self, Connection, Dial, Looker, Place},
    moment::rfc3339,
    telemetry::Chain,
};

/// What JetStream says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum Sent {
    /// It has it, so it was acknowledged.
    Stored {
        /// Name of the stream.
        stream: String,
        /// Its number there.
        sequence: u64,
        /// When.
        acknowledged: String,
    },
    /// It does not: it was never sent, or it is gone from the stream by its limits.
    Missing {
        /// Name of the stream.
        stream: String,
    },
    /// Nobody could ask.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Longest wait for a connection, and for an answer: a stream may be long.
const CONNECT: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(60);

/// The clocks of Redis and of the NATS server may differ by so much, milliseconds.
const CLOCKS: i64 = 60_000;

/// Asks JetStream; connected when it is asked for the first time.
pub(super) struct Asker<'a> {
    config: Option<&'a jetstream::Config>,
    /// This site.
    site: &'a str,
    connection: Option<Result<Connection, String>>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(config: Option<&'a jetstream::Config>, site: &'a str) -> Self {
        Self { config, site, connection: None }
    }

    /// Where the messages on `subject` are that the outbox had under `ids`, and that were written down at `since_ms` by the
    /// clock of Redis; in the order of `ids`.
    pub(super) async fn ask(&mut self, subject: &str, ids: &[&str], since_ms: i64) -> Vec<Sent> {
        let unknown = |reason: String| vec![Sent::Unknown { reason }; ids.len()];
        let Some(config) = self.config else { return unknown("no [nats] is configured".to_owned()) };
        if self.connection.is_none() {
            self.connection = Some(connect(config).await);
        }
        let connection = match &self.connection {
            Some(Ok(connection)) => connection,
            Some(Err(reason)) => return unknown(reason.clone()),
            None => return unknown("not connected".to_owned()),
        };
        let (stream, consumer) = (config.stream.clone(), config.consumer(Looker::Explain, self.site));
        let wanted = ids.iter().copied().collect();
        let place = (stream.as_str(), consumer.as_str());
        let found = match timeout(READ, connection.places(place, subject, since_ms - CLOCKS, &wanted)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return unknown(Chain(&error).to_string()),
            Err(_) => return unknown(format!("the stream {stream} could not be read within {READ:?}")),
        };
        let of = |id: &&str| match found.get(*id) {
            Some(&Place { sequence, stored_ms }) => {
                Sent::Stored { stream: stream.clone(), sequence, acknowledged: rfc3339(stored_ms) }
            }
            None => Sent::Missing { stream: stream.clone() },
        };
        ids.iter().map(of).collect()
    }
}

async fn connect(config: &jetstream::Config) -> Result<Connection, String> {
    let connect = async { Dial::new(config).await?.connect().await };
    match timeout(CONNECT, connect).await {
        Ok(connected) => connected.map_err(|error| Chain(&error).to_string()),
        Err(_) => Err(format!("NATS does not answer within {CONNECT:?}")),
    }
}
