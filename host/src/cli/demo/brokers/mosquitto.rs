use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Error, Program};

pub(super) const PROGRAM: Program = Program { name: "mosquitto", package: "mosquitto" };

/// How a mosquitto is set up.
#[derive(Clone, Debug)]
pub struct Mosquitto {
    /// What survives.
    pub persistence: Persistence,
    /// Messages sent to one client and not yet acknowledged; 0 has no limit. Without one mosquitto 2.0 forgets over
    /// its restart which messages it has sent, and sends them under new packet ids: then no client knows them again.
    pub max_inflight: u32,
    /// Messages that wait for one client; 0 has no limit.
    pub max_queued: u32,
    /// The one user and password that it lets in; anybody without.
    pub login: Option<(String, String)>,
    /// Certificates, for `mqtts://localhost`.
    pub tls: Option<Tls>,
}

/// When sessions and queues are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Never.
    None,
    /// At its end: a restart keeps them, a kill does not.
    AtEnd,
    /// After every change, and after it was acknowledged: a kill loses the last milliseconds. Slow with a long queue,
    /// because all of it is saved each time.
    EveryChange,
}

/// Certificates of a broker, PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Whom the broker trusts.
    pub ca: PathBuf,
    /// Its certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whether clients need a certificate of that authority.
    pub mutual: bool,
}

impl Default for Mosquitto {
    fn default() -> Self {
        // mosquitto's own limit of 1,000 queued messages would lose events behind our back.
        Self { persistence: Persistence::AtEnd, max_inflight: 65_535, max_queued: 0, login: None, tls: None }
    }
}

impl Mosquitto {
    pub(super) fn configuration(&self, folder: &Path, port: u16) -> Result<String, Error> {
        let host = if self.tls.is_some() { "localhost" } else { "127.0.0.1" };
        let mut text = format!(
            "listener {port} {host}\nuser root\nlog_dest stderr\n\
             allow_anonymous {}\nmax_inflight_messages {}\nmax_queued_messages {}\nmax_queued_bytes 0\n",
            self.login.is_none(),
            self.max_inflight,
            self.max_queued,
        );
        // Writing to a String cannot fail.
        if self.persistence != Persistence::None {
            let _ = write!(text, "persistence true\npersistence_location {}/\n", folder.display());
            let (interval, on_changes) = if self.persistence == Persistence::AtEnd { (0, false) } else { (1, true) };
            let _ = write!(text, "autosave_interval {interval}\nautosave_on_changes {on_changes}\n");
        }
        if let Some(login) = &self.login {
            let _ = writeln!(text, "password_file {}", password_file(folder, login)?.display());
        }
        if let Some(tls) = &self.tls {
            let _ = write!(
                text,
                "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate {}\n",
                tls.ca.display(),
                tls.cert.display(),
                tls.key.display(),
                tls.mutual
            );
        }
        Ok(text)
    }

    /// A CONNECT is answered; with which code does not matter here.
    pub(super) async fn answers(&self, port: u16) -> Result<(), String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
        if self.tls.is_some() {
            // Its log says that it runs, and it accepts; a handshake would need a certificate of ours.
            return Ok(());
        }
        // MQTT 3.1.1, clean session, keep-alive 5 s, client id `ready`.
        let connect = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x05\x00\x05ready";
        stream.write_all(connect).await.map_err(|error| error.to_string())?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await.map_err(|error| error.to_string())?;
        stream.write_all(b"\xe0\x00").await.ok();
        if connack[0] == 0x20 { Ok(()) } else { Err(format!("{connack:02x?} instead of a CONNACK")) }
    }
}

/// Mosquitto takes passwords hashed only, and brings the tool along.
fn password_file(folder: &Path, (user, password): &(String, String)) -> Result<PathBuf, Error> {
    let file = folder.join("passwords");
    let tool = Program { name: "mosquitto_passwd", package: "mosquitto" };
    let start_error = |source| Error::Start { program: tool.name.to_owned(), source };
    let output = Command::new(tool.find()?)
        .args(["-b", "-c"])
        .arg(&file)
        .args([user, password])
        .output()
        .map_err(start_error)?;
    if output.status.success() {
        Ok(file)
    } else {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Ended { program: tool.name.to_owned(), status: output.status.to_string(), log })
    }
}
