//! The tasks beside the lanes: what was seen here goes into the table, and the host knows how many indicators there are.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Seen, Table};
use crate::{broker::backoff, telemetry::Chain};

/// Sightings that wait for Redis. More are counted and lost.
pub const WAITING: usize = 10_000;

/// How many are recorded at once.
const TOGETHER: usize = 500;

/// How often it is asked how many indicators there are: so long an empty table may be thought empty after another host has
/// put something into it.
const LOOK: Duration = Duration::from_millis(250);

/// In how many looks what has ended is cleared away.
const CLEAR: u32 = 240;

/// How long the last sightings may take when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Records what lanes have seen, until all of them have ended. After `stop` it no longer waits for a Redis that is away.
pub async fn keep_sightings(table: Table, mut seen: mpsc::Receiver<Seen>, stop: CancellationToken) {
    let mut waiting = Vec::with_capacity(TOGETHER);
    while seen.recv_many(&mut waiting, TOGETHER).await > 0 {
        let (mut wait, mut told) = (backoff(Duration::from_secs(5)), false);
        let until = || Instant::now() + FAREWELL;
        loop {
            let recorded = match stop.is_cancelled() {
                true => timeout_at(until(), table.record(&waiting)).await.ok(),
                false => Some(table.record(&waiting).await),
            };
            match recorded {
                Some(Ok(_)) => break,
                Some(Err(error)) if !stop.is_cancelled() => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(error = %Chain(&error), "sightings of shared indicators wait for Redis");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(wait.next().unwrap_or(LOOK)) => {}
                        () = stop.cancelled() => {}
                    }
                }
                _ => {
                    table.metrics().sightings_lost.inc_by(waiting.len() as u64);
                    break;
                }
            }
        }
        waiting.clear();
    }
}

/// Asks again and again how many there are, until `stop`.
pub async fn keep_count(table: Table, stop: CancellationToken) {
    let (mut ticks, mut looks) = (interval(LOOK), 0u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        looks = looks.wrapping_add(1);
        // An outage is told by those who suffer by it.
        if let Err(error) = table.refresh(looks.is_multiple_of(CLEAR)).await {
            tracing::debug!(error = %Chain(&error), "how many shared indicators there are is not known");
        }
    }
}
