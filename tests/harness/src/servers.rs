//! Servers other than the one Redis of an ordinary site: of another make, with a configuration of their own, or as a
//! cluster. `.ci/servers` fetches those that Debian does not have.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use redis::{Client, Cmd, FromRedisValue, TlsCertificates};

use crate::{Child, PATIENCE, built, free_port, wait_until};

/// Who made the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Debian's Redis, 7.0.
    Redis7,
    /// Redis 8.2.
    Redis8,
    /// Valkey 9.1.
    Valkey,
}

impl Make {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Redis7, Self::Redis8, Self::Valkey];

    /// Its program; none where it could not be fetched, which is said aloud.
    ///
    /// # Errors
    /// The test is not in a build folder.
    pub fn program(self) -> Result<Option<PathBuf>> {
        let (folder, name) = match self {
            Self::Redis7 => return Ok(Some("redis-server".into())),
            Self::Redis8 => ("redis-8.2", "redis-server"),
            Self::Valkey => ("valkey-9.1", "valkey-server"),
        };
        let file = built::target()?.join("servers").join(folder).join(name);
        if file.is_file() {
            return Ok(Some(file));
        }
        // Not by a macro, whose text is only shown of tests that fail.
        writeln!(io::stderr(), "PASSED OVER: {folder} is not there; `.ci/servers` fetches it")?;
        Ok(None)
    }
}

/// A server with a folder of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    /// Certificate authority, where it speaks TLS.
    authority: Option<PathBuf>,
    child: Child,
}

impl Server {
    /// Starts `program` with more lines of configuration, in which `PORT` is its port. Lines with a `tls-ca-cert-file`
    /// and a `tls-port` make it speak TLS only.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(program: &Path, folder: &Path, lines: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).context("cannot make the server's folder")?;
        let port = free_port()?;
        let authority = lines.lines().find_map(|line| line.strip_prefix("tls-ca-cert-file ")).map(PathBuf::from);
        let plain = if authority.is_some() { 0 } else { port };
        let text = format!(
            "bind 127.0.0.1\nport {plain}\ndir {}\nsave \"\"\ndaemonize no\n{}\n",
            folder.display(),
            lines.replace("PORT", &port.to_string())
        );
        std::fs::write(folder.join("server.conf"), text).context("cannot write the server's configuration")?;
        let child = launch(program, folder)?;
        let mut server = Self { program: program.to_owned(), folder: folder.to_owned(), port, authority, child };
        server.ready().await?;
        Ok(server)
    }

    /// What clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.authority.is_some() { "rediss" } else { "redis" }, self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Starts it again, on the same port and with what it had stored.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.child.kill();
        self.child = launch(&self.program, &self.folder)?;
        self.ready().await
    }

    /// Has it run a command.
    ///
    /// # Errors
    /// It does not, or answers something else.
    pub async fn ask<T: FromRedisValue>(&self, command: &str) -> Result<T> {
        let client = match &self.authority {
            None => Client::open(self.url())?,
            Some(authority) => {
                let root_cert = Some(std::fs::read(authority)?);
                Client::build_with_tls(self.url(), TlsCertificates { client_tls: None, root_cert })?
            }
        };
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut words = Cmd::new();
        words.arg(command.split(' ').collect::<Vec<_>>());
        words.query_async(&mut connection).await.with_context(|| command.to_owned())
    }

    fn bus_port(&self) -> Result<u16> {
        let text = std::fs::read_to_string(self.folder.join("server.conf"))?;
        let port = text.lines().find_map(|line| line.strip_prefix("cluster-port "));
        Ok(port.context("no cluster-port")?.parse()?)
    }

    async fn ready(&mut self) -> Result<()> {
        let logged = self.child.log_offset();
        let ready = async |child: &Child| match child.log_from(logged).contains("eady to accept connections") {
            true => Ok(()),
            false => Err("not ready to accept connections".to_owned()),
        };
        Ok(self.child.wait_until(PATIENCE, ready).await?)
    }
}

fn launch(program: &Path, folder: &Path) -> Result<Child> {
    Ok(Child::start("server", program, [folder.join("server.conf")], &folder.join("server.log"))?)
}

/// Three masters, and a replica of the one that owns the slot of `{aurora}`.
#[derive(Debug)]
pub struct Cluster {
    /// The masters first, then the replica.
    pub nodes: Vec<Server>,
    /// Which slot it is.
    pub slot: u16,
}

const SLOTS: u16 = 16_384;

impl Cluster {
    /// Starts one of `program`, each node with more lines of configuration, as for [`Server::start`].
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(program: &Path, folder: &Path, lines: &str) -> Result<Self> {
        let mut nodes = Vec::new();
        for number in 0..4 {
            let lines = format!(
                "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {}\ncluster-node-timeout 3000\n\
                 cluster-allow-replica-migration no\n{lines}",
                free_port()?
            );
            nodes.push(Server::start(program, &folder.join(format!("node-{number}")), &lines).await?);
        }
        let slot = nodes[0].ask("CLUSTER KEYSLOT aurora").await?;
        let cluster = Self { nodes, slot };
        let ids = cluster.form().await?;
        let replica = cluster.nodes.last().context("no nodes")?;
        let owner = cluster.owner().await?;
        replica.ask::<()>(&format!("CLUSTER REPLICATE {}", ids[owner])).await?;
        wait_until("the replica has caught up", PATIENCE, async || -> Result<()> {
            let info: String = replica.ask("INFO replication").await?;
            anyhow::ensure!(info.contains("master_link_status:up"), "{info}");
            Ok(())
        })
        .await?;
        Ok(cluster)
    }

    /// Gives out the slots and has the nodes meet. Returns their ids.
    async fn form(&self) -> Result<Vec<String>> {
        let share = SLOTS / 3;
        let mut ids = Vec::new();
        for (number, node) in (0_u16..).zip(&self.nodes) {
            if number < 3 {
                let last = if number == 2 { SLOTS - 1 } else { (number + 1) * share - 1 };
                node.ask::<()>(&format!("CLUSTER ADDSLOTSRANGE {} {last}", number * share)).await?;
            }
            node.ask::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)).await?;
            ids.push(node.ask("CLUSTER MYID").await?);
            let bus = self.nodes[0].bus_port()?;
            if number > 0 {
                node.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", self.nodes[0].port())).await?;
            }
        }
        for node in &self.nodes {
            wait_until("every node knows the cluster", PATIENCE, async || -> Result<()> {
                let info: String = node.ask("CLUSTER INFO").await?;
                anyhow::ensure!(info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4"), "{info}");
                Ok(())
            })
            .await?;
        }
        Ok(ids)
    }

    /// What the daemon connects to: every node.
    #[must_use]
    pub fn url(&self) -> String {
        self.nodes.iter().map(Server::url).collect::<Vec<_>>().join(",")
    }

    /// Position of the node that owns the slot, as a node that runs sees it.
    ///
    /// # Errors
    /// Nobody owns it now.
    pub async fn owner(&self) -> Result<usize> {
        for (position, node) in self.nodes.iter().enumerate() {
            // Any other node names the owner instead; one that is dead or behind says neither.
            if node.ask::<u64>("XLEN {aurora}:nothing").await.is_ok() {
                return Ok(position);
            }
        }
        anyhow::bail!("no node owns slot {}", self.slot)
    }

    /// Gives the slot with all that is in it to another node, while it is in use.
    ///
    /// # Errors
    /// A node refuses.
    pub async fn move_slot(&self, to: usize) -> Result<()> {
        let (slot, from) = (self.slot, self.owner().await?);
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (source_id, target_id): (String, String) =
            (source.ask("CLUSTER MYID").await?, target.ask("CLUSTER MYID").await?);
        target.ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}")).await?;
        source.ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}")).await?;
        loop {
            let keys: Vec<String> = source.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 10")).await?;
            if keys.is_empty() {
                break;
            }
            for key in keys {
                source.ask::<()>(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", target.port())).await?;
            }
        }
        for node in [target, source] {
            node.ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {target_id}")).await?;
        }
        Ok(())
    }
}
