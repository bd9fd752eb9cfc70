use std::time::Duration;

use super::{Config, Connection, connection::options};
use crate::telemetry::Chain;

/// Connects once, looks at the stream without making one, and says what is there, for `aurora check --connect`.
///
/// # Errors
/// What failed and what to do.
pub async fn probe(config: &Config) -> Result<String, String> {
    let options = options(config).await.map_err(|error| Chain(&error).to_string())?;
    let servers: Vec<_> = config.url.split(',').map(str::trim).collect();
    let connect = tokio::time::timeout(Duration::from_secs(5), options.connect(servers)).await;
    let client = connect
        .map_err(|_| "no answer within 5 s; see that nats-server listens at nats.url".to_owned())?
        .map_err(|error| format!("{}; see that nats-server listens at nats.url and knows the user", Chain(&error)))?;
    let version = client.server_info().version;
    let connection = Connection::of(client);
    match super::stream::compare(&connection, config).await {
        Ok(Some(found)) if found.differences.is_empty() => {
            Ok(format!("nats-server {version}, stream {} is as configured", config.stream))
        }
        Ok(Some(found)) => Ok(format!(
            "nats-server {version}; warning: stream {} differs: {}",
            config.stream,
            found.differences.join("; ")
        )),
        Ok(None) => Ok(format!("nats-server {version}, stream {} is not there yet and will be made", config.stream)),
        Err(error) => Err(Chain(&error).to_string()),
    }
}
