use std::{fmt::Write as _, path::Path};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Program;

pub(super) const PROGRAM: Program = Program { name: "redis-server", package: "redis-server" };

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

/// It knows PING; while it loads its file it says LOADING.
pub(super) async fn answers(port: u16) -> Result<(), String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    stream.write_all(b"PING\r\n").await.map_err(|error| error.to_string())?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    if answer.starts_with("+PONG") || answer.starts_with("-NOAUTH") { Ok(()) } else { Err(answer) }
}
