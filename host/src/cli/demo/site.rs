//! A whole site in one temporary folder: three brokers, a configuration file, and the daemon.

use std::{
    fmt::Write as _,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::{
    brokers::{Broker, Mosquitto, Nats, Redis, Setup, free_port},
    daemon::Daemon,
    own::{Own, topics},
    samples::COLLECTORS,
};
use crate::cli::stock;

/// How long the daemon may take: a first start compiles three guests.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(15);

/// What `aurora demo` starts. Dropping it ends all of it and removes the folder.
#[derive(Debug)]
pub struct Site {
    /// The daemon. First, so that it goes before the brokers that it speaks to.
    pub daemon: Daemon,
    /// The MQTT broker.
    pub mqtt: Broker,
    /// Redis.
    pub redis: Broker,
    /// NATS.
    pub nats: Broker,
    /// From the start of the daemon to its word that it is ready.
    pub ready_after: Duration,
    /// Its configuration.
    pub configuration: PathBuf,
    /// File with the token that its page and its guests take.
    pub token: PathBuf,
    _folder: TempDir,
}

impl Site {
    /// Starts everything and waits until the daemon is ready.
    ///
    /// # Errors
    /// A broker is not installed, a guest is missing, or something does not come up.
    pub async fn start(guests: Option<&Path>, own: &[Own]) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("cannot find the program itself")?;
        let guests = stock::folder(guests)?;
        let folder =
            tempfile::Builder::new().prefix("aurora-demo-").tempdir().context("cannot make a temporary folder")?;
        let at = |name: &str| folder.path().join(name);
        let mqtt = Broker::start(Setup::Mosquitto(Mosquitto::default()), &at("mosquitto")).await?;
        let redis = Broker::start(Setup::Redis(Redis::default()), &at("redis")).await?;
        let nats = Broker::start(Setup::Nats(Nats::default()), &at("nats")).await?;

        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let configuration = at("aurora.toml");
        std::fs::write(&configuration, text(&mqtt, &redis, &nats, &guests, own, admin))
            .context("cannot write the configuration")?;
        std::fs::write(at(TOKEN), random()?).context("cannot write the token")?;
        let began = Instant::now();
        let mut daemon = Daemon::start(&binary, &configuration, admin, &at("aurora.log"))?;
        daemon.ready(READY).await?;
        let (ready_after, token) = (began.elapsed(), at(TOKEN));
        Ok(Self { daemon, mqtt, redis, nats, ready_after, configuration, token, _folder: folder })
    }

    /// Ends the daemon, then the brokers, each in its own good order.
    ///
    /// # Errors
    /// The daemon did not end well; the error has the end of its log.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let status = self.daemon.stop(GRACE).await?;
        for broker in [&mut self.mqtt, &mut self.redis, &mut self.nats] {
            broker.stop().await?;
        }
        if !status.success() {
            let log = self.daemon.log();
            let lines: Vec<&str> = log.lines().collect();
            bail!("the daemon ended with {status}:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        Ok(())
    }
}

fn text(mqtt: &Broker, redis: &Broker, nats: &Broker, guests: &Path, own: &[Own], admin: SocketAddr) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    // Writing to a String cannot fail.
    let mut text = String::from("[site]\nid = \"demo\"\n");
    let _ = write!(text, "\n[mqtt]\nurl = {}\nclient_id = \"aurora-demo\"\n", quoted(&mqtt.url()));
    let devices = [
        "aurora/sensors/+/alerts",
        "aurora/sensors/+/status",
        "aurora/sensors/+/telemetry",
        "aurora/attestation/+/response",
    ];
    for topic in devices {
        let _ = write!(text, "[[mqtt.subscriptions]]\ntopic = {}\nqos = 1\n", quoted(topic));
    }
    for (topic, format, source) in COLLECTORS {
        let [topic, format, source] = [topic, format, source].map(quoted);
        let _ =
            write!(text, "[[mqtt.subscriptions]]\ntopic = {topic}\nqos = 1\nformat = {format}\nsource = {source}\n");
    }
    for (topic, source) in topics(own) {
        let [topic, source] = [&topic, source].map(quoted);
        let _ =
            write!(text, "[[mqtt.subscriptions]]\ntopic = {topic}\nqos = 1\nformat = \"auto\"\nsource = {source}\n");
    }
    let _ = write!(text, "\n[redis]\nurl = {}\n", quoted(&redis.url()));
    let _ = write!(text, "\n[nats]\nurl = {}\n", quoted(&nats.url()));
    for stage in ["normalize", "route", "federate"] {
        let guest = guests.join(format!("{stage}-core.wasm"));
        let _ = write!(text, "\n[guests.{stage}]\npath = {}\n", quoted(&guest.display().to_string()));
    }
    own.iter().for_each(|own| text += &own.rule());
    let _ = write!(text, "\n[admin]\nlisten = {}\ntoken_file = \"{TOKEN}\"\n", quoted(&admin.to_string()));
    text.push_str("\n[guests]\ncache = \"cache\"\n");
    text
}

/// Beside the configuration, in a folder that nobody else can look into.
const TOKEN: &str = "token";

/// One that nobody guesses: who has it chooses what runs.
fn random() -> anyhow::Result<String> {
    let mut random = [0; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).context("no random bytes")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_configuration_is_one_that_the_daemon_understands() {
        let folder = tempfile::tempdir().unwrap();
        let redis = Broker::start(Setup::Redis(Redis::default()), folder.path()).await.unwrap();
        let admin = SocketAddr::from(([127, 0, 0, 1], 1));
        std::fs::write(folder.path().join("acme.wasm"), "").unwrap();
        let own = format!("route={}", folder.path().join("acme.wasm").display()).parse().unwrap();
        let text = text(&redis, &redis, &redis, Path::new("/with \"quotes\""), &[own], admin);
        let config: crate::config::Config = toml::from_str(&text).unwrap();
        assert_eq!(config.site.id, "demo");
        assert_eq!(config.admin.token_file.as_deref(), Some(Path::new(TOKEN)));
        assert!(config.guests.cache.is_some(), "what is installed would be gone after a restart");
        assert_eq!(config.guests.route.path, Path::new("/with \"quotes\"/route-core.wasm"));
        assert_eq!(config.mqtt.unwrap().subscriptions.len(), 4 + COLLECTORS.len() + 1);
        assert_eq!(config.guests.route.rules[0].name, "acme");
    }
}
