use redis::RedisResult;

use super::{Fields, Pool, PoolError, letters::pairs};
use crate::event::EntryId;

/// The newest entries of each stream, at most `most` of each, newest first.
///
/// # Errors
/// If Redis cannot be reached or refuses.
pub async fn newest(redis: &Pool, keys: &[String], most: usize) -> Result<Vec<Vec<(EntryId, Fields)>>, PoolError> {
    type Page = Vec<(String, Vec<Vec<u8>>)>;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = redis.get().await?;
    let mut pipeline = redis::pipe();
    for key in keys {
        pipeline.cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(most);
    }
    let pages: RedisResult<Vec<Page>> = pipeline.query_async(&mut *connection).await;
    let pages = pages.map_err(|error| {
        redis.discard(connection);
        PoolError::Connect(deadpool::managed::PoolError::Backend(error))
    })?;
    let entry = |(id, fields): (String, _)| Some((id.parse().ok()?, pairs(fields)));
    Ok(pages.into_iter().map(|page| page.into_iter().filter_map(entry).collect()).collect())
}
