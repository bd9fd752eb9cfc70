use clap::ValueEnum;

use crate::{broker::redis_streams, config::Config, raw};

/// Where events can be watched: what stands in streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Stage {
    /// What collectors add to the stream of [raw]. What comes by MQTT or HTTP is never in a stream as it came.
    Raw,
    /// Normalized events, in the streams that routers choose among.
    Normalized,
    /// What could not be processed.
    DeadLetter,
    /// What waits to be sent to other sites.
    Outbox,
    /// What the daemon and agents did.
    Audit,
    /// All of these.
    All,
}

/// A stream to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// What it is shown as.
    pub stage: &'static str,
    pub name: String,
}

/// The streams of `stages`, and those with these `names`; each once.
pub(super) fn streams(
    stages: &[Stage],
    names: &[String],
    config: &Config,
    redis: &redis_streams::Config,
) -> Vec<Watched> {
    let is = |stage| stages.contains(&stage) || stages.contains(&Stage::All);
    let raw = config.raw.as_ref().map_or_else(|| raw::Config::default().stream, |raw| raw.stream.clone());
    let normalized = redis.routable().map(|(name, _)| ("normalized", name.clone()));
    let mut all = Vec::new();
    let found = [
        (Stage::Raw, vec![("raw", raw)]),
        (Stage::Normalized, normalized.collect()),
        (Stage::DeadLetter, vec![("dead-letter", redis.dead_letter.clone())]),
        (Stage::Outbox, vec![("outbox", redis.outbox.clone())]),
        (Stage::Audit, vec![("audit", redis.audit.clone())]),
    ];
    let named = names.iter().map(|name| ("stream", name.clone()));
    let wanted = found.into_iter().filter(|(stage, _)| is(*stage)).flat_map(|(_, streams)| streams);
    for (stage, name) in wanted.chain(named) {
        if all.iter().all(|watched: &Watched| watched.name != name) {
            all.push(Watched { stage, name });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_watched_once_under_its_stage() {
        let (config, redis) = (Config::default(), redis_streams::Config::default());
        let names = |stages: &[Stage], names: &[&str]| -> Vec<String> {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            streams(stages, &names, &config, &redis)
                .into_iter()
                .map(|one| format!("{} {}", one.stage, one.name))
                .collect()
        };
        assert_eq!(
            names(&[Stage::Normalized], &["aurora:audit", "aurora:alerts"]),
            [
                "normalized aurora:alerts",
                "normalized aurora:cps:alerts",
                "normalized aurora:cps:attestation",
                "stream aurora:audit"
            ]
        );
        assert_eq!(names(&[Stage::All], &[]).len(), 7);
    }
}
