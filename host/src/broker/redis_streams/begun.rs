//! How often something was begun by whoever reads it, for what may be the end of whoever begins it.

use std::time::Duration;

use redis::RedisError;

use super::{Config, Pool, PoolError};

/// How long it is known.
const LIFE: Duration = Duration::from_hours(24);

/// Counts what a host begins, over its own death. All hosts of a site count together.
#[derive(Clone)]
pub struct Begun {
    redis: Pool,
    prefix: String,
}

/// It cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum BegunError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke.
    #[error("cannot count in Redis")]
    Redis(#[source] RedisError),
}

impl Begun {
    /// Counts things of this sort.
    #[must_use]
    pub fn new(redis: &Pool, config: &Config, sort: &str) -> Self {
        Self { redis: redis.clone(), prefix: config.state_key(&format!("begun:{sort}")) }
    }

    /// `name` is begun once more; gives how often that is by now.
    ///
    /// # Errors
    /// Redis cannot be reached, or refuses.
    pub async fn again(&self, name: &str) -> Result<u64, BegunError> {
        let key = format!("{}:{name}", self.prefix);
        let count = async |connection: &mut redis::aio::MultiplexedConnection| {
            let mut pipeline = redis::pipe();
            pipeline.cmd("INCR").arg(&key).cmd("EXPIRE").arg(&key).arg(LIFE.as_secs()).ignore();
            pipeline.query_async::<(u64,)>(connection).await
        };
        let (count,) = self.redis.ask(count, BegunError::Redis).await?;
        Ok(count)
    }
}
