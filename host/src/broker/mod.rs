//! Connections to brokers. Nothing outside this folder opens one.

pub mod mqtt;
pub mod redis_streams;
pub mod jetstream;

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Waits between attempts to reach a broker: from 100 ms, doubling, with jitter so that hosts do not come back all at
/// once, up to `most`; without end.
#[must_use]
pub fn backoff(most: Duration) -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100).min(most))
        .with_max_delay(most)
        .with_jitter()
        .without_max_times()
        .build()
}
