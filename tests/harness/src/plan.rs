//! What is different from an ordinary site.

use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use crate::{Broker, Mosquitto, Nats, Proxy, Redis, Setup, Site};

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
    pub(crate) under: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) subscriptions: Vec<Value>,
    /// Dotted keys, in order; a later one wins.
    pub(crate) settings: Vec<(String, Value)>,
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
