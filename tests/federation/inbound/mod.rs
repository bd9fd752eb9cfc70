//! What other sites share comes in.

mod arriving;
mod hostile;
mod judged;
mod changing;
mod again;
mod servers;
mod topologies;
mod speed;

use anyhow::{Context as _, Result};
use async_nats::{HeaderMap, jetstream};
use harness::{Plan, Site, unix_ms};
use serde_json::{Value, json};
use uuid::Uuid;

/// A site called south that takes in what others share.
fn south() -> Plan {
    taking_in("south")
}

fn taking_in(site: &str) -> Plan {
    // What a killed daemon had in hand comes again soon.
    Site::plan().set("site.id", site).set("federation.in.ack_wait", "2s")
}

/// The id of the event of this number.
fn id(number: u32) -> String {
    Uuid::from_u128(0x3d1f_0c1e_6f0e_8d0a_9a5b_0000_0000_0000 + u128::from(number)).to_string()
}

/// An alert of the site north, as its relay sends it.
fn alert(number: u32) -> Value {
    json!({
        "id": id(number), "source": "suricata", "severity": "high", "category": "network",
        "title": format!("alert {number}"), "description": "", "fields": { "number": number.to_string() },
        "iocs": [{ "type": "ip", "value": "45.155.205.233" }], "mitre_techniques": [],
        "timestamp_ms": unix_ms(), "device_id": null, "site": "north", "tlp": "AMBER",
    })
}

/// Another site, as JetStream sees it.
struct Other {
    jetstream: jetstream::Context,
    name: &'static str,
}

impl Other {
    async fn of(site: &Site, name: &'static str) -> Result<Self> {
        let nats = site.nats.as_ref().context("this site has no NATS")?;
        Ok(Self { jetstream: jetstream::new(async_nats::connect(nats.url()).await?), name })
    }

    /// Sends a message whose header names this site, and waits until JetStream has it.
    async fn send(&self, subject: &str, message: &Value) -> Result<()> {
        self.send_bytes(subject, Some(self.name), message.to_string().into_bytes()).await
    }

    async fn send_bytes(&self, subject: &str, site: Option<&str>, payload: Vec<u8>) -> Result<()> {
        let mut headers = HeaderMap::new();
        if let Some(site) = site {
            headers.insert("Aurora-Site", site);
        }
        let sent = self.jetstream.publish_with_headers(subject.to_owned(), headers, payload.into()).await?;
        sent.await?;
        Ok(())
    }
}
