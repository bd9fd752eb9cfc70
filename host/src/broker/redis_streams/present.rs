use std::collections::HashSet;

use redis::{RedisError, RedisResult, streams::StreamRangeReply};
use uuid::Uuid;

use super::{Pool, PoolError, id_of};

/// Entries read in one round trip. Redis counts entries and not their bytes, and one may have a MiB.
const AT_ONCE: usize = 64;

/// A stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PresentError {
    /// No connection.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Redis refused, or the connection broke.
    #[error("the stream {0} cannot be read")]
    Redis(String, #[source] RedisError),
}

/// Ids of the events in the stream at `key` that were stored since then, milliseconds since 1970-01-01 UTC.
///
/// # Errors
/// If Redis cannot be reached or refuses.
pub async fn present(redis: &Pool, key: &str, since: u64) -> Result<HashSet<Uuid>, PresentError> {
    let mut connection = redis.get().await?;
    let (mut ids, mut from) = (HashSet::new(), since.to_string());
    loop {
        let mut command = redis::cmd("XRANGE");
        command.arg(key).arg(&from).arg("+").arg("COUNT").arg(AT_ONCE);
        let page: RedisResult<StreamRangeReply> = command.query_async(&mut *connection).await;
        let page = match page {
            Ok(page) => page.ids,
            Err(error) => {
                redis.discard(connection);
                return Err(PresentError::Redis(key.to_owned(), error));
            }
        };
        let Some(last) = page.last() else { return Ok(ids) };
        from = format!("({}", last.id);
        let data = page.iter().filter_map(|entry| entry.get::<Vec<u8>>("data"));
        ids.extend(data.filter_map(|data| id_of(&data)));
    }
}
