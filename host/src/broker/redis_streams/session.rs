use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, LazyLock},
};

use redis::{AsyncTypedCommands, RedisResult, Script};
use tokio::sync::OnceCell;

use super::{CommitError, Connection, Durability, Layout, Pool, commit::Producer};

/// What this process is to Redis: the newest one of its name, once it has registered. Everything that commits shares it.
#[derive(Debug)]
pub struct Session {
    layout: Arc<Layout>,
    /// Tells the producers of this process from those of the ones before.
    process: u64,
    epoch: OnceCell<u64>,
    pub(super) durability: Durability,
    /// Whether batches of earlier processes are still to be stored, so that their numbers must be kept.
    inherits: bool,
}

impl Session {
    /// The session whose commits have `layout`. `inherits`: there is a spool with batches of an earlier process.
    #[must_use]
    pub fn new(layout: &Arc<Layout>, durability: Durability, inherits: bool) -> Self {
        // `RandomState` is the standard library's only source of chance.
        let process = RandomState::new().build_hasher().finish();
        Self { layout: Arc::clone(layout), process, epoch: OnceCell::new(), durability, inherits }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.layout.session_name()
    }

    /// What its commits may touch.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// A producer of batches; `label` is unique in this process.
    #[must_use]
    pub fn producer(&self, label: &str) -> Producer {
        Producer::new(format!("{:016x}:{label}", self.process), &self.layout)
    }

    /// A producer that another process of this session's name may have been: what one has stored, the next one has.
    #[must_use]
    pub fn lasting_producer(&self, label: &str) -> Producer {
        Producer::new(label.to_owned(), &self.layout)
    }

    /// The epoch of this process. The first call registers: from then on nothing that an earlier process of this name
    /// has sent is stored any more.
    pub(super) async fn epoch(&self, connection: &mut Connection) -> RedisResult<u64> {
        self.epoch.get_or_try_init(|| self.register(connection)).await.copied()
    }

    /// All that was stored has been acknowledged, and its source's broker has the acknowledgements. From here on a mark
    /// of before tells of none of several equal deliveries that it has come again: see [`commit`](super::commit).
    ///
    /// # Errors
    /// Redis is away.
    pub async fn all_acknowledged(&self, pool: &Pool) -> Result<(), CommitError> {
        let mut connection = pool.get().await?;
        let epoch = self.epoch(&mut connection).await.map_err(CommitError::Again)?;
        let mut call = ALL_ACKNOWLEDGED.prepare_invoke();
        call.key(self.layout.session()).arg(epoch);
        call.invoke_async(&mut *connection).await.map_err(CommitError::Again)
    }

    async fn register(&self, connection: &mut Connection) -> RedisResult<u64> {
        let process = format!("{:016x}", self.process);
        loop {
            let before = connection.hget(self.layout.session(), "epoch").await?.unwrap_or_else(|| "0".to_owned());
            let mut call = REGISTER.prepare_invoke();
            call.key(self.layout.session()).key(self.layout.producers());
            call.arg(&process).arg(before).arg(u8::from(self.inherits));
            if let Some(epoch) = call.invoke_async(&mut **connection).await? {
                return Ok(epoch);
            }
        }
    }
}

/// Gives a process the epoch behind the one that it has seen, or the one that it has: the question may arrive again long
/// after its answer was lost, or after another process has registered. Unless batches of earlier processes are still to
/// come, their numbers are of no use any more; but a spool that is not configured now may be so again, so they are
/// forgotten once in 256 registrations.
static REGISTER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
if redis.call('HGET', KEYS[1], 'process') == ARGV[1] then
  return tonumber(epoch)
elseif epoch ~= ARGV[2] then
  return false
end
redis.call('HSET', KEYS[1], 'process', ARGV[1], 'epoch', epoch + 1)
if ARGV[3] == '0' and epoch % 256 == 255 then
  redis.call('DEL', KEYS[2])
end
return epoch + 1",
    )
});

/// Only what an earlier process has stored may have been left unacknowledged by it.
static ALL_ACKNOWLEDGED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua
local of_session = redis.call('HMGET', KEYS[1], 'epoch', 'count')
if of_session[1] == ARGV[1] then
  redis.call('HSET', KEYS[1], 'acknowledged', of_session[2] or 0)
end",
    )
});
