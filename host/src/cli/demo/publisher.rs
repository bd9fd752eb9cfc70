//! An MQTT publisher that counts: it knows that the broker has every message, which `mosquitto_pub` does not tell.

use std::time::Duration;

use rumqttc::{AsyncClient, ClientError, Event, MqttOptions, Packet, QoS};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

/// What goes wrong with publishing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client has ended.
    #[error("cannot publish to `{topic}`")]
    Publish {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// The broker did not acknowledge everything.
    #[error("the MQTT broker acknowledged {acknowledged} of {sent} messages in {waited:?}; last error: {last}")]
    Unacknowledged {
        /// Messages acknowledged.
        acknowledged: u64,
        /// Messages sent.
        sent: u64,
        /// How long we waited.
        waited: Duration,
        /// What the connection said last.
        last: String,
    },
}

/// One MQTT client that publishes at QoS 1 or 2, reconnects, and counts acknowledgements.
#[derive(Debug)]
pub struct Publisher {
    client: AsyncClient,
    sent: u64,
    progress: watch::Receiver<Progress>,
    connection: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    acknowledged: u64,
    last_error: Option<String>,
}

/// Largest packet either way; far above what the daemon takes, so that too much can be tried.
const MAX_PACKET: usize = 64 << 20;

impl Publisher {
    /// A client of the broker at `port` of this machine. `login` is user and password.
    #[must_use]
    pub fn connect(port: u16, client_id: &str, login: Option<(&str, &str)>) -> Self {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
        options.set_clean_session(false);
        options.set_inflight(1000);
        options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
        if let Some((user, password)) = login {
            options.set_credentials(user, password);
        }
        let (client, mut connection) = AsyncClient::new(options, 1000);
        let (report, progress) = watch::channel(Progress::default());
        let connection = tokio::spawn(async move {
            while !report.is_closed() {
                match connection.poll().await {
                    Ok(Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))) => {
                        report.send_modify(|progress| progress.acknowledged += 1);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        report.send_modify(|progress| progress.last_error = Some(error.to_string()));
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        });
        Self { client, sent: 0, progress, connection }
    }

    /// Publishes a message. `qos` 0 is not counted, since nobody acknowledges it.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn publish(&mut self, topic: &str, qos: u8, payload: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.send(topic, qos, false, payload.into()).await
    }

    /// The same, and the broker keeps it for whoever subscribes later.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn retain(&mut self, topic: &str, qos: u8, payload: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.send(topic, qos, true, payload.into()).await
    }

    async fn send(&mut self, topic: &str, qos: u8, retain: bool, payload: Vec<u8>) -> Result<(), Error> {
        let qos = match qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let published = self.client.publish(topic, qos, retain, payload).await;
        published.map_err(|source| Error::Publish { topic: topic.to_owned(), source: Box::new(source) })?;
        self.sent += u64::from(qos != QoS::AtMostOnce);
        Ok(())
    }

    /// Messages published so far, those of QoS 0 left out.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Waits until the broker has acknowledged every message, with PUBACK or PUBCOMP.
    ///
    /// # Errors
    /// It has not after `patience`.
    pub async fn acknowledged(&mut self, patience: Duration) -> Result<(), Error> {
        let sent = self.sent;
        if matches!(
            timeout(patience, self.progress.wait_for(|progress| progress.acknowledged >= sent)).await,
            Ok(Ok(_))
        ) {
            return Ok(());
        }
        let progress = self.progress.borrow().clone();
        let last = progress.last_error.unwrap_or_else(|| "none".to_owned());
        Err(Error::Unacknowledged { acknowledged: progress.acknowledged, sent, waited: patience, last })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
