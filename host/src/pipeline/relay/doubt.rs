//! Entries of which nobody knows whether they were sent, and that are too old for JetStream to recognise them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{Error, round::Round};
use crate::broker::{
    jetstream::{HeldError, Looker},
    redis_streams::Waiting,
};

/// How far the clocks of Redis and NATS may be apart.
const CLOCKS: Duration = Duration::from_secs(120);

/// A window so short that reading the stream always takes a good part of it makes no sense of reading it more often.
const MOST_LOOKS: usize = 3;

/// Entries that were looked for.
#[derive(Default)]
struct Looked {
    found: HashSet<String>,
    /// Not found, and the stream was read to its end.
    missed: Vec<String>,
}

impl Round<'_> {
    /// Sends entries that were taken before, by us or by another host, without sending twice what the stream has.
    pub async fn resume(&mut self, page: Vec<Waiting>) -> Result<(), Error> {
        self.known.suspect(&page);
        let page = self.sift(page).await?;
        self.send_all(page).await
    }

    /// Takes out of `page` what the stream has. Looks only for what is in doubt, and only if JetStream would not
    /// recognise it; the rest is as good as new.
    pub async fn sift(&mut self, mut page: Vec<Waiting>) -> Result<Vec<Waiting>, Error> {
        let Some(oldest) = page.iter().filter_map(|message| self.known.doubt(&message.entry)).min() else {
            return Ok(page);
        };
        // Half of it: what is young now must still be remembered when it arrives.
        let safe = self.stream.duplicate_window / 2;
        if self.outbox.now().await? - oldest <= milliseconds(safe) {
            return Ok(page);
        }
        let mut from = None;
        for _ in 0..MOST_LOOKS {
            let (began, clock) = (Instant::now(), self.outbox.now().await?);
            let Looked { found, missed } = self.look(&page, from).await?;
            page.retain(|message| !found.contains(&message.entry));
            for entry in found {
                self.known.forget(&entry);
                self.known.acked.push(entry);
            }
            // It may wait behind a refused message for long, and then only this time counts.
            for entry in missed {
                self.known.missed(&entry, clock);
            }
            // Something of an old connection may have arrived behind the end of what was read, and be forgotten by now
            // if reading took its time.
            if began.elapsed() < safe / 2 {
                break;
            }
            from = Some(clock);
        }
        self.known.clear(&mut self.outbox).await?;
        Ok(page)
    }

    /// Looks for those entries of `page` that are in doubt, from `from` on, else from when each can have been stored
    /// first.
    async fn look(&self, page: &[Waiting], from: Option<i64>) -> Result<Looked, Error> {
        // By subject: since when, and the entries by their message ids.
        let mut subjects: BTreeMap<&str, (i64, HashMap<String, &str>)> = BTreeMap::new();
        let mut count = 0;
        for message in page {
            let Some(since) = self.known.doubt(&message.entry) else { continue };
            let since = from.unwrap_or(since);
            let (first, ids) = subjects.entry(&message.subject).or_insert_with(|| (since, HashMap::new()));
            *first = since.min(*first);
            ids.insert(message.message_id(), &message.entry);
            count += 1;
        }
        let (stream, mut looked) = (&self.relay.config.stream, Looked::default());
        let consumer = self.relay.config.consumer(Looker::Relay, &self.relay.target.site);
        for (subject, (since, ids)) in subjects {
            // It takes no such subject now, so nothing is sent there either, whatever it took before.
            if !self.stream.subjects.allow(subject) {
                continue;
            }
            let wanted = ids.keys().map(String::as_str).collect();
            match self.connection.held((stream, &consumer), subject, since - milliseconds(CLOCKS), &wanted).await {
                Ok(held) => {
                    for (id, entry) in ids {
                        if held.contains(&id) {
                            looked.found.insert(entry.to_owned());
                        } else {
                            looked.missed.push(entry.to_owned());
                        }
                    }
                }
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
        self.relay.metrics.outbox_recognised.inc_by(looked.found.len() as u64);
        tracing::info!(
            looked_for = count,
            found = looked.found.len(),
            "looked in the JetStream stream for what was perhaps sent before"
        );
        Ok(looked)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
