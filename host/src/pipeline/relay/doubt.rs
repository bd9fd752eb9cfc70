//! Entries of which nobody knows whether they were sent, and that are too old for JetStream to recognise them.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use super::{Error, round::Round};
use crate::broker::{jetstream::HeldError, redis_streams::Waiting};

/// How far the clocks of Redis and NATS may be apart.
const CLOCKS: Duration = Duration::from_secs(120);

/// A window so short that reading the stream always takes a good part of it makes no sense of reading it more often.
const MOST_LOOKS: usize = 3;

impl Round<'_> {
    /// Sends entries that were taken before, by us or by another host, without sending twice what the stream has.
    pub async fn resume(&mut self, mut page: Vec<Waiting>) -> Result<(), Error> {
        // Half of it: what is young now must still be remembered when it arrives.
        let safe = self.stream.duplicate_window / 2;
        let now = self.outbox.now().await?;
        let is_old = |since: i64| now - since > milliseconds(safe);
        if page.iter().any(|message| is_old(self.known.since(message))) {
            let mut from = None;
            for _ in 0..MOST_LOOKS {
                let (began, clock) = (Instant::now(), self.outbox.now().await?);
                let found = self.look(&page, from).await?;
                page.retain(|message| {
                    let held = found.contains(&message.entry);
                    if held {
                        self.known.acked.push(message.entry.clone());
                    }
                    !held
                });
                // Something of an old connection may have arrived behind the end of what was read, and be forgotten
                // by now if reading took its time.
                if began.elapsed() < safe / 2 {
                    break;
                }
                from = Some(clock);
            }
            self.known.clear(&mut self.outbox).await?;
        }
        self.send(page).await
    }

    /// Which entries of `page` the stream holds. Looks from `from` on, else from when each can have been sent first.
    async fn look(&self, page: &[Waiting], from: Option<i64>) -> Result<HashSet<String>, Error> {
        let ids: Vec<_> = page.iter().map(Waiting::message_id).collect();
        let mut subjects: BTreeMap<&str, (i64, HashSet<&str>)> = BTreeMap::new();
        for (message, id) in page.iter().zip(&ids) {
            let since = from.unwrap_or_else(|| self.known.since(message));
            let (first, ids) = subjects.entry(&message.subject).or_insert((since, HashSet::new()));
            *first = since.min(*first);
            ids.insert(id);
        }
        let (stream, mut found) = (&self.relay.config.stream, HashSet::<String>::new());
        for (subject, (since, ids)) in subjects {
            // Nobody can have stored it there.
            if !self.stream.subjects.allow(subject) {
                continue;
            }
            match self.connection.held(stream, subject, since - milliseconds(CLOCKS), &ids).await {
                Ok(held) => found.extend(held),
                // Waiting would not make it readable, and twice is better than never.
                Err(error @ HeldError::Refused(_)) => {
                    tracing::warn!(
                        error = %error,
                        subject,
                        messages = ids.len(),
                        "messages are sent that may have been sent before"
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
        let held = page.iter().zip(&ids).filter(|(_, id)| found.contains(*id));
        let entries: HashSet<_> = held.map(|(message, _)| message.entry.clone()).collect();
        self.relay.metrics.outbox_recognised.inc_by(entries.len() as u64);
        tracing::info!(
            looked_for = page.len(),
            found = entries.len(),
            "looked in the JetStream stream for what was perhaps sent before"
        );
        Ok(entries)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
