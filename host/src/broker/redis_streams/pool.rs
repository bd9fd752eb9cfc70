use std::{path::Path, time::Duration};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use redis::{AsyncConnectionConfig, Client, ClientTlsConfig, TlsCertificates, aio::MultiplexedConnection};

use super::Config;

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
        let open = Open { client: client(config)?, timeout: config.timeout };
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

    /// Whether Redis answers.
    ///
    /// # Errors
    /// If it does not, in time.
    pub async fn ping(&self) -> Result<(), PoolError> {
        let mut connection = self.get().await?;
        let answer = redis::cmd("PING").query_async::<redis::Value>(&mut *connection).await;
        answer.map(drop).map_err(|error| {
            drop(Connection::take(connection));
            PoolError::Connect(managed::PoolError::Backend(error))
        })
    }

    /// A connection of one's own, for commands that block. `timeout` bounds each answer.
    ///
    /// # Errors
    /// If Redis cannot be reached in time.
    pub async fn dedicated(&self, timeout: Duration) -> redis::RedisResult<MultiplexedConnection> {
        let open = self.0.manager();
        open.connect(timeout).await
    }
}

fn client(config: &Config) -> Result<Client, PoolError> {
    match &config.ca {
        None => Client::open(config.url.as_str()).map_err(PoolError::Url),
        Some(ca) => {
            let read = |path: &Path| {
                std::fs::read(path).map_err(|source| PoolError::Ca { path: path.display().to_string(), source })
            };
            let certificates = TlsCertificates { client_tls: None::<ClientTlsConfig>, root_cert: Some(read(ca)?) };
            Client::build_with_tls(config.url.as_str(), certificates).map_err(PoolError::Url)
        }
    }
}

/// Opens the pool's connections.
#[derive(Debug)]
pub struct Open {
    client: Client,
    timeout: Duration,
}

impl Open {
    async fn connect(&self, timeout: Duration) -> redis::RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.timeout)).set_response_timeout(Some(timeout));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl managed::Manager for Open {
    type Type = MultiplexedConnection;
    type Error = redis::RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        self.connect(self.timeout).await
    }

    /// No ping: whoever uses a connection that has died sees its error and drops it with [`managed::Object::take`].
    async fn recycle(&self, _: &mut MultiplexedConnection, _: &Metrics) -> RecycleResult<redis::RedisError> {
        Ok::<(), RecycleError<redis::RedisError>>(())
    }
}
