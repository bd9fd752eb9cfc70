//! The sources that read streams of this site's Redis: raw events, and what is offered to other sites.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Ended, base::Base};
use crate::{broker::redis_streams::Stream, pipeline::Lanes, raw};

/// Starts one for each of them.
pub(super) fn start(base: &Base<'_>, lanes: &Arc<Lanes>, sources: &mut JoinSet<Ended>) {
    let Base { config, target, .. } = base;
    if let (Some(raw_config), Some(raw)) = (&config.raw, &target.raw) {
        let source = source(base, lanes, raw::Sort::Raw, raw_config.clone(), raw.stream);
        sources.spawn(async move { ("raw", source.run().await) });
    }
    for (offer, from) in &target.offers {
        let stream_config = config.federation.streams.of(target.layout.name(from.stream));
        let source = source(base, lanes, raw::Sort::Offer(*offer), stream_config, from.stream);
        let name = offer.source();
        sources.spawn(async move { (name, source.run().await) });
    }
}

fn source(
    base: &Base<'_>,
    lanes: &Arc<Lanes>,
    sort: raw::Sort,
    config: raw::Config,
    stream: Stream,
) -> raw::Source<Lanes> {
    let consumer = config.consumer(base.config);
    let reach = raw::Reach {
        redis: base.redis.clone(),
        timeout: base.redis_config.timeout,
        reconnect_max: base.redis_config.reconnect_max,
    };
    raw::Source::new(
        sort,
        config,
        base.target.layout.key(stream).to_owned(),
        consumer,
        reach,
        Arc::clone(lanes),
        base.metrics.clone(),
        base.readiness.clone(),
        base.stops.sources.clone(),
    )
}
