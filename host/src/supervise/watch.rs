//! Whether Redis is there.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Part, PartState, Readiness},
    broker::redis_streams::{Letters, Pool},
    telemetry::{Broker, Chain, Metrics},
};

/// How often Redis is asked whether it is there. Publishers know while events flow; on a quiet site nobody else would.
const WATCH: Duration = Duration::from_secs(2);

pub(super) async fn watch_redis(
    redis: Pool,
    letters: Letters,
    readiness: Readiness,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let broker = metrics.broker(Broker::Redis).clone();
    let watch = async {
        let mut told = false;
        loop {
            let answer = redis.ping().await;
            // A stream that does not say is told of where a letter is to be stored.
            if answer.is_ok()
                && let Ok(length) = letters.count().await
            {
                metrics.dead_letters.set(i64::try_from(length).unwrap_or(i64::MAX));
            }
            match answer {
                Ok(()) => {
                    told = false;
                    // A batch in flight knows better: it says so itself if it cannot be stored, and when it is.
                    if broker.in_flight.get() == 0 {
                        broker.connected.set(1);
                        readiness.set(Part::Redis, PartState::Ready);
                    }
                }
                Err(error) => {
                    let error = Chain(&error).to_string();
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(error, "Redis is away, events wait until it is back");
                    }
                    broker.connected.set(0);
                    readiness.set(Part::Redis, PartState::NotReady(error));
                }
            }
            tokio::time::sleep(WATCH).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = stop.cancelled() => {}
    }
}
