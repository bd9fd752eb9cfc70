use std::path::Path;

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
};

use super::Program;

pub(super) const PROGRAM: Program = Program { name: "nats-server", package: "nats-server" };

/// How a NATS server with JetStream is set up.
#[derive(Clone, Debug, Default)]
pub struct Nats {
    /// Name of the server, as clients see it; NATS makes one up otherwise.
    pub name: Option<String>,
    /// More lines of its configuration: users and what they may do.
    pub more: String,
}

impl Nats {
    pub(super) fn configuration(&self, folder: &Path, port: u16) -> String {
        let name = self.name.as_ref().map(|name| format!("server_name: \"{name}\"\n")).unwrap_or_default();
        // Said aloud, because the default is a share of the disk: on a small one the stream's limit of 10 GiB would
        // be refused although nothing is reserved on disk.
        format!(
            "listen: \"127.0.0.1:{port}\"\n{name}jetstream {{ store_dir: \"{}\", max_file: 64GB }}\n{}\n",
            folder.display(),
            self.more,
        )
    }
}

/// Its first line is INFO, with JetStream on.
pub(super) async fn answers(port: u16) -> Result<(), String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.map_err(|error| error.to_string())?;
    if line.starts_with("INFO ") && line.contains("\"jetstream\":true") { Ok(()) } else { Err(line) }
}
