//! A device of the tests: a client of the broker that signs for real, and does what it is told rather than what is right.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aurora::attestation::{Form, Signer, answer};
use harness::{PATIENCE, Publisher, Site, free_port};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// What the devices of these tests run.
pub(super) const FIRMWARE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A device that hears its challenges and answers when it is told to.
pub(super) struct Device {
    pub id: &'static str,
    pub signer: Signer,
    pub boots: u64,
    pub firmware: String,
    pub form: Form,
    pub sends_key: bool,
    /// Until when the last challenge can be answered.
    pub expires_ms: i64,
    challenges: mpsc::UnboundedReceiver<Vec<u8>>,
    publisher: Publisher,
    connection: JoinHandle<()>,
}

impl Device {
    /// Connects, and listens for its challenges.
    pub async fn connect(site: &Site, id: &'static str) -> Result<Self> {
        let mut options = MqttOptions::new(format!("{id}-{}", free_port()?), "127.0.0.1", site.mqtt.port());
        options.set_clean_session(true);
        let (client, mut events) = AsyncClient::new(options, 16);
        client.subscribe(format!("aurora/attestation/{id}/request"), QoS::AtLeastOnce).await?;
        let (heard, challenges) = mpsc::unbounded_channel();
        let (ready, mut is_ready) = mpsc::channel::<()>(1);
        let connection = tokio::spawn(async move {
            // It must not be dropped while we listen.
            let _client = client;
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::SubAck(_))) => _ = ready.try_send(()),
                    Ok(Event::Incoming(Packet::Publish(publish))) => _ = heard.send(publish.payload.to_vec()),
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        timeout(PATIENCE, is_ready.recv()).await.context("the broker grants no subscription")?;
        Ok(Self {
            id,
            signer: Signer::generate(),
            boots: 1,
            firmware: FIRMWARE.to_owned(),
            form: Form::Delimited,
            sends_key: false,
            expires_ms: 0,
            challenges,
            publisher: site.publisher(&format!("{id}-answers-{}", free_port()?)),
            connection,
        })
    }

    /// The nonce of the next challenge.
    pub async fn challenge(&mut self) -> Result<String> {
        let Ok(Some(request)) = timeout(PATIENCE, self.challenges.recv()).await else { bail!("no challenge came") };
        let request: Value = serde_json::from_slice(&request)?;
        let nonce = request["nonce"].as_str().context("no nonce")?;
        assert_eq!((nonce.len(), request["device_id"].as_str()), (64, Some(self.id)), "{request}");
        self.expires_ms = request["expires_ms"].as_i64().context("no expiry")?;
        assert!(request["issued_ms"].as_i64() < Some(self.expires_ms), "{request}");
        Ok(nonce.to_owned())
    }

    /// What it answers to `nonce`.
    pub fn answer(&self, nonce: &str) -> String {
        answer(&self.signer, self.form, self.id, &self.firmware, self.boots, nonce, self.sends_key)
    }

    /// Publishes on its topic of answers, and waits until the broker has it.
    pub async fn send(&mut self, payload: impl Into<Vec<u8>>) -> Result<()> {
        self.publisher.publish(&format!("aurora/attestation/{}/response", self.id), 1, payload).await?;
        Ok(self.publisher.acknowledged(PATIENCE).await?)
    }

    /// Publishes a heartbeat.
    pub async fn beat(&mut self) -> Result<()> {
        let status = r#"{"device_type":"plc","board_family":"stm32","firmware_version":"1.0"}"#;
        self.publisher.publish(&format!("aurora/sensors/{}/status", self.id), 1, status).await?;
        Ok(self.publisher.acknowledged(PATIENCE).await?)
    }
}

/// The other signature of the same message.
pub(super) fn mirrored(payload: &str) -> String {
    use p256::ecdsa::Signature;
    let mut json: Value = serde_json::from_str(payload).expect("JSON");
    let text = json["signature_hex"].as_str().expect("a signature").to_owned();
    let bytes: Vec<u8> = (0..64).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("a byte")).collect();
    let signature = Signature::from_slice(&bytes).expect("a signature");
    let other = Signature::from_scalars(signature.r(), -*signature.s()).expect("a signature");
    json["signature_hex"] = other.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    json.to_string()
}

impl Drop for Device {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
