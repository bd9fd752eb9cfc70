use std::time::Duration;

use super::{Config, Connection, connection::options, meaning, stream};
use crate::{broker::Probed, config::urls, telemetry::Chain};

/// Connects once, looks at the stream without making one, and says what is there, for `aurora check --connect`.
///
/// # Errors
/// What failed and what to do.
pub async fn probe(config: &Config) -> Result<Probed, String> {
    let options = options(config).await.map_err(|error| Chain(&error).to_string())?;
    let connect = tokio::time::timeout(Duration::from_secs(5), options.connect(urls::split(&config.url))).await;
    let client = connect
        .map_err(|_| "no answer within 5 s; see that nats-server listens at nats.url".to_owned())?
        .map_err(|error| format!("{}; see that nats-server listens at nats.url and knows the user", Chain(&error)))?;
    let version = client.server_info().version;
    let connection = Connection::of(client);
    let found = stream::find(&connection, config).await.map_err(|error| Chain(&error).to_string())?;
    let Some(found) = found else {
        return Ok(format!("nats-server {version}, stream {} is not there yet and will be made", config.stream).into());
    };
    let said = match stream::differences(&found, config) {
        differences if differences.is_empty() => {
            format!("nats-server {version}, stream {} is as configured", config.stream)
        }
        differences => format!(
            "nats-server {version}, stream {} is used as it is, though it differs: {}",
            config.stream,
            differences.join("; ")
        ),
    };
    Ok(Probed { said, findings: meaning::judge(&found, config) })
}
