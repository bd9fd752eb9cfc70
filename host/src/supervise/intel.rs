//! What it takes to look out for shared indicators.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::base::Base;
use crate::{
    federation::Ceiling,
    intel::{Matcher, Seen, Table, WAITING, keep_count, keep_sightings},
};

/// The parts of looking, before the lanes have theirs.
pub(super) struct Looking {
    table: Table,
    sightings: mpsc::Sender<Seen>,
    seen: mpsc::Receiver<Seen>,
}

/// The table as `[intel]` wants it; none without that section. What the ceiling never lets out is not looked out for.
pub(super) fn table(base: &Base<'_>) -> Option<Table> {
    let intel = base.config.intel.as_ref()?;
    let ceiling = Arc::new(Ceiling::new(base.config));
    Some(Table::new(&base.redis, base.redis_config, intel, ceiling, &base.metrics.intel))
}

impl Looking {
    /// In this table.
    pub fn new(table: Table) -> Self {
        let (sightings, seen) = mpsc::channel(WAITING);
        Self { table, sightings, seen }
    }

    /// For the lanes, each of which takes a copy.
    pub fn matcher(&self, site: &str) -> Matcher {
        Matcher::new(self.table.clone(), site, self.sightings.clone())
    }

    /// The tasks: the count until `stop`, and the sightings until all lanes have ended.
    pub fn tasks(
        self,
        stop: &CancellationToken,
    ) -> (impl Future<Output = ()> + use<>, impl Future<Output = ()> + use<>) {
        let Self { table, seen, .. } = self;
        (keep_count(table.clone(), stop.clone()), keep_sightings(table, seen, stop.clone()))
    }
}
