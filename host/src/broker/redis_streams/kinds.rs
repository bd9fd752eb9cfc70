use redis::RedisError;

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

/// The streams of `layout` whose keys hold something else, and what. A commit stores nothing there.
///
/// # Errors
/// If Redis cannot be reached or refuses.
pub async fn misfits(redis: &Pool, layout: &Layout) -> Result<Vec<(String, String)>, KindError> {
    let mut connection = redis.get().await?;
    let mut pipeline = redis::pipe();
    for stream in layout.streams() {
        pipeline.cmd("TYPE").arg(layout.key(stream));
    }
    let kinds: Vec<String> = pipeline.query_async(&mut *connection).await.map_err(|error| {
        redis.discard(connection);
        KindError::Redis(error)
    })?;
    let named = layout.streams().map(|stream| layout.name(stream).to_owned()).zip(kinds);
    Ok(named.filter(|(_, kind)| kind != "stream" && kind != "none").collect())
}
