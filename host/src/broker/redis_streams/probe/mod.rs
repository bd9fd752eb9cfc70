//! `aurora check --connect`: what Redis is, what its settings mean for what was promised, and what we may do there.
//! Nothing is written.

mod seen;
mod judge;
mod rights;

use redis::{ErrorKind, RedisResult, aio::ConnectionLike};

use self::seen::Seen;
use super::{Config, Pool, PoolError, kinds::unusable};
use crate::{
    broker::{Finding, Probed},
    telemetry::Chain,
};

/// Connects once and says what is there. In a cluster it is the node that owns our keys.
///
/// # Errors
/// What failed and what to do.
pub async fn probe(config: &Config) -> Result<Probed, String> {
    let pool = Pool::new(config).map_err(|error| Chain(&error).to_string())?;
    let mut connection = pool.get().await.map_err(|error| {
        format!("{}; see that Redis listens there and that redis.url has the right user and password", Chain(&error))
    })?;
    let unreachable = |error| format!("{}; Redis went away while it was looked at", Chain(&error));
    let seen = Seen::of(&mut *connection).await.map_err(unreachable)?;
    let mut findings = judge::judge(&seen, config);
    findings.extend(rights::rehearse(&mut *connection, config).await.map_err(unreachable)?);
    findings.extend(streams(&mut *connection, &config.stream_keys()).await.map_err(unreachable)?);
    if seen.is_cluster() {
        let what = "only the node that owns our keys was looked at; its replicas need the same settings";
        findings.push(Finding::note(what));
    }
    findings.sort_by_key(|finding| finding.weight);
    Ok(Probed { said: seen.name(), findings })
}

/// Whether we may do with the raw stream `key` what its source does, and remove its entries, where it `removes` them.
///
/// # Errors
/// If Redis cannot be asked.
pub async fn probe_raw(redis: &Pool, key: &str, removes: bool) -> Result<Vec<Finding>, PoolError> {
    let mut connection = redis.get().await?;
    let found = async {
        let mut findings = rights::rehearse_raw(&mut *connection, key, removes).await?;
        findings.extend(streams(&mut *connection, &[key.to_owned()]).await?);
        Ok(findings)
    };
    found.await.map_err(|error| {
        redis.discard(connection);
        PoolError::Connect(deadpool::managed::PoolError::Backend(error))
    })
}

/// Whether we may do with the streams of tasks, of results and of dead letters, at these keys in this order, what a worker
/// and a correlator do.
///
/// # Errors
/// If Redis cannot be asked.
pub async fn probe_tasks(redis: &Pool, keys: &[String; 3], removes: bool) -> Result<Vec<Finding>, PoolError> {
    let mut connection = redis.get().await?;
    let found = async {
        let mut findings = rights::rehearse_tasks(&mut *connection, keys, removes).await?;
        findings.extend(streams(&mut *connection, keys).await?);
        Ok(findings)
    };
    found.await.map_err(|error| {
        redis.discard(connection);
        PoolError::Connect(deadpool::managed::PoolError::Backend(error))
    })
}

/// Whether we may do with the streams at `keys` what a broadcaster does.
///
/// # Errors
/// If Redis cannot be asked.
pub async fn probe_broadcast(redis: &Pool, keys: &[String]) -> Result<Vec<Finding>, PoolError> {
    let mut connection = redis.get().await?;
    let found = async {
        let mut findings = Vec::new();
        for key in keys {
            findings.extend(rights::rehearse_broadcast(&mut *connection, key).await?);
        }
        findings.extend(streams(&mut *connection, keys).await?);
        Ok(findings)
    };
    found.await.map_err(|error| {
        redis.discard(connection);
        PoolError::Connect(deadpool::managed::PoolError::Backend(error))
    })
}

/// What stands against the streams at `keys`. Those that are not there yet are made.
async fn streams(connection: &mut impl ConnectionLike, keys: &[String]) -> RedisResult<Vec<Finding>> {
    let found = match unusable(connection, keys).await {
        // The rights that are missing have been told of.
        Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => Vec::new(),
        found => found?,
    };
    let text =
        |(key, why)| format!("{key} {why}, so nothing is stored there; move it away: redis-cli RENAME {key} {key}:old");
    Ok(found.into_iter().map(text).map(Finding::problem).collect())
}
