//! `aurora check --connect`: what Redis is, what its settings mean for what was promised, and what we may do there.
//! Nothing is written.

mod seen;
mod judge;
mod rights;

use self::seen::Seen;
use super::{Config, Pool, PoolError};
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
    rights::rehearse_raw(&mut *connection, key, removes).await.map_err(|error| {
        redis.discard(connection);
        PoolError::Connect(deadpool::managed::PoolError::Backend(error))
    })
}
