//! Which pending entries are in whose hands: what the source does beside reading.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{
    probe::other_groups,
    source::{Error, LOOKS, Source},
    window::Seen,
};
use crate::{
    broker::redis_streams::{Pending, RawEntry, RawStream, Taken},
    event::{EntryId, Intake},
};

/// How long a suspect is alone. One that ends the host does so at once; one that a guest puts off must not hold up the
/// others.
const ALONE: Duration = Duration::from_secs(1);

/// A settled entry is on its way to Redis for so many times `raw.stale` at the most. Taking it again does no harm: whoever
/// comes second is a repetition.
const OVERDUE: u32 = 10;

impl<I: Intake> Source<I> {
    /// Looks at all that is pending: says what is in good hands, takes over what is in nobody's, and begins to take what
    /// is ours and not in hand.
    pub(super) async fn look(&mut self, stream: &mut RawStream) -> Result<(), Error> {
        let every = (self.config.stale / 4).clamp(LOOKS.0, LOOKS.1);
        self.look_at = Instant::now() + every;
        let (mut after, mut overdue) = (None, 0);
        self.window.begin_look();
        loop {
            // Before Redis is asked: what settles while it answers is on the page and not pending any more.
            self.enter();
            let page = stream.mine(after, RawStream::PAGE).await?;
            let mut held = Vec::new();
            for pending in &page {
                match self.window.see(pending.id, Instant::now(), self.config.stale * OVERDUE) {
                    Seen::InHand if pending.idle >= every => held.push(pending.id),
                    Seen::InHand => {}
                    Seen::Left => self.sweep = self.sweep.or(Some(None)),
                    Seen::Overdue => {
                        overdue += 1;
                        self.sweep = self.sweep.or(Some(None));
                    }
                }
            }
            if !held.is_empty() {
                let deleted = stream.hold(&held, every).await?;
                self.tell_deleted(deleted);
            }
            after = page.last().map(|pending| pending.id);
            if page.len() < RawStream::PAGE {
                break;
            }
        }
        self.window.end_look();
        if overdue > 0 {
            tracing::warn!(
                entries = overdue,
                "entries that were settled long ago are pending still, they are taken again: was a record of the spool damaged?"
            );
        }
        self.take_over(stream).await?;
        let standing = stream.standing().await?;
        self.gauges.pending.set(standing.pending as i64);
        let lag = match standing.lag {
            // Redis does not always know. What is not pending is not read yet, where nothing else stays.
            None if self.config.remove && standing.others.is_empty() => {
                Some(stream.len().await?.saturating_sub(standing.pending))
            }
            lag => lag,
        };
        if let Some(lag) = lag {
            self.gauges.lag.set(lag as i64);
        }
        if self.config.remove && !standing.others.is_empty() && !std::mem::replace(&mut self.told_of_groups, true) {
            let others: Vec<_> = standing.others.iter().map(String::as_str).collect();
            tracing::warn!(stream = self.key, "{}", other_groups(&others));
        }
        Ok(())
    }

    /// Takes over stale entries, as many as there is room for: other hosts may have more.
    async fn take_over(&mut self, stream: &mut RawStream) -> Result<(), Error> {
        let (mut from, mut claimed, mut deleted) = (None, 0, 0);
        while claimed < self.room().unwrap_or(0) {
            let found = stream.take_over(self.config.stale, from).await?;
            claimed += found.entries.iter().filter(|entry| !self.window.knows(**entry)).count();
            deleted += found.deleted;
            from = found.next;
            if from.is_none() {
                break;
            }
        }
        if claimed > 0 {
            tracing::info!(entries = claimed, "took over entries that nobody has settled for long");
            self.sweep = Some(None);
        }
        self.tell_deleted(deleted);
        Ok(())
    }

    fn tell_deleted(&self, entries: usize) {
        if entries > 0 {
            self.gauges.deleted.inc_by(entries as u64);
            tracing::error!(
                entries,
                stream = self.key,
                "entries were deleted before they were stored: who trims this stream?"
            );
        }
    }

    /// Takes some of the entries behind `after` that are pending with us and not in hand. Returns where to go on.
    pub(super) async fn take_left(
        &mut self,
        stream: &mut RawStream,
        after: Option<EntryId>,
        room: usize,
    ) -> Result<Option<Option<EntryId>>, Error> {
        let page = stream.mine(after, RawStream::PAGE).await?;
        self.enter();
        let end = page.last().filter(|_| page.len() == RawStream::PAGE).map(|last| Some(last.id));
        let left: Vec<Pending> = page.into_iter().filter(|pending| !self.window.knows(pending.id)).collect();
        let Some(first) = left.first() else { return Ok(end) };
        let is_suspect = |pending: &Pending| pending.deliveries >= self.config.max_deliveries.saturating_sub(1).min(2);
        let (alone, run) = match is_suspect(first) {
            true => (true, &left[..1]),
            false => {
                let length = left.iter().take(room).take_while(|pending| !is_suspect(pending)).count();
                (false, &left[..length])
            }
        };
        let counts: HashMap<EntryId, u64> = run.iter().map(|pending| (pending.id, pending.deliveries)).collect();
        let ids: Vec<EntryId> = run.iter().map(|pending| pending.id).collect();
        let Taken { entries, deleted } = stream.take(&ids).await?;
        self.tell_deleted(deleted);
        self.gauges.redelivered.inc_by(entries.len() as u64);
        let counted = |entry: RawEntry| {
            let before = counts.get(&entry.id).copied().unwrap_or_default();
            (entry, before)
        };
        self.hand_on(stream, entries.into_iter().map(counted).collect()).await?;
        if alone {
            self.pause(Instant::now() + ALONE, |source| !source.window.is_flying(ids[0])).await;
        }
        Ok(Some(ids.last().copied()))
    }
}
