//! Whether a stream can take an entry at all. A commit finds out by itself; this is to say it before.

use redis::{ErrorKind, RedisError, RedisResult, aio::ConnectionLike, streams::StreamInfoStreamReply};

use super::{Layout, Pool, PoolError};

/// A key's type cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke.
    #[error("Redis does not say what its keys hold")]
    Redis(#[source] RedisError),
}

/// The id behind which there is none.
const LAST_ID: &str = "18446744073709551615-18446744073709551615";

/// The streams of `layout` that take no entry, and why: `holds a string and no stream`.
///
/// # Errors
/// If Redis cannot be reached or refuses.
pub async fn misfits(redis: &Pool, layout: &Layout) -> Result<Vec<(String, String)>, KindError> {
    let mut connection = redis.get().await?;
    let keys: Vec<String> = layout.streams().map(|stream| layout.key(stream).to_owned()).collect();
    let found = unusable(&mut *connection, &keys).await.map_err(|error| {
        redis.discard(connection);
        KindError::Redis(error)
    })?;
    let mut names = layout.streams().map(|stream| layout.name(stream).to_owned()).zip(keys);
    let named = found.into_iter().filter_map(|(key, why)| {
        let (name, _) = names.find(|(_, one)| *one == key)?;
        Some((name, why))
    });
    Ok(named.collect())
}

/// Those of `keys` that take no entry, in their order, and why.
pub(super) async fn unusable(
    connection: &mut impl ConnectionLike,
    keys: &[String],
) -> RedisResult<Vec<(String, String)>> {
    let mut pipeline = redis::pipe();
    keys.iter().for_each(|key| _ = pipeline.cmd("TYPE").arg(key));
    let kinds: Vec<String> = pipeline.query_async(connection).await?;
    let mut found = Vec::new();
    for (key, kind) in keys.iter().zip(kinds) {
        match kind.as_str() {
            "none" => {}
            "stream" if is_used_up(connection, key).await? => {
                found.push((key.clone(), "has no id left for an entry".to_owned()));
            }
            "stream" => {}
            _ => found.push((key.clone(), format!("holds a {kind} and no stream"))),
        }
    }
    Ok(found)
}

/// Whether somebody has added an entry with the last id that there is. It may be deleted since.
async fn is_used_up(connection: &mut impl ConnectionLike, key: &str) -> RedisResult<bool> {
    let about = redis::cmd("XINFO").arg("STREAM").arg(key).query_async::<StreamInfoStreamReply>(connection).await;
    match about {
        Ok(about) => Ok(about.last_generated_id == LAST_ID),
        // Who may not ask finds out when it is written.
        Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => Ok(false),
        Err(error) => Err(error),
    }
}
