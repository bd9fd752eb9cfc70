//! The design of the seeds: one client loop, a task of tokio's, that acknowledges a message as it comes, normalizes it,
//! and awaits one XADD for it on a connection out of a pool of sixteen. The normalizer is ours, natively: what differs
//! is the way of an event and not its meaning.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use aurora::broker::redis_streams::{Config, Pool};
use aurora_guest::{Context, EventView, OriginEvents, RawEvents};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    sample, site,
    throughput::{Task, say_done},
};

/// Runs until `task.events` are stored.
pub fn run(task: &Task) -> Result<()> {
    // As `#[tokio::main]` makes it.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mqtt, redis, qos, events) = (task.mqtt, task.redis, task.qos, task.events);
    runtime.block_on(async move { tokio::spawn(take(mqtt, redis, qos, events)).await? })
}

async fn take(mqtt: u16, redis: u16, qos: u8, expected: u64) -> Result<()> {
    let url = format!("redis://127.0.0.1:{redis}");
    let redis = Pool::new(&Config { url, ..Config::default() })?;
    let mut options = MqttOptions::new(site::CLIENT, "127.0.0.1", mqtt);
    options.set_clean_session(false);
    let (client, mut events) = AsyncClient::new(options, 100);
    let qos = if qos == 2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
    client.subscribe(sample::FILTER, qos).await?;
    let normalizing = normalize_core::Options::default();
    let (mut stored, mut begun) = (0, None);
    loop {
        match events.poll().await? {
            Event::Incoming(Packet::SubAck(_)) => {
                println!("ready");
                if expected == 0 {
                    break;
                }
            }
            Event::Incoming(Packet::Publish(publish)) => {
                begun.get_or_insert_with(Instant::now);
                store(&redis, &normalizing, &publish).await?;
                stored += 1;
                if stored == expected {
                    break;
                }
            }
            _ => {}
        }
    }
    if let Some(begun) = begun {
        say_done(begun.elapsed().as_secs_f64())?;
    }
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

async fn store(redis: &Pool, options: &normalize_core::Options, publish: &rumqttc::Publish) -> Result<()> {
    let context = Context {
        source: "suricata".to_owned(),
        format: "json".to_owned(),
        device_id: publish.topic.split('/').nth(2).map(str::to_owned),
        channel: publish.topic.rsplit('/').next().map(str::to_owned),
        topic: Some(publish.topic.clone()),
        source_ip: None,
    };
    let received_ms = chrono::Utc::now().timestamp_millis();
    let raw = RawEvents::of(context, received_ms, [publish.payload.as_ref()]);
    let normalized = normalize_core::normalize(&raw, options);
    ensure!(normalized.events.kind.len() == 1, "{:?}", normalized.reasons);
    let events = OriginEvents { contexts: raw.contexts, context: vec![0], events: normalized.events };
    let event = events.iter().next().context("no event")?;
    let data = serde_json::to_vec(&Record(event))?;
    let mut connection = redis.get().await?;
    redis::cmd("XADD")
        .arg(sample::STREAM)
        .arg("MAXLEN")
        .arg("~")
        .arg(site::LENGTH)
        .arg("*")
        .arg("data")
        .arg(data)
        .arg("severity")
        .arg(event.severity().as_str())
        .arg("source")
        .arg(event.source())
        .arg("category")
        .arg(event.category().as_str())
        .query_async::<String>(&mut *connection)
        .await?;
    Ok(())
}

/// The same JSON as the daemon's, but for the id, which the seeds make at random.
struct Record<'a>(EventView<'a>);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "id",
            &uuid::Builder::from_random_bytes(0x5eed_u128.to_ne_bytes()).into_uuid().to_string(),
        )?;
        map.serialize_entry("source", event.source())?;
        map.serialize_entry("severity", event.severity().as_str())?;
        map.serialize_entry("category", event.category().as_str())?;
        map.serialize_entry("title", event.title())?;
        map.serialize_entry("description", event.description())?;
        map.serialize_entry("fields", &Fields(event))?;
        map.serialize_entry("iocs", &Iocs(event))?;
        map.serialize_entry("mitre_techniques", &event.techniques().collect::<Vec<_>>())?;
        map.serialize_entry("timestamp_ms", &event.timestamp_ms())?;
        map.serialize_entry("device_id", &event.device_id())?;
        map.end()
    }
}

struct Fields<'a>(EventView<'a>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields())
    }
}

struct Iocs<'a>(EventView<'a>);

#[derive(Serialize)]
struct TypeAndValue<'a> {
    r#type: &'a str,
    value: &'a str,
}

impl Serialize for Iocs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let observable = |it: aurora_guest::Observable<'_>| (it.kind.as_str(), it.value.to_owned());
        let all: Vec<_> = self.0.observables().map(observable).collect();
        serializer.collect_seq(all.iter().map(|(r#type, value)| TypeAndValue { r#type, value }))
    }
}
