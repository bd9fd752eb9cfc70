use std::time::Duration;

use async_nats::jetstream::{
    ErrorCode,
    context::{CreateStreamError, GetStreamError, GetStreamErrorKind},
    stream::{self, RetentionPolicy},
};

use super::{Config, Connection, Subjects};

/// The stream is not there and cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// JetStream does not answer.
    #[error("cannot ask JetStream for the stream; is the server started with JetStream (-js)?")]
    Ask(#[source] GetStreamError),
    /// JetStream does not make it.
    #[error(
        "cannot make the JetStream stream; if the server has less storage than nats.max_bytes, lower it, and if a \
         stream has some of the subjects already, name it in nats.stream"
    )]
    Create(#[source] CreateStreamError),
}

/// A stream that is there.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// How it differs from what is configured.
    pub differences: Vec<String>,
    /// The subjects that it takes.
    pub subjects: Subjects,
    /// The largest message that it takes, headers included; nothing where any size will do.
    pub max_message_size: Option<usize>,
    /// How long it remembers the ids of messages, whatever is configured here.
    pub duplicate_window: Duration,
}

/// Finds the stream, or makes it as `config` says. An existing one is used as it is: what differs is reported and
/// never changed, because it belongs to all sites.
///
/// # Errors
/// If it is not there and cannot be made.
pub async fn adopt(connection: &Connection, config: &Config) -> Result<Adopted, StreamError> {
    if let Some(found) = find(connection, config).await? {
        return Ok(adopted(&found, config));
    }
    let made = connection.jetstream.create_stream(wanted(config)).await.map_err(StreamError::Create)?;
    tracing::info!(stream = config.stream, "made the JetStream stream");
    Ok(adopted(&made.cached_info().config, config))
}

/// The stream's own configuration; nothing where there is none.
pub(super) async fn find(connection: &Connection, config: &Config) -> Result<Option<stream::Config>, StreamError> {
    match connection.jetstream.get_stream(&config.stream).await {
        Ok(found) => Ok(Some(found.cached_info().config.clone())),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(StreamError::Ask(error)),
    }
}

fn adopted(found: &stream::Config, config: &Config) -> Adopted {
    Adopted {
        differences: differences(found, config),
        subjects: Subjects::new(&found.subjects),
        // -1 and, in an answer to an old request, 0 mean any.
        max_message_size: usize::try_from(found.max_message_size).ok().filter(|most| *most > 0),
        duplicate_window: found.duplicate_window,
    }
}

pub(super) fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn wanted(config: &Config) -> stream::Config {
    stream::Config {
        name: config.stream.clone(),
        subjects: config.subjects.clone(),
        retention: RetentionPolicy::Limits,
        max_bytes: i64::try_from(config.max_bytes.as_u64()).unwrap_or(i64::MAX),
        duplicate_window: config.duplicate_window,
        ..Default::default()
    }
}

/// How `found` differs from what is configured.
pub(super) fn differences(found: &stream::Config, config: &Config) -> Vec<String> {
    let wanted = wanted(config);
    let mut differences = Vec::new();
    let mut compare = |what: &str, found: String, wanted: String| {
        if found != wanted {
            differences.push(format!("{what} is {found}, configured is {wanted}"));
        }
    };
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort();
        format!("[{}]", subjects.join(" "))
    };
    compare("subjects", sorted(&found.subjects), sorted(&wanted.subjects));
    compare("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention));
    compare("max_bytes", found.max_bytes.to_string(), wanted.max_bytes.to_string());
    compare("duplicate_window", format!("{:?}", found.duplicate_window), format!("{:?}", wanted.duplicate_window));
    differences
}
