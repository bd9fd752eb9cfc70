//! Private brokers, the daemon's configuration, and the count of what came out.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use aurora::cli::demo::{
    brokers::{Broker, Fsync, Mosquitto, Nats, Persistence, Redis, Setup, free_port},
    daemon::Daemon,
};
use tempfile::TempDir;

use crate::sample;

/// How long the daemon may take to come up or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Client id of whoever takes the events.
pub const CLIENT: &str = "aurora-bench";

/// Never reached, so that everything can be counted; trimming is asked for with each entry all the same.
pub const LENGTH: u64 = 10_000_000;

/// The brokers of one run, new and empty.
pub struct Site {
    pub mqtt: Broker,
    pub redis: Broker,
    pub nats: Option<Broker>,
    pub folder: TempDir,
    qos: u8,
    settings: String,
}

impl Site {
    /// Starts brokers; NATS only if something is to be `shared`. The daemon gets `settings`, lines of TOML.
    pub async fn start(qos: u8, shared: bool, settings: &[String]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("aurora-bench-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        // What is queued is lost with the broker, which does not happen here; saving it would take the cores.
        let mosquitto = Mosquitto { persistence: Persistence::None, max_inflight: 20_000, ..Mosquitto::default() };
        let mqtt = Broker::start(Setup::Mosquitto(mosquitto), &at("mosquitto")).await?;
        // As the README asks for, but for the sync before each answer: that measures the disk.
        let redis = Redis { fsync: Fsync::EverySecond, ..Redis::default() };
        let redis = Broker::start(Setup::Redis(redis), &at("redis")).await?;
        let nats = match shared {
            true => Some(Broker::start(Setup::Nats(Nats::default()), &at("nats")).await?),
            false => None,
        };
        Ok(Self { mqtt, redis, nats, folder, qos, settings: settings.join("\n") })
    }

    /// Starts the daemon, compiled guests being kept in `cache`, and returns at once.
    pub fn launch(&self, cache: &Path) -> Result<Daemon> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let configuration = self.folder.path().join("aurora.toml");
        std::fs::write(&configuration, self.configuration(admin, cache)?)?;
        let binary = Path::new(env!("CARGO_BIN_EXE_aurora"));
        Ok(Daemon::start(binary, &configuration, admin, &self.folder.path().join("aurora.log"))?)
    }

    /// Starts the daemon and waits until it is ready.
    pub async fn ready(&self) -> Result<Daemon> {
        let mut daemon = self.launch(&cache())?;
        daemon.ready(PATIENCE).await?;
        Ok(daemon)
    }

    /// Ends the daemon, which must end well and leave nothing.
    pub async fn end(&self, mut daemon: Daemon) -> Result<()> {
        let status = daemon.stop(PATIENCE).await?;
        let log = daemon.log();
        ensure!(status.success() && log.contains("left_for_redelivery=0"), "the daemon ended with {status}:\n{log}");
        Ok(())
    }

    /// A connection to Redis. Not an async one: whoever looks at the clock wants no other task beside it.
    pub fn redis(&self) -> Result<redis::Connection> {
        Ok(redis::Client::open(self.redis.url())?.get_connection()?)
    }

    /// JetStream, as a client sees it.
    pub async fn jetstream(&self) -> Result<Option<async_nats::jetstream::Context>> {
        let Some(nats) = &self.nats else { return Ok(None) };
        let client = async_nats::connect(nats.url()).await.context("cannot connect to NATS")?;
        Ok(Some(async_nats::jetstream::new(client)))
    }

    /// Holds what came out against what went in: every event below `events` once, and nothing else.
    pub async fn count(&self, events: u64) -> Result<()> {
        let mut redis = self.redis()?;
        let mut seen = vec![false; events as usize];
        let mut after = "-".to_owned();
        loop {
            let page: Vec<(String, Vec<Vec<u8>>)> = redis::cmd("XRANGE")
                .arg(sample::STREAM)
                .arg(&after)
                .arg("+")
                .arg("COUNT")
                .arg(5000)
                .query(&mut redis)?;
            let Some((last, _)) = page.last() else { break };
            after = format!("({last}");
            for (entry, fields) in &page {
                let data = fields.get(1).map(Vec::as_slice).unwrap_or_default();
                let index = sample::index(data).with_context(|| format!("entry {entry} is none of ours"))?;
                let slot = seen.get_mut(index as usize).with_context(|| format!("event {index} was never sent"))?;
                ensure!(!std::mem::replace(slot, true), "event {index} is in the stream twice");
            }
        }
        if let Some(index) = seen.iter().position(|seen| !seen) {
            bail!("event {index} is lost, and perhaps more");
        }
        for stream in ["aurora:dead_letter", "aurora:outbox"] {
            let entries: u64 = redis::cmd("XLEN").arg(stream).query(&mut redis)?;
            ensure!(entries == 0, "{entries} entries in {stream}");
        }
        if let Some(jetstream) = self.jetstream().await? {
            let (messages, shared) =
                (messages(&jetstream).await, (0..events).filter(|&i| sample::is_shared(i)).count());
            ensure!(messages == shared as u64, "{messages} messages in JetStream instead of {shared}");
        }
        Ok(())
    }

    fn configuration(&self, admin: SocketAddr, cache: &Path) -> Result<String> {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let mut text = format!(
            "[site]\nid = \"bench\"\n[admin]\nlisten = \"{admin}\"\n[redis]\nurl = \"{}\"\n[redis.streams]\n{} = {LENGTH}\n\
             [mqtt]\nurl = \"{}\"\nclient_id = \"{CLIENT}\"\n[[mqtt.subscriptions]]\ntopic = \"{}\"\nqos = {}\n\
             format = \"json\"\nsource = \"suricata\"\n[guests]\ncache = {}\n",
            self.redis.url(),
            quoted(sample::STREAM),
            self.mqtt.url(),
            sample::FILTER,
            self.qos,
            quoted(&cache.display().to_string()),
        );
        if let Some(nats) = &self.nats {
            text += &format!("[nats]\nurl = \"{}\"\n", nats.url());
        }
        for stage in ["normalize", "route", "federate"] {
            let guest = target()?.join("guests").join(format!("{stage}-core.wasm"));
            ensure!(guest.is_file(), "{} is not built; `make guests` builds it", guest.display());
            text += &format!("[guests.{stage}]\npath = {}\n", quoted(&guest.display().to_string()));
        }
        let mut table: toml::Table = text.parse()?;
        merge(&mut table, self.settings.parse().context("--set wants TOML")?);
        Ok(table.to_string())
    }
}

fn merge(table: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => merge(inner, over),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// Messages in the stream `AURORA`; none where there is no such stream yet.
pub async fn messages(jetstream: &async_nats::jetstream::Context) -> u64 {
    match jetstream.get_stream("AURORA").await {
        Ok(stream) => stream.cached_info().state.messages,
        Err(_) => 0,
    }
}

/// Folder of compiled guests that lasts for this bench.
pub fn cache() -> PathBuf {
    use std::sync::OnceLock;
    static CACHE: OnceLock<Option<TempDir>> = OnceLock::new();
    let made = CACHE.get_or_init(|| tempfile::Builder::new().prefix("aurora-bench-cache-").tempdir().ok());
    made.as_ref().map_or_else(std::env::temp_dir, |made| made.path().join("guests"))
}

/// The folder of the build that this bench is part of.
fn target() -> Result<PathBuf> {
    // target/release/aurora
    let daemon = Path::new(env!("CARGO_BIN_EXE_aurora"));
    daemon.ancestors().nth(2).map(Path::to_owned).context("the daemon is not in a build folder")
}
