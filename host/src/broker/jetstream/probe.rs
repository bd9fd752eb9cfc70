//! `aurora check --connect`: what there is of JetStream, what its settings mean for what was promised, and what we may do
//! there. Nothing is made and nothing is stored.

use std::time::Duration;

use async_nats::jetstream::{consumer::DeliverPolicy, context::ConsumerInfoErrorKind};

use super::{
    Config, Connection, ConnectionError, Dial, Looker, Wanted, meaning, reading,
    rights::{self, rehearse},
    stream,
};
use crate::{broker::Probed, telemetry::Chain};

/// Looks at the stream that messages of `site` leave by.
///
/// # Errors
/// What failed and what to do.
pub async fn probe(config: &Config, site: &str) -> Result<Probed, String> {
    let connection = reach(config).await?;
    let version = connection.client().server_info().version;
    let lookers = Looker::ALL.map(|looker| config.consumer(looker, site));
    let refused = rehearse(&connection, &config.stream, &rights::of_sending(config, &lookers)).await?;
    if !refused.is_empty() {
        // Without a right the rest may not be seen either.
        return Ok(Probed { said: format!("nats-server {version}"), findings: refused });
    }
    let found = stream::find(&connection, config).await.map_err(|error| Chain(&error).to_string())?;
    let Some(found) = found else {
        let said = format!("nats-server {version}, stream {} is not there yet and will be made", config.stream);
        let findings = rehearse(&connection, &config.stream, &rights::of_making(config)).await?;
        return Ok(Probed { said, findings });
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

/// Looks at a stream that is read, and at its durable consumer.
///
/// # Errors
/// What failed and what to do.
pub async fn probe_reading(config: &Config, wanted: &Wanted<'_>) -> Result<Probed, String> {
    let connection = reach(config).await?;
    let (name, stream) = (wanted.name, wanted.stream);
    let refused = rehearse(&connection, stream, &rights::of_reading(wanted)).await?;
    if !refused.is_empty() {
        return Ok(Probed { said: format!("stream {stream}"), findings: refused });
    }
    let found = match connection.jetstream.get_stream(stream).await {
        Ok(found) => found,
        Err(error) if stream::is_missing(&error) && stream == config.stream => {
            return Ok(format!("stream {stream} is not there yet and will be made").into());
        }
        Err(error) if stream::is_missing(&error) => {
            return Err(format!(
                "there is no stream {stream}, and whoever reads it does not make it; as a mirror of the stream AURORA of \
                 another site's domain, north: nats req '$JS.API.STREAM.CREATE.{stream}' '{{\"name\":\"{stream}\",\
                 \"retention\":\"limits\",\"storage\":\"file\",\"mirror\":{{\"name\":\"AURORA\",\
                 \"external\":{{\"api\":\"$JS.north.API\"}}}}}}'"
            ));
        }
        Err(error) => return Err(format!("{}; the stream {stream} cannot be looked at", Chain(&error))),
    };
    let consumer = match found.consumer_info(name).await {
        Ok(info) => Some(info),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => None,
        Err(error) => return Err(format!("{}; the consumer {name} cannot be looked at", Chain(&error))),
    };
    let mut findings = reading::judge_stream(found.cached_info(), wanted, consumer.is_some());
    let said = match &consumer {
        None => format!("stream {stream}, consumer {name} is not there yet and will be made"),
        Some(info) => {
            // Where it begins is not changed, so that is as it is.
            let as_wanted = connection.config_of(wanted, DeliverPolicy::default());
            let can_change = connection.client().is_server_compatible(2, 10, 0);
            findings.extend(reading::judge_consumer(&info.config, &as_wanted, stream, can_change));
            let (waiting, in_hand) = (info.num_pending, info.num_ack_pending);
            format!("stream {stream}, consumer {name}: {waiting} messages wait, {in_hand} in hand")
        }
    };
    findings.sort_by_key(|finding| finding.weight);
    Ok(Probed { said, findings })
}

async fn reach(config: &Config) -> Result<Connection, String> {
    let connect = async { Dial::new(config).await?.connect().await };
    let connected = tokio::time::timeout(Duration::from_secs(5), connect).await;
    let connected =
        connected.map_err(|_| "no answer within 5 s; see that nats-server listens at nats.url".to_owned())?;
    connected.map_err(|error| match error {
        ConnectionError::Connect(error) => {
            format!("{}; see that nats-server listens at nats.url and knows the user", Chain(&error))
        }
        error => Chain(&error).to_string(),
    })
}
