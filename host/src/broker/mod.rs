//! Connections to brokers. Nothing outside this folder opens one.

mod finding;
pub mod mqtt;
pub mod redis_streams;
pub mod jetstream;

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
pub use finding::{Finding, Probed, Weight};

/// Waits, one after the other.
pub type Backoff = ExponentialBackoff;

/// Waits between attempts to reach a broker: from 100 ms, doubling up to `most`, with jitter so that hosts do not come
/// back all at once; without end.
pub fn backoff(most: Duration) -> Backoff {
    // The jitter adds up to as much again.
    let most = most / 2;
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100).min(most))
        .with_max_delay(most)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_ceiling_and_never_end() {
        let ceiling = Duration::from_secs(5);
        let waits: Vec<_> = backoff(ceiling).take(200).collect();
        assert_eq!(waits.len(), 200);
        assert!(waits[0] >= Duration::from_millis(100) && waits[0] <= Duration::from_millis(200), "{:?}", waits[0]);
        assert!(waits.iter().all(|wait| *wait <= ceiling));
        assert!(waits[100..].iter().all(|wait| *wait >= ceiling / 2));
    }
}
