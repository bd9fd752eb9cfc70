use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use redis::{AsyncTypedCommands, RedisResult};
use tokio::sync::OnceCell;

use super::{Connection, Durability, Layout, commit::Producer};

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

    /// The epoch of this process. The first call registers: from then on nothing that an earlier process of this name
    /// has sent is stored any more.
    pub(super) async fn epoch(&self, connection: &mut Connection) -> RedisResult<u64> {
        self.epoch.get_or_try_init(|| self.register(connection)).await.copied()
    }

    async fn register(&self, connection: &mut Connection) -> RedisResult<u64> {
        let key = self.layout.session();
        // Repeated after a lost answer it raises the epoch by two, which does no harm.
        let epoch: u64 = redis::cmd("HINCRBY").arg(key).arg("epoch").arg(1).query_async(&mut **connection).await?;
        if !self.inherits {
            // Nothing of the processes before can be stored any more, so their numbers are of no use.
            connection.del(self.layout.producers()).await?;
        }
        Ok(epoch)
    }
}
