//! Two consumers, as a site would have them: one reads the Redis streams, the other JetStream. They speak to the
//! brokers and not to the daemon, so what they see has crossed.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::{self, consumer::pull::OrderedConfig};
use futures_util::StreamExt as _;
use redis::{
    AsyncConnectionConfig,
    aio::MultiplexedConnection,
    streams::{StreamReadOptions, StreamReadReply},
};
use tokio::sync::mpsc;

use super::tally::Seen;

/// Redis streams that the stock guests use, and those of the daemon itself.
pub const STREAMS: [&str; 5] =
    ["aurora:alerts", "aurora:cps:alerts", "aurora:cps:attestation", "aurora:dead_letter", "aurora:audit"];

/// Reads every stream from its beginning, until nobody listens any more.
///
/// # Errors
/// Redis cannot be reached or does not understand.
pub async fn redis_streams(url: String, seen: mpsc::Sender<Seen>) -> anyhow::Result<()> {
    let mut connection = redis_connection(&url).await?;
    let mut after = STREAMS.map(|_| "0".to_owned());
    let options = StreamReadOptions::default().count(1000).block(100);
    while !seen.is_closed() {
        let read = redis::AsyncTypedCommands::xread_options(&mut connection, &STREAMS, &after, &options).await;
        let reply: StreamReadReply = read.context("cannot read the Redis streams")?.unwrap_or_default();
        let at = Instant::now();
        for stream in reply.keys {
            for entry in stream.ids {
                if let Some(place) = STREAMS.iter().position(|name| *name == stream.key) {
                    after[place].clone_from(&entry.id);
                }
                let fields = entry
                    .map
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, redis::from_redis_value::<Vec<u8>>(value).ok()?)))
                    .collect();
                let entry = Seen::Entry { stream: stream.key.clone(), id: entry.id, fields, at };
                if seen.send(entry).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

async fn redis_connection(url: &str) -> anyhow::Result<MultiplexedConnection> {
    // Longer than the time that XREAD may block.
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(5)));
    let client = redis::Client::open(url).context("cannot read the Redis address")?;
    client.get_multiplexed_async_connection_with_config(&config).await.context("cannot reach Redis")
}

/// Reads the stream `AURORA` from its beginning, until nobody listens any more.
///
/// # Errors
/// NATS cannot be reached, or the stream is missing.
pub async fn jetstream(url: String, seen: mpsc::Sender<Seen>) -> anyhow::Result<()> {
    let client = async_nats::connect(url).await.context("cannot reach NATS")?;
    let jetstream = jetstream::new(client);
    let stream = jetstream.get_stream("AURORA").await.context("the daemon has made no stream `AURORA`")?;
    let consumer = stream.create_consumer(OrderedConfig::default()).await.context("cannot consume `AURORA`")?;
    let mut messages = consumer.messages().await.context("cannot consume `AURORA`")?;
    loop {
        tokio::select! {
            () = seen.closed() => return Ok(()),
            message = messages.next() => {
                let Some(message) = message else { return Ok(()) };
                let message = message.context("cannot consume `AURORA`")?;
                let from = serde_json::from_slice::<From>(&message.payload).unwrap_or_default();
                let id = message.headers.as_ref().and_then(|headers| headers.get("Nats-Msg-Id"));
                let message = Seen::Message {
                    subject: message.subject.to_string(),
                    id: id.map(ToString::to_string),
                    event: from.id.or(from.event_id),
                };
                if seen.send(message).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Which event a message is or belongs to.
#[derive(Default, serde::Deserialize)]
struct From {
    id: Option<String>,
    event_id: Option<String>,
}
