use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use super::{dedup, leaving::Leaving};
use crate::{
    broker::{
        mqtt,
        redis_streams::{Layout, Memory, Step, Stream},
    },
    config::Config,
    federation::Offer,
};

/// Where a batch is stored, by position in the layout of its commits.
#[derive(Clone, Debug)]
pub struct Target {
    /// The keys of all commits.
    pub layout: Arc<Layout>,
    /// Streams of normalized events, in the order of [`Stages::streams`](super::Stages::streams).
    pub streams: Vec<Stream>,
    /// Stream of dead letters.
    pub dead_letter: Stream,
    /// Stream of the audit trail.
    pub audit: Stream,
    /// Stream of what waits for JetStream; none where nothing leaves.
    pub outbox: Option<Stream>,
    /// Where entries of the stream of raw events come from; none where there is no such source.
    pub raw: Option<Raw>,
    /// Where entries of streams that are offered to other sites come from.
    pub offers: Vec<(Offer, Raw)>,
    /// Stream of what was decided on those; none where none is offered.
    pub decisions: Option<Stream>,
    /// Which events are one.
    pub dedup: dedup::Config,
    /// What other sites get of an event.
    pub leaving: Leaving,
    /// For how long a message of another site is known again.
    pub remember: Duration,
    /// Name of this site.
    pub site: String,
}

/// A stream that is read through a group, whose entries are acknowledged by the commit itself.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The stream.
    pub stream: Stream,
    /// The consumer group.
    pub group: String,
    /// Whether entries go from the stream once they are stored.
    pub remove: bool,
}

/// Length of a stream for which the configuration has none.
const LENGTH: u64 = 50_000;

impl Target {
    /// Of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self::of(config, session_name(config), &memory(config))
    }

    /// For a command that stores something beside the daemon, of which there may be one or none: under a name that
    /// nobody else has and that is soon forgotten, and always in atomic steps.
    #[must_use]
    pub fn for_command(config: &Config) -> Self {
        Self::atomic(config, unique(&config.site.id))
    }

    /// The same for what the spool has set aside, under the one name that all such commands have.
    #[must_use]
    pub fn for_recovery(config: &Config) -> Self {
        Self::atomic(config, format!("{}:damaged", config.site.id))
    }

    fn atomic(config: &Config, session: String) -> Self {
        let mut config = config.clone();
        // A letter goes in the step that stores its events; entries written one by one would take none out.
        if let Some(redis) = &mut config.redis {
            redis.step = Step::Atomic;
        }
        Self::of(&config, session, &Memory { session: COMMAND, ..memory(&config) })
    }

    fn of(config: &Config, session: String, memory: &Memory) -> Self {
        let redis = config.redis.clone().unwrap_or_default();
        let length = |name: &str| redis.streams.get(name).copied().unwrap_or(LENGTH);
        let mut names: Vec<(String, u64)> = redis.routable().map(|(name, length)| (name.clone(), length)).collect();
        let routable = names.len();
        // Dead letters are not trimmed unless somebody wants it: they would be lost.
        names.push((redis.dead_letter.clone(), redis.streams.get(&redis.dead_letter).copied().unwrap_or(0)));
        names.push((redis.audit.clone(), length(&redis.audit)));
        // Never trimmed: an entry goes when JetStream has acknowledged it.
        names.push((redis.outbox.clone(), 0));
        // Never trimmed by us: only what is stored goes.
        names.extend(config.raw.as_ref().map(|raw| (raw.stream.clone(), 0)));
        // Nor what somebody else writes; the audit trail is there already.
        let federation = &config.federation;
        let offered = || federation.share.iter().map(|&offer| (offer, federation.stream_of(offer, &redis)));
        for (_, name) in offered() {
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name.to_owned(), 0));
            }
        }
        let streams = &federation.streams;
        let decisions = (config.nats.is_some() && !federation.share.is_empty()).then_some(streams.decisions.as_str());
        names.extend(decisions.map(|name| (name.to_owned(), streams.decisions_length)));
        let layout = Layout::new(&redis, session, names, memory);
        let stream = |name: &str| layout.stream(name).expect("it is among the names above");
        Self {
            streams: redis.routable().take(routable).map(|(name, _)| stream(name)).collect(),
            dead_letter: stream(&redis.dead_letter),
            audit: stream(&redis.audit),
            outbox: config.nats.is_some().then(|| stream(&redis.outbox)),
            raw: config.raw.as_ref().map(|raw| Raw {
                stream: stream(&raw.stream),
                group: raw.group.clone(),
                remove: raw.remove,
            }),
            offers: offered()
                .map(|(offer, name)| {
                    let group = federation.streams.group.clone();
                    (offer, Raw { stream: stream(name), group, remove: false })
                })
                .collect(),
            decisions: decisions.map(stream),
            leaving: Leaving::new(config),
            dedup: match redis.step {
                Step::Atomic => config.dedup.clone(),
                // Nobody would look a key up, so none is made: it is there to be measured.
                Step::Plain => dedup::Config { window: Duration::ZERO, ..config.dedup.clone() },
            },
            remember: federation.inbound.clone().unwrap_or_default().remember(),
            site: config.site.id.clone(),
            layout,
        }
    }
}

/// Under what name the daemon registers at Redis: its MQTT client id, for the packet ids that Redis remembers are those
/// of that session. A daemon without MQTT leaves nothing to a successor, and is not to be taken for another one.
fn session_name(config: &Config) -> String {
    match &config.mqtt {
        Some(mqtt) => mqtt.client_id.clone(),
        None => unique(&config.site.id),
    }
}

fn unique(site: &str) -> String {
    // `RandomState` is the standard library's only source of chance.
    format!("{site}:{:016x}", RandomState::new().build_hasher().finish())
}

/// How long what a command has stored is known to be its own. It gives up long before.
const COMMAND: Duration = Duration::from_hours(1);

/// Half of the packet ids of MQTT, so that within it none comes round. All of that: a broker that is busy handing over
/// leaves thousands of our acknowledgements unread in its socket, and delivers all of those again when the connection ends.
const HORIZON: u64 = 32_768;

/// What a broker of MQTT 3.1.1 says nothing of.
const SESSION: Duration = Duration::from_hours(24 * 90);

fn memory(config: &Config) -> Memory {
    let mqtt = config.mqtt.clone().unwrap_or_default();
    let session = match mqtt.version {
        mqtt::Version::V5 => mqtt.session_expiry + Duration::from_hours(24),
        mqtt::Version::V3_1_1 => SESSION,
    };
    Memory { dedup: config.dedup.window, horizon: HORIZON, session }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::redis_streams;

    #[test]
    fn makes_keys_of_dedup_only_where_somebody_looks_them_up() {
        let with = |step| {
            let redis = Some(redis_streams::Config { step, ..redis_streams::Config::default() });
            Config { redis, ..Config::default() }
        };
        assert_eq!(Target::new(&with(Step::Atomic)).dedup.window, dedup::Config::default().window);
        assert!(Target::new(&with(Step::Plain)).dedup.window.is_zero());
        // A command's steps are atomic in any case.
        assert!(!Target::for_command(&with(Step::Plain)).dedup.window.is_zero());
    }
}
