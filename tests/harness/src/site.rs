//! One site: brokers, a configuration file, the daemon, all in one temporary folder.

use std::{
    fmt::Display,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aurora::cli::demo::brokers::Error;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::{
    Broker, Daemon, Entry, Message, Mosquitto, Nats, PATIENCE, Proxy, Publisher, Redis, Scrape, Setup, binary,
    free_port, guest_cache, read_jetstream, read_stream, stock_guest, wait_until,
};

/// A port for the daemon may be taken by the time that it binds it.
const ATTEMPTS: u32 = 5;

/// A broker, as seen from the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The MQTT broker.
    Mqtt,
    /// Redis.
    Redis,
    /// NATS.
    Nats,
}

/// What is different from an ordinary site: the stock guests, three brokers, every default.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    mosquitto: Mosquitto,
    redis: Redis,
    nats: Nats,
    no_nats: bool,
    proxied: Vec<Place>,
    tapped: bool,
    under: Vec<String>,
    environment: Vec<(String, String)>,
    subscriptions: Vec<Value>,
    /// Dotted keys, in order; a later one wins.
    settings: Vec<(String, Value)>,
}

impl Plan {
    /// Sets `key` (`lanes.batch`, `guests.normalize.path`) in the configuration file.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    /// One more subscription; the first one replaces the default ones.
    #[must_use]
    pub fn subscribe(mut self, topic: &str, qos: u8, format: &str, source: &str) -> Self {
        let subscription = Table::from_iter([
            ("topic".to_owned(), Value::from(topic)),
            ("qos".to_owned(), i64::from(qos).into()),
            ("format".to_owned(), format.into()),
            ("source".to_owned(), source.into()),
        ]);
        self.subscriptions.push(subscription.into());
        self
    }

    /// Another guest for `stage`.
    #[must_use]
    pub fn guest(self, stage: &str, path: &Path) -> Self {
        self.set(&format!("guests.{stage}.path"), path.display().to_string())
    }

    /// Another MQTT broker.
    #[must_use]
    pub fn mosquitto(mut self, mosquitto: Mosquitto) -> Self {
        self.mosquitto = mosquitto;
        self
    }

    /// Another Redis.
    #[must_use]
    pub fn redis(mut self, redis: Redis) -> Self {
        self.redis = redis;
        self
    }

    /// Another NATS server.
    #[must_use]
    pub fn nats(mut self, nats: Nats) -> Self {
        self.nats = nats;
        self
    }

    /// No NATS, and no `[nats]`.
    #[must_use]
    pub fn without_nats(mut self) -> Self {
        self.no_nats = true;
        self
    }

    /// A [`Proxy`] between the daemon and a broker.
    #[must_use]
    pub fn proxied(mut self, place: Place) -> Self {
        self.proxied.push(place);
        self
    }

    /// A [`Proxy`] before MQTT that knows what was handed over.
    #[must_use]
    pub fn tapped(mut self) -> Self {
        self.tapped = true;
        self.proxied(Place::Mqtt)
    }

    /// The daemon is started by `program`, which gets it with its arguments after its own `arguments` and becomes it.
    /// `{site}` among them is the folder of the site.
    #[must_use]
    pub fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        self.under = std::iter::once(&program).chain(arguments).map(|&text| text.to_owned()).collect();
        self
    }

    /// A variable of the daemon's environment. `{site}` in it is the folder of the site.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the brokers, then the daemon, and waits until it is ready.
    ///
    /// # Errors
    /// Something does not come up; the error has the end of its log.
    pub async fn start(self) -> Result<Site> {
        let mut site = self.brokers().await?;
        site.start_daemon().await?;
        Ok(site)
    }

    /// Starts the brokers only: for what must be there before the daemon, or for a daemon that must not come up.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn brokers(self) -> Result<Site> {
        let folder = tempfile::Builder::new().prefix("aurora-test-").tempdir().context("no temporary folder")?;
        let at = |name: &str| folder.path().join(name);
        let mqtt = Broker::start(Setup::Mosquitto(self.mosquitto.clone()), &at("mosquitto")).await?;
        let redis = Broker::start(Setup::Redis(self.redis.clone()), &at("redis")).await?;
        let nats = match self.no_nats {
            true => None,
            false => Some(Broker::start(Setup::Nats(self.nats.clone()), &at("nats")).await?),
        };
        let mut proxies = Vec::new();
        for &place in &self.proxied {
            let upstream = match place {
                Place::Mqtt => mqtt.port(),
                Place::Redis => redis.port(),
                Place::Nats => nats.as_ref().context("a proxy before no NATS")?.port(),
            };
            let tapped = self.tapped && place == Place::Mqtt;
            let proxy = if tapped { Proxy::start_tapped(upstream).await? } else { Proxy::start(upstream).await? };
            proxies.push((place, proxy));
        }
        Ok(Site { daemon: None, proxies, mqtt, redis, nats, plan: self, folder })
    }
}

/// A running site. Dropping it ends all of it; if that is because of a panic, it shows the daemon's log first.
#[derive(Debug)]
pub struct Site {
    /// First, so that it goes before the brokers that it speaks to.
    daemon: Option<Daemon>,
    proxies: Vec<(Place, Proxy)>,
    /// The MQTT broker.
    pub mqtt: Broker,
    /// Redis.
    pub redis: Broker,
    /// NATS.
    pub nats: Option<Broker>,
    plan: Plan,
    folder: TempDir,
}

impl Site {
    /// An ordinary site, to be changed.
    #[must_use]
    pub fn plan() -> Plan {
        Plan::default()
    }

    /// Starts the daemon, again if it ran before, and waits until it is ready.
    ///
    /// # Errors
    /// It does not come up; the error has the end of its log.
    pub async fn start_daemon(&mut self) -> Result<()> {
        self.launch_daemon()?;
        for _ in 1..ATTEMPTS {
            match self.daemon()?.ready(PATIENCE).await {
                Err(error @ Error::Ended { .. }) if error.is_port_taken() => self.launch_daemon()?,
                ready => return ready.context("the daemon does not come up"),
            }
        }
        Ok(self.daemon()?.ready(PATIENCE).await?)
    }

    /// Starts the daemon and waits for nothing.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch_daemon(&mut self) -> Result<()> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let configuration = self.write_configuration(admin)?;
        let here = |text: &String| text.replace("{site}", &self.folder.path().display().to_string());
        let mut words = self.plan.under.iter().map(here);
        let mut command = match words.next() {
            Some(program) => {
                let mut command = Command::new(program);
                command.args(words).arg(binary()?);
                command
            }
            None => Command::new(binary()?),
        };
        command.arg("run").arg("--config").arg(&configuration);
        command.envs(self.plan.environment.iter().map(|(name, value)| (name, here(value))));
        self.daemon = Some(Daemon::start_command(command, admin, &self.folder.path().join("aurora.log"))?);
        Ok(())
    }

    /// A broker.
    ///
    /// # Errors
    /// This site has none of it.
    pub fn broker(&mut self, place: Place) -> Result<&mut Broker> {
        Ok(match place {
            Place::Mqtt => &mut self.mqtt,
            Place::Redis => &mut self.redis,
            Place::Nats => self.nats.as_mut().context("this site has no NATS")?,
        })
    }

    /// Restarts a broker on another port, to which its proxy leads from then on.
    ///
    /// # Errors
    /// It does not come up, or there is no proxy before it.
    pub async fn fail_over(&mut self, place: Place) -> Result<()> {
        self.broker(place)?.restart_elsewhere().await?;
        let port = self.broker(place)?.port();
        self.proxy(place)?.lead_to(port);
        Ok(())
    }

    /// Writes the configuration file, as a daemon with `admin` would get it.
    ///
    /// # Errors
    /// A stock guest is not built, or the file cannot be written.
    pub fn write_configuration(&self, admin: SocketAddr) -> Result<PathBuf> {
        let mut config = Table::new();
        insert(&mut config, "site.id", "test-site".into())?;
        insert(&mut config, "mqtt.url", self.url(Place::Mqtt)?.into())?;
        insert(&mut config, "redis.url", self.url(Place::Redis)?.into())?;
        if self.nats.is_some() {
            insert(&mut config, "nats.url", self.url(Place::Nats)?.into())?;
        }
        insert(&mut config, "admin.listen", admin.to_string().into())?;
        insert(&mut config, "guests.cache", guest_cache()?.display().to_string().into())?;
        // The cache is everybody's, and what proved itself in one test must not stand in for what another one tries.
        for stage in ["normalize", "route", "federate"] {
            insert(&mut config, &format!("guests.{stage}.breaker.last_good"), false.into())?;
        }
        if !self.plan.subscriptions.is_empty() {
            insert(&mut config, "mqtt.subscriptions", self.plan.subscriptions.clone().into())?;
        }
        for (key, value) in &self.plan.settings {
            insert(&mut config, key, value.clone())?;
        }
        for stage in ["normalize", "route", "federate"] {
            let key = format!("guests.{stage}.path");
            if !self.plan.settings.iter().any(|(set, _)| *set == key) {
                insert(&mut config, &key, stock_guest(&format!("{stage}-core"))?.display().to_string().into())?;
            }
        }
        let path = self.folder.path().join("aurora.toml");
        std::fs::write(&path, config.to_string()).context("cannot write the configuration")?;
        Ok(path)
    }

    /// Changes a setting for the next start of the daemon.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.plan.settings.push((key.to_owned(), value.into()));
    }

    fn url(&self, place: Place) -> Result<String> {
        let broker = match place {
            Place::Mqtt => &self.mqtt,
            Place::Redis => &self.redis,
            Place::Nats => self.nats.as_ref().context("this site has no NATS")?,
        };
        Ok(match self.proxies.iter().find(|(before, _)| *before == place) {
            Some((_, proxy)) => broker.url().replace(&broker.port().to_string(), &proxy.port().to_string()),
            None => broker.url(),
        })
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The daemon.
    ///
    /// # Errors
    /// It was never started.
    pub fn daemon(&mut self) -> Result<&mut Daemon> {
        self.daemon.as_mut().context("the daemon was not started")
    }

    /// The proxy before `place`.
    ///
    /// # Errors
    /// The plan has none.
    pub fn proxy(&self, place: Place) -> Result<&Proxy> {
        let proxy = self.proxies.iter().find(|(before, _)| *before == place);
        proxy.map(|(_, proxy)| proxy).with_context(|| format!("no proxy before {place:?}"))
    }

    /// A counting MQTT client of the broker itself.
    #[must_use]
    pub fn publisher(&self, client_id: &str) -> Publisher {
        Publisher::connect(self.mqtt.port(), client_id, None)
    }

    /// Publishes each of `payloads` to `topic`, in order, and waits until the broker has them.
    ///
    /// # Errors
    /// The broker does not take them.
    pub async fn publish<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        qos: u8,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<()> {
        let mut publisher = self.publisher(&format!("test-{}", free_port()?));
        for payload in payloads {
            publisher.publish(topic, qos, payload.as_ref()).await?;
        }
        Ok(publisher.acknowledged(PATIENCE).await?)
    }

    /// All entries of a Redis stream.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn stream(&self, name: &str) -> Result<Vec<Entry>> {
        read_stream(&self.redis.url(), name).await
    }

    /// A Redis string; none if there is no such key.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn redis_value(&self, key: &str) -> Result<Option<String>> {
        let client = redis::Client::open(self.redis.url()).context("cannot read the Redis address")?;
        let mut connection = client.get_multiplexed_async_connection().await.context("cannot reach Redis")?;
        redis::cmd("GET").arg(key).query_async(&mut connection).await.context("cannot read the key")
    }

    /// Waits until a Redis stream has at least `count` entries, and gives all that are there then.
    ///
    /// # Errors
    /// It has fewer in the end; the error has the end of the daemon's log.
    pub async fn stream_of(&self, name: &str, count: usize) -> Result<Vec<Entry>> {
        self.wait_until(&format!("{count} entries in {name}"), async || {
            let entries = self.stream(name).await?;
            ensure!(entries.len() >= count, "{} entries", entries.len());
            Ok(entries)
        })
        .await
    }

    /// All messages of the JetStream stream `AURORA`.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn jetstream(&self) -> Result<Vec<Message>> {
        let nats = self.nats.as_ref().context("this site has no NATS")?;
        read_jetstream(&nats.url(), "AURORA").await
    }

    /// Waits until `AURORA` has at least `count` messages, and gives all that are there then.
    ///
    /// # Errors
    /// As for [`stream_of`](Self::stream_of).
    pub async fn jetstream_of(&self, count: usize) -> Result<Vec<Message>> {
        self.wait_until(&format!("{count} messages in AURORA"), async || {
            let messages = self.jetstream().await?;
            ensure!(messages.len() >= count, "{} messages", messages.len());
            Ok(messages)
        })
        .await
    }

    /// `/metrics`.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub async fn scrape(&self) -> Result<Scrape> {
        let daemon = self.daemon.as_ref().context("the daemon was not started")?;
        Ok(Scrape(daemon.get("/metrics").await.map_err(anyhow::Error::msg)?.body))
    }

    /// What `/readyz` says.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub async fn readiness(&self) -> Result<String> {
        let daemon = self.daemon.as_ref().context("the daemon was not started")?;
        Ok(daemon.get("/readyz").await.map_err(anyhow::Error::msg)?.body)
    }

    /// Waits until a series of `/metrics` is at least `least`.
    ///
    /// # Errors
    /// As for [`stream_of`](Self::stream_of).
    pub async fn series_of(&self, series: &str, least: f64) -> Result<f64> {
        self.wait_until(&format!("{series} at {least}"), async || {
            let value = self.scrape().await?.get(series)?;
            ensure!(value >= least, "{value}");
            Ok(value)
        })
        .await
    }

    /// Waits; see [`wait_until`]. The error has the end of the daemon's log.
    ///
    /// # Errors
    /// It did not happen.
    pub async fn wait_until<T, E: Display>(&self, what: &str, probe: impl AsyncFnMut() -> Result<T, E>) -> Result<T> {
        wait_until(what, PATIENCE, probe)
            .await
            .with_context(|| format!("the end of the daemon's log:\n{}", self.log_end()))
    }

    /// SIGTERM, then waits for the end, which must come within `patience`.
    ///
    /// # Errors
    /// It did not end.
    pub async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        let daemon = self.daemon()?;
        daemon.terminate()?;
        let status = daemon.wait(patience).await;
        status.with_context(|| format!("still running {patience:?} after SIGTERM; its log:\n{}", self.log_end()))
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// The daemon was never started.
    pub fn kill_daemon(&mut self) -> Result<()> {
        self.daemon()?.kill();
        Ok(())
    }

    /// What the daemon has logged since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of the daemon's log:\n{}", self.log_end());
        }
    }
}

/// Puts `value` under a dotted key and makes the tables on the way.
fn insert(table: &mut Table, key: &str, value: Value) -> Result<()> {
    match key.split_once('.') {
        // Names of streams are keys with colons, never dots, so this is enough.
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let inner = inner.as_table_mut().with_context(|| format!("{section} is no section"))?;
            insert(inner, rest, value)
        }
        None => {
            table.insert(key.to_owned(), value);
            Ok(())
        }
    }
}
