use std::{sync::Arc, time::Duration};

use redis::RedisResult;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::{Feed, Ring, message::Message};
use crate::{
    admin::Readiness,
    broker::{backoff, redis_streams::GroupReader},
    event::EntryId,
    telemetry::{Chain, FeedMetrics},
};

/// Entries of a stream that are read at a time.
const AT_ONCE: usize = 128;

/// How often is looked whether another daemon reads by the same group. Whoever was there first has no other way to notice:
/// that viewers see only a part looks like a quiet hour. One question for each stream.
const LOOK: Duration = Duration::from_secs(3);

/// Reads what a feed is made of and gives it to all viewers.
pub(super) struct Hub {
    pub feed: Feed,
    pub reader: GroupReader,
    /// Names of the streams, as the reader has their keys.
    pub streams: Vec<String>,
    pub group: String,
    /// Who reads by the group as well, as of the last look.
    pub beside: Vec<String>,
    pub ring: Ring,
    /// Larger messages are cut.
    pub most: usize,
    pub reconnect_max: Duration,
    pub readiness: Readiness,
    pub metrics: FeedMetrics,
}

impl Hub {
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = self.read_on() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn read_on(&mut self) {
        let mut given = vec![EntryId { ms: 0, sequence: 0 }; self.streams.len()];
        let mut look_at = Instant::now();
        let (mut waits, mut told) = (backoff(self.reconnect_max), false);
        loop {
            match self.step(&mut given, &mut look_at).await {
                Ok(()) => {
                    self.metrics.reading.set(1);
                    if std::mem::take(&mut told) {
                        waits = backoff(self.reconnect_max);
                    }
                }
                Err(error) => {
                    self.metrics.reading.set(0);
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(feed = %self.feed, error = %Chain(&error), "viewers see nothing until Redis can be read");
                    }
                    time::sleep(waits.next().unwrap_or(self.reconnect_max)).await;
                }
            }
        }
    }

    async fn step(&mut self, given: &mut [EntryId], look_at: &mut Instant) -> RedisResult<()> {
        let entries = self.reader.next(AT_ONCE).await?;
        let read: Vec<_> = entries.iter().map(|entry| (entry.stream, entry.id)).collect();
        for entry in &entries {
            // What comes again because an answer was lost has perhaps been seen. One that was trimmed away says nothing.
            if entry.id > given[entry.stream] && !entry.fields.is_empty() {
                given[entry.stream] = entry.id;
                let message = Message::of(self.feed, &self.streams[entry.stream], entry, self.most);
                // Nobody is there: then nobody misses it.
                let _ = self.ring.send(Arc::new(message));
                self.metrics.read.inc();
            }
        }
        if !read.is_empty() {
            self.reader.acknowledge(&read).await?;
        }
        if Instant::now() >= *look_at {
            *look_at = Instant::now() + LOOK;
            self.look().await?;
        }
        Ok(())
    }

    /// Whether somebody takes a part of the entries away from us.
    async fn look(&mut self) -> RedisResult<()> {
        let others = self.reader.others().await?;
        if others == self.beside {
            return Ok(());
        }
        let why = (!others.is_empty()).then(|| {
            format!(
                "{} reads by the group {} as well, so that viewers of each see only a part; set broadcast.host",
                others.join(", "),
                self.group
            )
        });
        if let Some(why) = &why {
            tracing::warn!(feed = %self.feed, "{why}");
        }
        self.readiness.degrade(&format!("broadcast {}", self.feed), why);
        self.beside = others;
        Ok(())
    }
}
