use std::{fmt::Write as _, path::Path, process::Stdio};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use super::{Error, Program};

pub(super) const PROGRAM: Program = Program { name: "redis-server", package: "redis-server" };

/// Comes with the server.
const CHECK: &str = "redis-check-aof";

/// How a Redis is set up.
#[derive(Clone, Debug)]
pub struct Redis {
    /// When writes are on disk.
    pub fsync: Fsync,
    /// Password of the default user.
    pub password: Option<String>,
}

/// What survives: see `appendonly` and `appendfsync` in Redis' own documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Nothing is written to disk at all.
    Memory,
    /// Appended, synced by the kernel when it likes.
    No,
    /// Appended, synced every second.
    EverySecond,
    /// Appended and synced before each answer.
    Always,
}

impl Default for Redis {
    fn default() -> Self {
        Self { fsync: Fsync::EverySecond, password: None }
    }
}

impl Redis {
    pub(super) fn configuration(&self, folder: &Path, port: u16) -> String {
        let (append, fsync) = match self.fsync {
            Fsync::Memory => ("no", "no"),
            Fsync::No => ("yes", "no"),
            Fsync::EverySecond => ("yes", "everysec"),
            Fsync::Always => ("yes", "always"),
        };
        let mut text = format!(
            "bind 127.0.0.1\nport {port}\ndir \"{}\"\nsave \"\"\nappendonly {append}\nappendfsync {fsync}\n\
             daemonize no\n",
            folder.display()
        );
        if let Some(password) = &self.password {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "requirepass \"{password}\"");
        }
        text
    }
}

/// Cuts a step that a kill has torn off the end of the append-only file, as `deploy/README.md` advises. Redis itself cuts
/// only the command that is torn: the step's `MULTI` and what stands behind it stay in the file, and are executed at the
/// start after the next one, when the step has long been stored again (valkey-io/valkey#4342, in all of Redis so far).
pub(super) async fn mend(folder: &Path) -> Result<(), Error> {
    let manifest = folder.join("appendonlydir").join("appendonly.aof.manifest");
    if !manifest.is_file() {
        return Ok(());
    }
    let failed = |source| Error::Start { program: CHECK.to_owned(), source };
    let (input, output) = (Stdio::piped(), Stdio::null());
    let mut check =
        Command::new(CHECK).arg("--fix").arg(manifest).stdin(input).stdout(output).spawn().map_err(failed)?;
    if let Some(mut questions) = check.stdin.take() {
        // It may have none to ask, and be gone.
        let _ = questions.write_all(b"y\ny\n").await;
    }
    // What it cannot mend, Redis will say.
    check.wait().await.map(drop).map_err(failed)
}

/// It knows PING; while it loads its file it says LOADING.
pub(super) async fn answers(port: u16) -> Result<(), String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    stream.write_all(b"PING\r\n").await.map_err(|error| error.to_string())?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    if answer.starts_with("+PONG") || answer.starts_with("-NOAUTH") { Ok(()) } else { Err(answer) }
}
