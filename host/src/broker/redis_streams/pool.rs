use std::{path::Path, time::Duration};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use redis::{AsyncConnectionConfig, Client, ClientTlsConfig, TlsCertificates, aio::MultiplexedConnection};

use super::{Config, cluster::Cluster};
use crate::config::urls;

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Pool(managed::Pool<Open>);

/// A connection out of the pool; goes back when dropped.
pub type Connection = managed::Object<Open>;

/// No connection.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The url is none of Redis's.
    #[error("redis.url is not a Redis url; it looks like redis://host:6379 or rediss://host:6380")]
    Url(#[source] redis::RedisError),
    /// Several nodes and no cluster.
    #[error("redis.url names several nodes, which only a cluster has; set redis.cluster")]
    Several,
    /// The certificate authority cannot be read.
    #[error("cannot read redis.ca {path}")]
    Ca {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The pool refuses its settings.
    #[error("cannot make a pool of connections")]
    Build(#[from] managed::BuildError),
    /// Redis cannot be reached.
    #[error("cannot connect to Redis")]
    Connect(#[from] managed::PoolError<redis::RedisError>),
}

impl Pool {
    /// A pool as `config` wants it. Nothing is connected yet.
    ///
    /// # Errors
    /// If the url or the certificate authority is unusable.
    pub fn new(config: &Config) -> Result<Self, PoolError> {
        let mut clients = Vec::new();
        for url in urls::split(&config.url) {
            clients.push(client(config, url)?);
        }
        let server = match (config.cluster, &clients[..]) {
            (false, [client]) => Server::One(client.clone()),
            (false, _) => return Err(PoolError::Several),
            (true, nodes) => {
                let nodes = nodes.iter().map(|node| node.get_connection_info().clone()).collect();
                Server::Cluster(Cluster::new(nodes, config.key(&config.audit)))
            }
        };
        let open = Open { server, timeout: config.timeout };
        let pool = managed::Pool::builder(open)
            .max_size(config.pool)
            .wait_timeout(Some(config.timeout))
            .create_timeout(Some(config.timeout))
            .recycle_timeout(Some(config.timeout))
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        Ok(Self(pool))
    }

    /// A connection, as soon as one is free.
    ///
    /// # Errors
    /// If Redis cannot be reached in time.
    pub async fn get(&self) -> Result<Connection, PoolError> {
        Ok(self.0.get().await?)
    }

    /// What `question` finds out over one of the connections, which is given up where it meets an error; `failed` says what
    /// that means.
    ///
    /// # Errors
    /// There is no connection, or the question met an error.
    pub async fn ask<T, E: From<PoolError>>(
        &self,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> redis::RedisResult<T>,
        failed: impl FnOnce(redis::RedisError) -> E,
    ) -> Result<T, E> {
        let mut connection = self.get().await?;
        let answer = question(&mut connection).await;
        answer.map_err(|error| {
            self.discard(connection);
            failed(error)
        })
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// If it does not, in time.
    pub async fn ping(&self) -> Result<(), PoolError> {
        let mut connection = self.get().await?;
        let answer = redis::cmd("PING").query_async::<redis::Value>(&mut *connection).await;
        answer.map(drop).map_err(|error| {
            self.discard(connection);
            PoolError::Connect(managed::PoolError::Backend(error))
        })
    }

    /// A connection of one's own, for commands that block. `timeout` bounds each answer. In a cluster it is one to the
    /// node that owns our keys, as all of them are; after an error it may be another node, so open another connection.
    ///
    /// # Errors
    /// If Redis cannot be reached in time.
    pub async fn dedicated(&self, timeout: Duration) -> redis::RedisResult<MultiplexedConnection> {
        let open = self.0.manager();
        open.connect(timeout).await
    }

    /// A connection of one's own for a thread that may wait for answers. Connecting takes about `timeout` at the most; how
    /// long an answer may take is for the caller to set.
    ///
    /// # Errors
    /// If Redis cannot be reached in time.
    pub fn blocking(&self, timeout: Duration) -> redis::RedisResult<redis::Connection> {
        match &self.0.manager().server {
            Server::One(client) => client.get_connection_with_timeout(timeout),
            Server::Cluster(cluster) => cluster.connect_blocking(timeout),
        }
    }

    /// Gives up a connection that met an error: it may be dead, have answers under way that nobody waits for, or lead to
    /// a node that our keys have left. What happened to it has most likely happened to those that lie idle, so they go
    /// too, and the next attempt does not have to find that out one by one.
    pub fn discard(&self, connection: Connection) {
        drop(Connection::take(connection));
        self.0.retain(|_, _| false);
    }
}

fn client(config: &Config, url: &str) -> Result<Client, PoolError> {
    match &config.ca {
        None => Client::open(url).map_err(PoolError::Url),
        Some(ca) => {
            let read = |path: &Path| {
                std::fs::read(path).map_err(|source| PoolError::Ca { path: path.display().to_string(), source })
            };
            let certificates = TlsCertificates { client_tls: None::<ClientTlsConfig>, root_cert: Some(read(ca)?) };
            Client::build_with_tls(url, certificates).map_err(PoolError::Url)
        }
    }
}

/// Opens the pool's connections.
#[derive(Debug)]
pub struct Open {
    server: Server,
    timeout: Duration,
}

#[derive(Debug)]
enum Server {
    One(Client),
    Cluster(Cluster),
}

impl Open {
    async fn connect(&self, answer: Duration) -> redis::RedisResult<MultiplexedConnection> {
        let waits = Waits { connection: self.timeout, answer };
        match &self.server {
            Server::One(client) => waits.connect(client).await,
            Server::Cluster(cluster) => cluster.connect(waits).await,
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    connection: Duration,
    answer: Duration,
}

impl Waits {
    pub async fn connect(self, client: &Client) -> redis::RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connection))
            .set_response_timeout(Some(self.answer));
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl managed::Manager for Open {
    type Type = MultiplexedConnection;
    type Error = redis::RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        self.connect(self.timeout).await
    }

    /// No ping: whoever uses a connection that has died sees its error and gives it to [`Pool::discard`].
    async fn recycle(&self, _: &mut MultiplexedConnection, _: &Metrics) -> RecycleResult<redis::RedisError> {
        Ok::<(), RecycleError<redis::RedisError>>(())
    }
}
