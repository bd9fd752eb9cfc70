//! The daemon as a child process: the same binary that a site runs, told only by its configuration file.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::brokers::{Child, Error};

/// An `aurora run` of our own.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    admin: SocketAddr,
}

/// What the admin listener answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: String,
}

impl Daemon {
    /// Starts `binary run --config configuration`; `admin` is the address in that file. Variables of `AURORA_…` that
    /// this process has do not reach it: they are meant for a daemon in earnest.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(binary: &Path, configuration: &Path, admin: SocketAddr, log: &Path) -> Result<Self, Error> {
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(configuration);
        Self::start_command(command, admin, log)
    }

    /// As [`start`](Self::start), by a command that becomes the daemon: in other surroundings than ours.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_command(mut command: Command, admin: SocketAddr, log: &Path) -> Result<Self, Error> {
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("AURORA_")) {
            command.env_remove(key);
        }
        Ok(Self { child: Child::start_command("aurora", &command, log)?, admin })
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    /// It ended, or it is not ready after `patience`: the error has what `/readyz` said last.
    pub async fn ready(&mut self, patience: Duration) -> Result<(), Error> {
        let admin = self.admin;
        self.child
            .wait_until(patience, async |_| match get(admin, "/readyz").await? {
                Answer { status: 200, .. } => Ok(()),
                Answer { status, body } => Err(format!("/readyz says {status}: {}", body.trim())),
            })
            .await
    }

    /// Asks the admin listener.
    ///
    /// # Errors
    /// What failed.
    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        get(self.admin, path).await
    }

    /// Where the admin listener is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What it has logged since this start.
    #[must_use]
    pub fn log(&self) -> String {
        self.child.log_from(self.child.log_offset())
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.exit_status()
    }

    /// SIGTERM; it drains and ends by itself.
    ///
    /// # Errors
    /// It has ended already.
    pub fn terminate(&mut self) -> Result<(), Error> {
        self.child.signal(Signal::TERM)
    }

    /// Waits at most `patience` for its end.
    pub async fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.child.wait(patience).await
    }

    /// SIGTERM, then SIGKILL after `grace`.
    ///
    /// # Errors
    /// It could not be signalled.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus, Error> {
        self.child.stop(grace).await
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill();
    }
}

async fn get(admin: SocketAddr, path: &str) -> Result<Answer, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange)
        .await
        .map_err(|_| format!("http://{admin}{path} does not answer"))?
        .map_err(|error| format!("http://{admin}{path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("not HTTP: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("not HTTP: {head:?}"))?;
    Ok(Answer { status, body: body.to_owned() })
}
