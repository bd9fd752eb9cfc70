use super::{Config, Pool};
use crate::telemetry::Chain;

/// Connects once and says what is there, for `aurora check --connect`.
///
/// # Errors
/// What failed and what to do.
pub async fn probe(config: &Config) -> Result<String, String> {
    let pool = Pool::new(config).map_err(|error| Chain(&error).to_string())?;
    let mut connection = pool.get().await.map_err(|error| {
        format!("{}; see that Redis listens there and that redis.url has the right user and password", Chain(&error))
    })?;
    let info: String = redis::cmd("INFO")
        .arg("everything")
        .query_async(&mut *connection)
        .await
        .map_err(|error| format!("{}; the user of redis.url needs the right to INFO", Chain(&error)))?;
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("unknown").trim().to_owned()
    };
    let mut said = format!("Redis {}, {} mode", field("redis_version"), field("redis_mode"));
    if field("aof_enabled") != "1" {
        said.push_str("; warning: appendonly is off, so a crash of Redis loses what it had acknowledged");
    }
    Ok(said)
}
