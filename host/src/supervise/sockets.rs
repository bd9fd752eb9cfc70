//! The addresses that the daemon listens on.

use tokio::net::TcpListener;

use crate::{config::Config, listen};

/// A socket for each of them.
pub(super) struct Sockets {
    pub admin: TcpListener,
    pub ingest: Option<TcpListener>,
    pub broadcast: Option<TcpListener>,
}

impl Sockets {
    /// As `config` names them.
    pub async fn bind(config: &Config) -> Result<Self, listen::Error> {
        let broadcast = match &config.broadcast {
            Some(broadcast) => Some(listen::bind("broadcast.listen", broadcast.listen).await?),
            None => None,
        };
        let admin = listen::bind("admin.listen", config.admin.listen).await?;
        let ingest = match &config.ingest {
            Some(ingest) => Some(listen::bind("ingest.listen", ingest.listen).await?),
            None => None,
        };
        Ok(Self { admin, ingest, broadcast })
    }
}
