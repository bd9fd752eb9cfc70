//! Finding the node of a cluster that owns our keys.
//!
//! All keys lie in one slot (see `keys`), so one node owns all of them, and a plain connection to it does everything: it
//! can block, it can run a transaction, and it never sends a command a second time by itself, as cluster clients do
//! after a lost answer. Which node it is, a node says when it is asked for a key of ours: it answers, or names the owner
//! (MOVED). Every new connection asks, so after a failover, or when the slot has been given to another node, it is
//! enough to drop the connection that got the error.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::select_ok;
use redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind,
    aio::MultiplexedConnection,
};

use super::pool::Waits;

/// How often one node may point to the next. A cluster that reshards twice in this moment is asked again later.
const HOPS: usize = 4;

/// A cluster, as far as we know it.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The configured nodes.
    seeds: Vec<ConnectionInfo>,
    /// A key of ours.
    key: String,
    /// Where the owner was found last.
    owner: Mutex<Option<ConnectionInfo>>,
}

impl Cluster {
    pub fn new(seeds: Vec<ConnectionInfo>, key: String) -> Self {
        Self { seeds, key, owner: Mutex::new(None) }
    }

    /// A connection to the node that owns our keys.
    pub async fn connect(&self, waits: Waits) -> RedisResult<MultiplexedConnection> {
        // Taken out until it has answered: should this attempt be given up, the next one asks the configured nodes.
        let known = self.owner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let found = match known {
            Some(known) => match self.follow(known, waits).await {
                Ok(found) => Ok(found),
                Err(_) => self.search(waits).await,
            },
            None => self.search(waits).await,
        };
        let (owner, connection) = found?;
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
        Ok(connection)
    }

    /// The same for a thread that may wait. It begins where the owner was found last, and goes on with one configured node
    /// after the other while there is time.
    pub fn connect_blocking(&self, timeout: Duration) -> RedisResult<Connection> {
        let known = self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut last, begun) = (None, Instant::now());
        for node in known.into_iter().chain(self.seeds.iter().cloned()) {
            match self.follow_blocking(node, timeout) {
                Ok((owner, connection)) => {
                    *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
                    return Ok(connection);
                }
                Err(error) => last = Some(error),
            }
            if begun.elapsed() >= timeout {
                break;
            }
        }
        Err(last.unwrap_or_else(|| (ErrorKind::Client, "the cluster has no nodes").into()))
    }

    fn follow_blocking(
        &self,
        mut node: ConnectionInfo,
        timeout: Duration,
    ) -> RedisResult<(ConnectionInfo, Connection)> {
        for _ in 0..HOPS {
            let mut connection = Client::open(node.clone())?.get_connection_with_timeout(timeout)?;
            connection.set_read_timeout(Some(timeout))?;
            let asked = redis::cmd("XLEN").arg(&self.key).query::<redis::Value>(&mut connection);
            match asked.err() {
                Some(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                    node = moved(&node, &error)?
                }
                Some(error) if tells_nothing(&error) => return Err(error),
                _ => return Ok((node, connection)),
            }
        }
        Err((ErrorKind::Client, "the nodes of the cluster point to each other").into())
    }

    /// Asks all configured nodes at once: one that is dead and silent must not keep us from the others.
    async fn search(&self, waits: Waits) -> RedisResult<(ConnectionInfo, MultiplexedConnection)> {
        let asked = self.seeds.iter().map(|seed| Box::pin(self.follow(seed.clone(), waits)));
        select_ok(asked).await.map(|(found, _)| found)
    }

    /// From `node` to the owner.
    async fn follow(
        &self,
        mut node: ConnectionInfo,
        waits: Waits,
    ) -> RedisResult<(ConnectionInfo, MultiplexedConnection)> {
        for _ in 0..HOPS {
            let client = Client::open(node.clone())?;
            let mut connection = waits.connect(&client).await?;
            let asked = redis::cmd("XLEN").arg(&self.key).query_async::<redis::Value>(&mut connection).await;
            match asked.err() {
                Some(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                    node = moved(&node, &error)?
                }
                Some(error) if tells_nothing(&error) => return Err(error),
                // It owns the slot. Another error is for whoever wants to do something: it may go away by itself, as
                // that of a slot which is being moved.
                _ => return Ok((node, connection)),
            }
        }
        Err((ErrorKind::Client, "the nodes of the cluster point to each other").into())
    }
}

/// Whether this error leaves open if the node owns the slot. Rights are looked at before slots are.
fn tells_nothing(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoPerm};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, BusyLoading | ClusterDown | MasterDown | NoPerm),
        ErrorKind::Extension => false,
        _ => true,
    }
}

/// `asked` with the address of the node that its answer names.
fn moved(asked: &ConnectionInfo, error: &RedisError) -> RedisResult<ConnectionInfo> {
    let nowhere = || RedisError::from((ErrorKind::Parse, "MOVED without an address"));
    let (address, _) = error.redirect_node().ok_or_else(nowhere)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(nowhere)?;
    let port = port.parse().map_err(|_| nowhere())?;
    let host = match host {
        // It has been told no name of its own: the one by which we reached it is as good.
        "" | "?" => None,
        host => Some(host.trim_start_matches('[').trim_end_matches(']').to_owned()),
    };
    let addr = match asked.addr().clone() {
        ConnectionAddr::Tcp(own, _) => ConnectionAddr::Tcp(host.unwrap_or(own), port),
        ConnectionAddr::TcpTls { host: own, insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: host.unwrap_or(own), port, insecure, tls_params }
        }
        _ => return Err(nowhere()),
    };
    Ok(asked.clone().set_addr(addr))
}
