use super::{Config, consumer};
use crate::broker::{Probed, jetstream};

/// Looks at each stream that `site` reads, and at its consumer, and changes nothing, for `aurora check --connect`. Names of
/// streams, and what was found.
pub async fn probe(config: &Config, nats: &jetstream::Config, site: &str) -> Vec<(String, Result<Probed, String>)> {
    let name = consumer(site);
    let mut all = Vec::new();
    for stream in config.streams(nats) {
        all.push((stream.to_owned(), jetstream::probe_reading(nats, &config.wanted(stream, &name)).await));
    }
    all
}
