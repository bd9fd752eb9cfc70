//! The correlator: brings results to those who asked for them, whoever has done the task.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Means, record, waiting::Waiting};
use crate::{
    admin::Readiness,
    broker::{
        backoff,
        redis_streams::{Follow, Matched, RawEntry, RawStream, TicketError, Tickets},
    },
    telemetry::Chain,
};

/// Results that are read at once.
const MOST: usize = 100;

/// How often is looked for results that another host has read and not brought.
const LOOK: Duration = Duration::from_secs(5);

/// Results of a host that has not been heard of for this long are brought by another one. Bringing takes a moment.
const STALE: Duration = Duration::from_secs(10);

/// The two tasks. [`Correlator::run`] is both.
pub struct Correlator {
    means: Means,
    tickets: Arc<Tickets>,
    waiting: Waiting,
    readiness: Readiness,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the stream of results cannot be read")]
    Redis(#[from] redis::RedisError),
    #[error(transparent)]
    Ticket(#[from] TicketError),
}

impl Correlator {
    pub(super) fn new(means: Means, tickets: Arc<Tickets>, waiting: Waiting, readiness: Readiness) -> Self {
        Self { means, tickets, waiting, readiness }
    }

    /// Brings results until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.bring_all() => {}
            () = self.listen() => {}
            () = stop.cancelled() => {}
        }
    }

    /// To tickets, through the group that hosts share.
    async fn bring_all(&self) {
        let longest = self.means.redis_config.reconnect_max;
        let mut waits = backoff(longest);
        loop {
            let started = Instant::now();
            let Err(error) = self.round().await;
            if started.elapsed() > longest {
                waits = backoff(longest);
            }
            let said = Chain(&error).to_string();
            tracing::warn!(error = said, "results of tasks wait in their stream, will try again");
            self.readiness.degrade("task results", Some(said));
            tokio::time::sleep(waits.next().unwrap_or(longest)).await;
        }
    }

    async fn round(&self) -> Result<Infallible, Error> {
        let Means { config, redis, redis_config, consumer, .. } = &self.means;
        let key = redis_config.key(&config.results);
        let opened = RawStream::open(redis, &key, &config.results_group, consumer, redis_config.timeout).await;
        let (mut stream, _) = opened?;
        self.readiness.degrade("task results", None);
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                look_at = Instant::now() + LOOK;
                self.bring_left(&mut stream).await?;
                self.tell_of_queue().await?;
            }
            let read = stream.next(MOST, look_at.saturating_duration_since(Instant::now())).await?;
            self.bring(&read).await?;
        }
    }

    /// Says that nothing can be asked for while as many tasks wait as may.
    async fn tell_of_queue(&self) -> Result<(), Error> {
        let Means { config, redis_config, .. } = &self.means;
        let (waiting, most) = (self.tickets.waiting().await?, config.max_queue);
        let full = (waiting >= most).then(|| {
            let stream = redis_config.key(&config.stream);
            format!("{waiting} tasks wait in {stream}, tasks.max_queue is {most}: POST /v1/tasks is answered with 429")
        });
        self.readiness.degrade("task queue", full);
        Ok(())
    }

    /// What was read before and not brought: by an earlier run, or by a host that has gone.
    async fn bring_left(&self, stream: &mut RawStream) -> Result<(), Error> {
        let mut from = None;
        loop {
            from = stream.take_over(STALE, from).await?.next;
            if from.is_none() {
                break;
            }
        }
        loop {
            let page: Vec<_> = stream.mine(None, MOST).await?.into_iter().map(|pending| pending.id).collect();
            if page.is_empty() {
                return Ok(());
            }
            let taken = stream.take(&page).await?;
            self.bring(&taken.entries).await?;
            if taken.entries.is_empty() && taken.deleted == 0 {
                // Others have it now.
                return Ok(());
            }
        }
    }

    async fn bring(&self, read: &[RawEntry]) -> Result<(), Error> {
        if read.is_empty() {
            return Ok(());
        }
        let most = self.means.config.most_bytes();
        let results: Vec<_> = read
            .iter()
            .map(|entry| {
                let (task, json) = record::for_client(&entry.fields, most);
                (entry.id, task, json)
            })
            .collect();
        let metrics = &self.means.metrics;
        for (what, latency) in self.tickets.bring(&self.means.config.results_group, &results).await? {
            match what {
                Matched::Matched => metrics.correlation_ms.observe(latency.as_secs_f64() * 1000.0),
                Matched::Unmatched => metrics.unmatched.inc(),
                Matched::Repeated | Matched::Gone => {}
            }
        }
        Ok(())
    }

    /// To the requests that wait at this host, whichever host brings the result to its ticket.
    async fn listen(&self) {
        let Means { config, redis, redis_config, .. } = &self.means;
        let mut follow: Option<Follow> = None;
        let mut waits = backoff(redis_config.reconnect_max);
        loop {
            let read = match &mut follow {
                Some(follow) => follow.next(MOST).await,
                None => {
                    let keys = [redis_config.key(&config.results)];
                    match Follow::open(redis, keys, None, redis_config.timeout).await {
                        Ok(opened) => {
                            follow = Some(opened);
                            waits = backoff(redis_config.reconnect_max);
                            continue;
                        }
                        Err(error) => Err(error),
                    }
                }
            };
            match read {
                Ok(_) if self.waiting.is_empty() => {}
                Ok(read) => {
                    for entry in read {
                        if self.waiting.knows(&record::task_of(&entry.fields)) {
                            let (task, json) = record::for_client(&entry.fields, config.most_bytes());
                            self.waiting.tell(&task, &json);
                        }
                    }
                }
                // Told of by the other task. Whoever waits looks at his ticket now and then, too.
                Err(_) => sleep_until(Instant::now() + waits.next().unwrap_or(LOOK)).await,
            }
        }
    }
}
