//! Whether Redis is there.

use std::time::Duration;

use super::base::Base;
use crate::{
    admin::{Part, PartState},
    telemetry::{Broker, Chain},
};

/// How often Redis is asked whether it is there. Publishers know while events flow; on a quiet site nobody else would.
const WATCH: Duration = Duration::from_secs(2);

/// Asks until it is told to end.
pub(super) fn watch_redis(base: &Base<'_>) -> impl Future<Output = ()> + use<> {
    let (redis, letters) = (base.redis.clone(), base.letters());
    let (readiness, metrics, stop) = (base.readiness.clone(), base.metrics.clone(), base.stops.redis.clone());
    let broker = metrics.broker(Broker::Redis).clone();
    let watch = async move {
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
    async move {
        tokio::select! {
            () = watch => {}
            () = stop.cancelled() => {}
        }
    }
}
