//! How long a stream is, and how far each of its groups has come.

use redis::{AsyncTypedCommands, RedisResult, aio::MultiplexedConnection, streams::StreamInfoGroup};

use super::{Pool, PoolError};

/// How a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Entries.
    pub entries: usize,
    /// Its groups, by name.
    pub groups: Vec<Group>,
}

/// How a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its consumers.
    pub consumers: usize,
    /// Entries that were delivered and not acknowledged.
    pub pending: usize,
    /// Entries that were not delivered yet; none where Redis does not know, as after a deletion.
    pub lag: Option<usize>,
    /// When the oldest of the pending ones was added, milliseconds since 1970-01-01 UTC.
    pub oldest_pending_ms: Option<u64>,
}

/// Groups of a stream that are looked at. Anybody who may write to Redis makes as many as he likes, and each becomes a
/// series of ours.
const GROUPS: usize = 32;

/// How the stream `key` stands; empty if there is none, or something else than a stream.
///
/// # Errors
/// If Redis cannot be reached or refuses.
pub async fn depth(redis: &Pool, key: &str) -> Result<Depth, PoolError> {
    let mut connection = redis.get().await?;
    ask(&mut connection, key).await.map_err(|error| {
        redis.discard(connection);
        PoolError::Connect(deadpool::managed::PoolError::Backend(error))
    })
}

async fn ask(connection: &mut MultiplexedConnection, key: &str) -> RedisResult<Depth> {
    let kind: String = redis::cmd("TYPE").arg(key).query_async(connection).await?;
    if kind != "stream" {
        return Ok(Depth::default());
    }
    let entries = connection.xlen(key).await?;
    let mut groups = connection.xinfo_groups(key).await?.groups;
    groups.truncate(GROUPS);
    let mut oldest = vec![None; groups.len()];
    let busy: Vec<_> = (0..groups.len()).filter(|&at| groups[at].pending > 0).collect();
    if !busy.is_empty() {
        let mut pipeline = redis::pipe();
        busy.iter().for_each(|&at| _ = pipeline.cmd("XPENDING").arg(key).arg(&groups[at].name));
        type Summary = (u64, Option<String>, Option<String>, redis::Value);
        let summaries: Vec<Summary> = pipeline.query_async(connection).await?;
        for (&at, (_, first, ..)) in busy.iter().zip(&summaries) {
            oldest[at] = first.as_deref().and_then(ms_of);
        }
    }
    let groups = groups.into_iter().zip(oldest).map(|(group, oldest_pending_ms)| {
        let StreamInfoGroup { name, consumers, pending, lag, .. } = group;
        Group { name, consumers, pending, lag, oldest_pending_ms }
    });
    Ok(Depth { entries, groups: groups.collect() })
}

/// When the entry with this id was added, unless somebody chose its id.
fn ms_of(id: &str) -> Option<u64> {
    id.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::ms_of;

    #[test]
    fn an_id_begins_with_its_time() {
        assert_eq!(ms_of("1763780000000-7"), Some(1_763_780_000_000));
        assert_eq!(ms_of("x"), None);
    }
}
