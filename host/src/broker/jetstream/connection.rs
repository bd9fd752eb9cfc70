use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event,
    jetstream::{
        self, Context,
        context::{PublishAckFuture, PublishErrorKind},
        message::PublishMessage,
    },
};
use bytes::Bytes;

use super::Config;
use crate::{
    admin::{Part, PartState, Readiness},
    broker::backoff,
    telemetry::{Broker, Metrics},
};

/// The connection to NATS. It connects, and connects again, by itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    pub(super) jetstream: Context,
}

/// NATS cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The credentials file cannot be read.
    #[error("cannot read nats.credentials {path}")]
    Credentials {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The servers are none, or a certificate is unusable.
    #[error("cannot connect to NATS")]
    Connect(#[from] async_nats::ConnectError),
}

/// What is published.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where to.
    pub subject: String,
    /// `Nats-Msg-Id`: JetStream drops a second message with the same one within its window.
    pub id: String,
    /// `Aurora-Site`: where it comes from.
    pub site: String,
    /// The payload.
    pub data: Bytes,
}

/// JetStream did not take a message.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It never will: the message is larger than the server allows.
    #[error("the message is larger than the server's max_payload")]
    TooLarge,
    /// It may later.
    #[error("JetStream did not acknowledge")]
    Again(#[source] async_nats::jetstream::context::PublishError),
}

/// Whether JetStream refused a message because its stream takes no message of this size.
#[must_use]
pub fn is_too_large(error: &jetstream::context::PublishError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<jetstream::Error>());
    cause.is_some_and(|cause| cause.error_code() == jetstream::ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}

impl Connection {
    /// Begins to connect as `config` says, and keeps at it; returns at once. `readiness` and `metrics` hear of every
    /// change.
    ///
    /// # Errors
    /// If the configuration is unusable.
    pub async fn open(config: &Config, readiness: Readiness, metrics: Metrics) -> Result<Self, ConnectionError> {
        let most = config.reconnect_max;
        let broker = metrics.broker(Broker::Nats).clone();
        let seen = Arc::new(AtomicBool::new(false));
        let connected = Arc::clone(&seen);
        let options = options(config)
            .await?
            .retry_on_initial_connect()
            // Asked before every attempt, the first one too, which must not keep a start waiting.
            .reconnect_delay_callback(move |attempt| match attempt {
                0 | 1 if !connected.load(Ordering::Relaxed) => Duration::ZERO,
                attempt => backoff(most).nth(attempt.saturating_sub(1).min(16)).unwrap_or(most),
            })
            .event_callback(move |event| {
                match &event {
                    Event::Connected => {
                        if seen.swap(true, Ordering::Relaxed) {
                            broker.reconnects.inc();
                        }
                        broker.connected.set(1);
                        tracing::info!("connected to NATS");
                    }
                    Event::Disconnected | Event::Closed => {
                        broker.connected.set(0);
                        readiness.set(Part::Nats, PartState::NotReady("not connected".to_owned()));
                        tracing::warn!("lost the connection to NATS, what is shared waits in the outbox");
                    }
                    other => tracing::debug!(event = %other, "NATS says"),
                }
                async {}
            });
        let servers: Vec<_> = config.url.split(',').map(str::trim).collect();
        let client = options.connect(servers).await?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(config.ack_timeout);
        Ok(Self { client, jetstream })
    }

    /// Over a client that is connected already.
    pub(super) fn of(client: Client) -> Self {
        Self { jetstream: jetstream::new(client.clone()), client }
    }

    /// Publishes; the answer is the ack to wait for.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub async fn publish(&self, message: Message) -> Result<PublishAckFuture, PublishError> {
        if message.data.len() > self.client.server_info().max_payload.max(1024) {
            return Err(PublishError::TooLarge);
        }
        let publish = PublishMessage::build()
            .message_id(&message.id)
            .header("Aurora-Site", message.site.as_str())
            .payload(message.data);
        self.jetstream.send_publish(message.subject, publish).await.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge,
            _ => PublishError::Again(error),
        })
    }

    /// Sends what is buffered and closes, within `grace`.
    pub async fn close(self, grace: Duration) {
        // What did not go out is still in the outbox.
        let _ = tokio::time::timeout(grace, self.client.drain()).await;
    }
}

pub(super) async fn options(config: &Config) -> Result<ConnectOptions, ConnectionError> {
    let mut options = ConnectOptions::new().name("aurora");
    if let Some(path) = &config.credentials {
        options = options
            .credentials_file(path)
            .await
            .map_err(|source| ConnectionError::Credentials { path: path.display().to_string(), source })?;
    }
    if let Some(ca) = &config.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    Ok(options)
}
