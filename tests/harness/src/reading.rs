//! What a consumer would find at the other end: whole Redis streams, the whole JetStream stream.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use async_nats::jetstream::{self, ErrorCode, consumer::pull::OrderedConfig};
use futures_util::StreamExt as _;
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection, streams::StreamRangeReply};
use serde_json::Value;

use crate::PATIENCE;

/// An entry of a Redis stream.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// Its fields, as bytes.
    pub fields: HashMap<String, Vec<u8>>,
}

impl Entry {
    /// A field as text; empty if it is missing.
    #[must_use]
    pub fn text(&self, field: &str) -> String {
        self.fields.get(field).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    /// The field `data` as JSON; null if it is missing or something else.
    #[must_use]
    pub fn data(&self) -> Value {
        self.fields.get("data").and_then(|data| serde_json::from_slice(data).ok()).unwrap_or_default()
    }

    /// Names of the fields, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// A message of JetStream.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// `Nats-Msg-Id`.
    pub id: Option<String>,
    /// All headers, first values only.
    pub headers: HashMap<String, String>,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Message {
    /// The payload as JSON; null if it is something else.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

/// A connection to Redis that waits for an answer as long as tests wait for anything: while the rest of a site is busy on
/// the same machine, a page of entries takes longer than clients wait by default.
///
/// # Errors
/// Redis is not there.
pub async fn connect_redis(url: &str) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(url).context("cannot read the Redis address")?;
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&patient).await.context("cannot reach Redis")
}

/// All entries of `stream`, oldest first; none if there is no such stream.
///
/// # Errors
/// Redis does not answer.
pub async fn read_stream(url: &str, stream: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    walk_stream(url, stream, |entry| entries.push(entry)).await?;
    Ok(entries)
}

/// Shows all entries of `stream` to `see`, oldest first, without holding more than a page of them.
///
/// # Errors
/// Redis does not answer.
pub async fn walk_stream(url: &str, stream: &str, mut see: impl FnMut(Entry)) -> Result<()> {
    const PAGE: usize = 10_000;
    let mut connection = connect_redis(url).await?;
    let mut from = "-".to_owned();
    loop {
        let mut range = redis::cmd("XRANGE");
        range.arg(stream).arg(&from).arg("+").arg("COUNT").arg(PAGE);
        let reply: StreamRangeReply = range.query_async(&mut connection).await.context("cannot read the stream")?;
        let read = reply.ids.len();
        for id in reply.ids {
            from = format!("({}", id.id);
            let fields = id.map.into_iter().map(|(key, value)| Ok((key, redis::from_redis_value::<Vec<u8>>(value)?)));
            let fields = fields.collect::<Result<_>>().context("a field is no string")?;
            see(Entry { id: id.id, fields });
        }
        if read < PAGE {
            return Ok(());
        }
    }
}

/// All messages of the JetStream stream `name`, oldest first; none if there is no such stream.
///
/// # Errors
/// NATS does not answer.
pub async fn read_jetstream(url: &str, name: &str) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    walk_jetstream(url, name, |message| messages.push(message)).await?;
    Ok(messages)
}

/// Shows all messages of the JetStream stream `name` to `see`, oldest first.
///
/// # Errors
/// NATS does not answer.
pub async fn walk_jetstream(url: &str, name: &str, mut see: impl FnMut(Message)) -> Result<()> {
    let jetstream = jetstream::new(async_nats::connect(url).await.context("cannot reach NATS")?);
    let mut stream = match jetstream.get_stream(name).await {
        Ok(stream) => stream,
        Err(error) if is_not_found(&error) => return Ok(()),
        Err(error) => return Err(error).context("cannot look up the stream"),
    };
    let count = usize::try_from(stream.info().await.context("cannot ask about the stream")?.state.messages)?;
    if count == 0 {
        return Ok(());
    }
    let consumer = stream.create_consumer(OrderedConfig::default()).await.context("cannot consume the stream")?;
    let mut messages = consumer.messages().await.context("cannot consume the stream")?.take(count);
    while let Some(message) = messages.next().await {
        let message = message.context("cannot consume the stream")?;
        let mut headers = HashMap::new();
        for (name, values) in message.headers.iter().flat_map(async_nats::HeaderMap::iter) {
            headers.extend(values.first().map(|value| (name.to_string(), value.to_string())));
        }
        see(Message {
            subject: message.subject.to_string(),
            id: headers.get("Nats-Msg-Id").cloned(),
            headers,
            payload: message.payload.to_vec(),
        });
    }
    Ok(())
}

fn is_not_found(error: &jetstream::context::GetStreamError) -> bool {
    use jetstream::context::GetStreamErrorKind::JetStream;
    matches!(error.kind(), JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
