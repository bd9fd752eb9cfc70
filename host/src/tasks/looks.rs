//! Which pending tasks are in whose hands: what the worker does beside reading new ones.

use std::collections::{HashMap, HashSet};

use tokio::time::{Instant, timeout};

use super::worker::{Error, GOODBYE, LOOKS, Worker};
use crate::{
    broker::redis_streams::{Delivered, RawStream, TaskStream},
    event::EntryId,
    telemetry::Chain,
};

/// Pages of pending tasks without one for us that are turned in one look.
const MOST_BARREN: usize = 5;

impl Worker {
    /// Looks at what is pending: says what is in good hands, finds what an earlier run has left, takes over what nobody does.
    pub(super) async fn look(&mut self, stream: &mut TaskStream) -> Result<(), Error> {
        let every = (self.means.config.stale / 4).clamp(LOOKS.0, LOOKS.1);
        self.look_at = Instant::now() + every;
        let mut after = None;
        let mut seen = HashSet::new();
        loop {
            let page = stream.mine(after).await?;
            let mut held = Vec::new();
            for pending in &page {
                seen.insert(pending.id);
                if self.running.contains_key(&pending.id) || self.later.contains_key(&pending.id) {
                    held.extend((pending.idle >= every).then_some(pending.id));
                } else {
                    self.later.insert(pending.id, (Instant::now(), pending.deliveries));
                }
            }
            if !held.is_empty() {
                let deleted = stream.hold(&held, every).await?;
                self.count(0, deleted);
            }
            after = page.last().map(|pending| pending.id);
            if page.len() < RawStream::PAGE {
                break;
            }
        }
        // What is not ours any more was taken over while we could not say that we have it.
        self.later.retain(|id, _| seen.contains(id));
        self.take_stale(stream).await
    }

    /// Takes over what nobody does, as long as there is some and room for it.
    pub(super) async fn take_stale(&mut self, stream: &mut TaskStream) -> Result<(), Error> {
        let mut barren = 0;
        while self.crew.idle() > 0 {
            let (stale, from) = (Some(self.means.config.stale), self.stale_from.take());
            let given = stream.take(self.crew.idle(), &self.served, stale, from.as_deref()).await?;
            self.stale_from = given.next;
            self.count(given.passed, given.deleted);
            barren = if given.tasks.is_empty() { barren + 1 } else { 0 };
            self.begin_all(stream, given.tasks).await?;
            // What is behind many tasks of others is for the next look.
            self.is_more_stale = self.stale_from.is_some() && barren < MOST_BARREN;
            // What was no task is stored before more is taken.
            if !self.is_more_stale || !self.ended.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Tries again what is due, as far as there is room.
    pub(super) async fn retake(&mut self, stream: &mut TaskStream) -> Result<(), Error> {
        let now = Instant::now();
        let due = self.later.iter().filter(|(_, (at, _))| *at <= now).take(self.crew.idle());
        let due: Vec<(EntryId, u64)> = due.map(|(id, (_, deliveries))| (*id, *deliveries)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = due.iter().map(|(id, _)| *id).collect();
        let taken = stream.retake(&ids).await?;
        ids.iter().for_each(|id| _ = self.later.remove(id));
        self.count(0, taken.deleted);
        let counts: HashMap<_, _> = due.into_iter().collect();
        let again = taken.entries.into_iter().map(|entry| {
            let deliveries = counts.get(&entry.id).copied().unwrap_or_default() + 1;
            Delivered { entry, deliveries, is_left: false }
        });
        self.begin_all(stream, again.collect()).await
    }

    pub(super) fn next_retry(&self) -> Option<Instant> {
        // Where there is no room, the end of a task makes some.
        if self.crew.idle() == 0 {
            return None;
        }
        self.later.values().map(|(at, _)| *at).min()
    }

    /// Gives back what is under way still, so that the next worker need not wait until it is stale. What waits for another
    /// attempt keeps its count.
    pub(super) async fn give_back(&mut self) -> usize {
        let left = self.running.len() + self.later.len();
        if self.running.is_empty() {
            return left;
        }
        let given = async {
            let mut stream = self.open().await?;
            let running = &self.running;
            Ok::<_, Error>(stream.give_back(self.means.config.stale, |id| running.contains_key(&id)).await?)
        };
        match timeout(GOODBYE, given).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(error = %Chain(&error), left, "cannot give back tasks, they become stale"),
            Err(_) => tracing::warn!(left, "Redis does not answer, tasks that are left become stale"),
        }
        left
    }
}
