//! Private brokers: Debian's own `mosquitto`, `redis-server` and `nats-server` as child processes, on free loopback
//! ports, with everything they write in one folder. `aurora demo` runs on them, and so do the tests.
//!
//! A broker that runs as a service on this machine is never spoken to, let alone stopped.

mod child;
mod mosquitto;
mod nats;
mod port;
mod redis;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use child::{Child, Error, Program};
pub use mosquitto::{Mosquitto, Persistence, Tls};
pub use nats::Nats;
pub use port::free_port;
pub use redis::{Fsync, Redis};
use rustix::process::Signal;

/// How long a broker may take until it answers. Redis with a large append-only file is the slowest.
const READY: Duration = Duration::from_secs(20);
/// How long a broker may take to end after SIGTERM: mosquitto and Redis save what they hold.
const STOP: Duration = Duration::from_secs(10);
/// A port that was free may be taken by the time that the broker binds it.
const ATTEMPTS: u32 = 8;

/// Which broker, and how it is set up.
#[derive(Clone, Debug)]
pub enum Setup {
    /// MQTT.
    Mosquitto(Mosquitto),
    /// Redis.
    Redis(Redis),
    /// NATS with JetStream.
    Nats(Nats),
}

impl Setup {
    fn program(&self) -> Program {
        match self {
            Self::Mosquitto(_) => mosquitto::PROGRAM,
            Self::Redis(_) => redis::PROGRAM,
            Self::Nats(_) => nats::PROGRAM,
        }
    }

    /// Text of the configuration file.
    fn configuration(&self, folder: &Path, port: u16) -> Result<String, Error> {
        match self {
            Self::Mosquitto(setup) => setup.configuration(folder, port),
            Self::Redis(setup) => Ok(setup.configuration(folder, port)),
            Self::Nats(setup) => Ok(setup.configuration(folder, port)),
        }
    }

    fn arguments(&self, configuration: PathBuf) -> Vec<PathBuf> {
        match self {
            Self::Redis(_) => vec![configuration],
            Self::Mosquitto(_) | Self::Nats(_) => vec!["-c".into(), configuration],
        }
    }

    /// What the broker writes to its log once it listens. The log is our own child's, so unlike an answer on the port
    /// it cannot come from a stranger who took the port first.
    fn ready_line(&self) -> &'static str {
        match self {
            Self::Mosquitto(_) => " running",
            Self::Redis(_) => "Ready to accept connections",
            Self::Nats(_) => "Server is ready",
        }
    }

    async fn answers(&self, port: u16) -> Result<(), String> {
        match self {
            Self::Mosquitto(setup) => setup.answers(port).await,
            Self::Redis(_) => redis::answers(port).await,
            Self::Nats(_) => nats::answers(port).await,
        }
    }

    /// What clients connect to; the user and password of the setup are not in it.
    fn url(&self, port: u16) -> String {
        match self {
            Self::Mosquitto(setup) if setup.tls.is_some() => format!("mqtts://localhost:{port}"),
            Self::Mosquitto(_) => format!("mqtt://127.0.0.1:{port}"),
            Self::Redis(setup) => match &setup.password {
                Some(password) => format!("redis://:{password}@127.0.0.1:{port}"),
                None => format!("redis://127.0.0.1:{port}"),
            },
            Self::Nats(_) => format!("nats://127.0.0.1:{port}"),
        }
    }
}

/// A broker of our own. It ends when this is dropped, and with this process however that ends.
#[derive(Debug)]
pub struct Broker {
    setup: Setup,
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Broker {
    /// Starts a broker that keeps its files in `folder`, and waits until it answers.
    ///
    /// # Errors
    /// The program is not installed, or it ended or kept silent; the error shows the end of its log.
    pub async fn start(setup: Setup, folder: &Path) -> Result<Self, Error> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            match launch(&setup, folder, port).await {
                Ok(child) => return Ok(Self { setup, folder: folder.to_owned(), port, child }),
                Err(error) if error.is_port_taken() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(Error::NoFreePort))
    }

    /// The loopback port, the same over all restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        self.setup.url(self.port)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What it has logged, over all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Ends it as an operator would, and waits until it has gone.
    ///
    /// # Errors
    /// It could not be signalled.
    pub async fn stop(&mut self) -> Result<(), Error> {
        self.child.stop(STOP).await.map(drop)
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Stops it in its tracks: connections stay open and nothing answers, as behind a dead network.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.child.signal(Signal::STOP)
    }

    /// The end of [`pause`](Self::pause).
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.child.signal(Signal::CONT)
    }

    /// As [`restart`](Self::restart), on another port: what a failover to another address looks like.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn restart_elsewhere(&mut self) -> Result<(), Error> {
        self.stop().await?;
        *self = Self::start(self.setup.clone(), &self.folder).await?;
        Ok(())
    }

    /// Starts it again with what it had stored, on the same port; ends it first if it still runs.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await?;
        self.child = launch(&self.setup, &self.folder, self.port).await?;
        Ok(())
    }
}

async fn launch(setup: &Setup, folder: &Path, port: u16) -> Result<Child, Error> {
    let program = setup.program();
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|source| Error::File { path: path.to_owned(), source })
    };
    std::fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
    let configuration = folder.join(program.name).with_extension("conf");
    write(&configuration, &setup.configuration(folder, port)?)?;
    if let Setup::Redis(_) = setup {
        redis::mend(folder).await?;
    }

    let mut child = Child::start(
        program.name,
        &program.find()?,
        setup.arguments(configuration),
        &folder.join(program.name).with_extension("log"),
    )?;
    let logged_before = child.log_offset();
    child
        .wait_until(READY, async |child| {
            if !child.log_from(logged_before).contains(setup.ready_line()) {
                return Err(format!("no `{}` in its log", setup.ready_line().trim()));
            }
            setup.answers(port).await
        })
        .await?;
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn start(setup: Setup, folder: &tempfile::TempDir) -> Broker {
        Broker::start(setup, folder.path()).await.unwrap()
    }

    #[tokio::test]
    async fn redis_keeps_its_data_and_its_port_over_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let setup = Redis { fsync: Fsync::Always, ..Redis::default() };
        let mut broker = start(Setup::Redis(setup), &folder).await;
        let port = broker.port();
        let client = ::redis::Client::open(broker.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: () = ::redis::cmd("SET").arg("kept").arg(1).query_async(&mut connection).await.unwrap();

        broker.kill();
        broker.restart().await.unwrap();

        assert_eq!(broker.port(), port);
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let kept: Option<u32> = ::redis::cmd("GET").arg("kept").query_async(&mut connection).await.unwrap();
        assert_eq!(kept, Some(1));
    }

    #[tokio::test]
    async fn nats_has_jetstream_with_room_for_the_stream() {
        let folder = tempfile::tempdir().unwrap();
        let broker = start(Setup::Nats(Nats::default()), &folder).await;
        let jetstream = async_nats::jetstream::new(async_nats::connect(broker.url()).await.unwrap());
        let stream = async_nats::jetstream::stream::Config {
            name: "AURORA".to_owned(),
            max_bytes: 10 << 30,
            ..Default::default()
        };
        jetstream.create_stream(stream).await.unwrap();
    }

    #[tokio::test]
    async fn mosquitto_turns_away_a_wrong_password() {
        let folder = tempfile::tempdir().unwrap();
        let login = Some(("edge".to_owned(), "right".to_owned()));
        let broker = start(Setup::Mosquitto(Mosquitto { login, ..Mosquitto::default() }), &folder).await;
        for (password, accepted) in [("right", true), ("wrong", false)] {
            let mut options = rumqttc::MqttOptions::new("client", "127.0.0.1", broker.port());
            options.set_credentials("edge", password);
            let (_client, mut connection) = rumqttc::AsyncClient::new(options, 4);
            assert_eq!(connection.poll().await.is_ok(), accepted, "{password}");
        }
    }

    #[tokio::test]
    async fn a_stolen_port_is_no_answer_from_our_broker() {
        let folder = tempfile::tempdir().unwrap();
        let thief = start(Setup::Redis(Redis::default()), &folder).await;
        let other = tempfile::tempdir().unwrap();
        let error = launch(&Setup::Redis(Redis::default()), other.path(), thief.port()).await.unwrap_err();
        assert!(error.is_port_taken(), "{error}");
    }
}
