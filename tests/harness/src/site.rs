//! One site: brokers, a configuration file, the daemon, all in one temporary folder.

use std::{
    fmt::Display,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aurora::cli::demo::brokers::Error;
use tempfile::TempDir;
use toml::Value;

use crate::{
    Broker, Daemon, Entry, Message, PATIENCE, Place, Plan, Proxy, Publisher, Scrape, binary, free_port, read_jetstream,
    read_stream, wait_until,
};

/// A port for the daemon may be taken by the time that it binds it.
const ATTEMPTS: u32 = 5;

/// A running site. Dropping it ends all of it; if that is because of a panic, it shows the daemon's log first.
#[derive(Debug)]
pub struct Site {
    /// First, so that it goes before the brokers that it speaks to.
    pub(crate) daemon: Option<Daemon>,
    pub(crate) proxies: Vec<(Place, Proxy)>,
    /// The MQTT broker.
    pub mqtt: Broker,
    /// Redis.
    pub redis: Broker,
    /// NATS.
    pub nats: Option<Broker>,
    pub(crate) plan: Plan,
    pub(crate) folder: TempDir,
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

    /// Changes a setting for the next start of the daemon.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.plan.settings.push((key.to_owned(), value.into()));
    }

    pub(crate) fn url(&self, place: Place) -> Result<String> {
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

    /// What is at `path` of the admin listener, for anybody.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub async fn look(&self, path: &str) -> Result<String> {
        let daemon = self.daemon.as_ref().context("the daemon was not started")?;
        Ok(daemon.get(path).await.map_err(anyhow::Error::msg)?.body)
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
