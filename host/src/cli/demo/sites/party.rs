//! One of the two sites.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use redis::{AsyncTypedCommands as _, aio::MultiplexedConnection, streams::StreamRangeReply};
use serde_json::Value;

use super::super::{
    brokers::{Broker, Mosquitto, Redis, Setup, free_port},
    daemon::Daemon,
    own::Own,
    publisher::Publisher,
};

/// How long the daemon may take: a first start compiles three guests.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(15);
/// How long the MQTT broker may take to acknowledge a message.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Where its sensor publishes.
pub(super) const TOPIC: &str = "collectors/suricata";

/// A site. Dropping it ends all of it.
#[derive(Debug)]
pub(super) struct Party {
    pub name: &'static str,
    /// First, so that it goes before the brokers that it speaks to.
    pub daemon: Daemon,
    mqtt: Broker,
    redis: Broker,
    configuration: PathBuf,
}

/// An entry of a stream.
#[derive(Debug)]
pub(super) struct Entry {
    /// The event, JSON.
    pub event: Value,
    /// The site that it comes from; empty where it is this one.
    pub origin: String,
    /// Who let it in and why, where a guest did.
    pub judged: String,
}

/// A dead letter of what another site sent.
#[derive(Debug)]
pub(super) struct Refused {
    pub stage: String,
    pub reason: String,
    /// What it was, as `alert` or `ioc`.
    pub channel: String,
}

/// Streams that messages of other sites go to.
const STREAMS: [&str; 6] = [
    "aurora:alerts",
    "aurora:cps:alerts",
    "aurora:cps:attestation",
    "aurora:federation:agent_results",
    "aurora:federation:audit",
    "aurora:federation:soar",
];

/// An entry of a stream, its fields as text.
type Fields = HashMap<String, String>;

impl Entry {
    /// A field of the event.
    pub fn field(&self, name: &str) -> &str {
        self.event["fields"][name].as_str().unwrap_or_default()
    }

    /// A text of the event.
    pub fn text(&self, name: &str) -> &str {
        self.event[name].as_str().unwrap_or_default()
    }
}

impl Party {
    /// Starts it in a folder of its own below `folder`, and waits until its daemon is ready. What other sites send is judged
    /// by `judge`.
    pub async fn start(
        name: &'static str,
        folder: &Path,
        guests: &Path,
        nats: &Broker,
        judge: Option<&Own>,
    ) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("cannot find the program itself")?;
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).context("cannot make a folder")?;
        let mqtt = Broker::start(Setup::Mosquitto(Mosquitto::default()), &folder.join("mosquitto")).await?;
        let redis = Broker::start(Setup::Redis(Redis::default()), &folder.join("redis")).await?;
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let configuration = folder.join("aurora.toml");
        let text = text(name, &mqtt, &redis, nats, guests, admin) + &judge.map(Own::section).unwrap_or_default();
        std::fs::write(&configuration, text).context("cannot write the configuration")?;
        let mut daemon = Daemon::start(&binary, &configuration, admin, &folder.join("aurora.log"))?;
        daemon.ready(READY).await.with_context(|| format!("{name} does not come up"))?;
        let party = Self { name, daemon, mqtt, redis, configuration };
        party.is_reading().await?;
        Ok(party)
    }

    /// Waits until it reads what the other shares: the stream is made by whoever comes first.
    async fn is_reading(&self) -> anyhow::Result<()> {
        let began = std::time::Instant::now();
        while !self.daemon.log().contains("is taken in") {
            ensure!(began.elapsed() < READY, "{} does not read what the other site shares", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Has its sensor publish `payload`.
    pub async fn see(&self, payload: String) -> anyhow::Result<()> {
        let mut publisher = Publisher::connect(self.mqtt.port(), &format!("aurora-demo-{}", self.name), None);
        publisher.publish(TOPIC, 1, payload).await?;
        Ok(publisher.acknowledged(ACKNOWLEDGED).await?)
    }

    /// Its stream of alerts.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Entry>> {
        let entries = self.entries("aurora:alerts").await?.into_iter().map(|fields| Entry {
            event: serde_json::from_str(text_of(&fields, "data")).unwrap_or_default(),
            origin: text_of(&fields, "origin").to_owned(),
            judged: judged(&fields),
        });
        Ok(entries.collect())
    }

    /// What other sites sent that has become dead letters, newest last.
    pub async fn refused(&self) -> anyhow::Result<Vec<Refused>> {
        let letters = self.entries("aurora:dead_letter").await?.into_iter();
        let foreign = letters.filter(|fields| text_of(fields, "source").starts_with("aurora:federation:"));
        let refused = foreign.map(|fields| Refused {
            stage: text_of(&fields, "stage").to_owned(),
            reason: text_of(&fields, "reason").to_owned(),
            channel: text_of(&fields, "channel").to_owned(),
        });
        Ok(refused.collect())
    }

    /// Where the event that speaks of `id` is stored, how severe it is there, and why it was let in.
    pub async fn stored(&self, id: &str) -> anyhow::Result<Option<(&'static str, String, String)>> {
        for stream in STREAMS {
            let entries = self.entries(stream).await?;
            if let Some(fields) = entries.iter().rev().find(|fields| text_of(fields, "data").contains(id)) {
                return Ok(Some((stream, text_of(fields, "severity").to_owned(), judged(fields))));
            }
        }
        Ok(None)
    }

    /// What has become of messages of other sites, and how often.
    pub async fn passages(&self) -> anyhow::Result<Vec<(String, f64)>> {
        let metrics = self.daemon.get("/metrics").await.map_err(anyhow::Error::msg)?.body;
        let passage = |line: &str| {
            let (what, count) = line.strip_prefix(PASSAGES)?.split_once("\"} ")?;
            Some((what.to_owned(), count.trim().parse().ok()?))
        };
        Ok(metrics.lines().filter_map(passage).collect())
    }

    async fn entries(&self, stream: &str) -> anyhow::Result<Vec<Fields>> {
        let mut redis = self.redis().await?;
        let reply: StreamRangeReply =
            redis.xrange_all(stream).await.with_context(|| format!("cannot read {stream} of {}", self.name))?;
        let text = |(name, value): (String, redis::Value)| {
            Some((name, String::from_utf8_lossy(&redis::from_redis_value::<Vec<u8>>(value).ok()?).into_owned()))
        };
        Ok(reply.ids.into_iter().map(|entry| entry.map.into_iter().filter_map(text).collect()).collect())
    }

    async fn redis(&self) -> anyhow::Result<MultiplexedConnection> {
        let client = redis::Client::open(self.redis.url()).context("cannot read the Redis address")?;
        client.get_multiplexed_async_connection().await.context("cannot reach Redis")
    }

    /// What its daemon has counted.
    pub async fn counted(&self, series: &str) -> anyhow::Result<f64> {
        let metrics = self.daemon.get("/metrics").await.map_err(anyhow::Error::msg)?.body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        Ok(value.unwrap_or_default())
    }

    /// What a visitor may try.
    pub fn hints(&self) -> Vec<String> {
        let Self { name, configuration, mqtt, daemon, .. } = self;
        let config = configuration.display();
        vec![
            format!("  {name}: page http://{}/", daemon.admin()),
            format!("  mosquitto_pub -p {} -t {TOPIC} -m '{{\"event_type\":\"alert\",…}}'", mqtt.port()),
            format!("  aurora intel list --config {config}"),
            format!("  aurora tap --config {config}"),
        ]
    }

    /// Ends it in good order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let status = self.daemon.stop(GRACE).await?;
        self.mqtt.stop().await?;
        self.redis.stop().await?;
        ensure!(status.success(), "the daemon of {} ended with {status}", self.name);
        Ok(())
    }
}

/// What begins the series that count messages of other sites.
const PASSAGES: &str = "aurora_federation_in_total{stream=\"AURORA\",what=\"";

fn text_of<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map(String::as_str).unwrap_or_default()
}

/// Which guest let an event of another site in, and why.
fn judged(fields: &Fields) -> String {
    let provenance: Value = serde_json::from_str(text_of(fields, "provenance")).unwrap_or_default();
    let why = provenance["route"].as_str().unwrap_or_default();
    let why = why.split_once("; ").map_or(why, |(_, why)| why);
    match provenance["guests"][0].as_str() {
        Some(guest) => format!("{why} (by {guest})"),
        None => why.to_owned(),
    }
}

fn text(name: &str, mqtt: &Broker, redis: &Broker, nats: &Broker, guests: &Path, admin: SocketAddr) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let [mqtt, redis, nats, admin] = [mqtt.url(), redis.url(), nats.url(), admin.to_string()].map(|url| quoted(&url));
    let mut text = format!(
        "[site]\nid = \"{name}\"\n\n[mqtt]\nurl = {mqtt}\n[[mqtt.subscriptions]]\ntopic = \"{TOPIC}\"\nqos = 1\n\
         format = \"json\"\nsource = \"suricata\"\n\n[redis]\nurl = {redis}\n\n[nats]\nurl = {nats}\n\n\
         [federation.in]\n\n[intel]\n\n[admin]\nlisten = {admin}\n\n[guests]\ncache = \"cache\"\n"
    );
    for stage in ["normalize", "route", "federate"] {
        let guest = guests.join(format!("{stage}-core.wasm"));
        // Writing to a String cannot fail.
        let _ = write!(text, "\n[guests.{stage}]\npath = {}\n", quoted(&guest.display().to_string()));
    }
    text
}
