use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::{
    broker::redis_streams::{self, check_name},
    config::{self, findings::Findings},
};

/// `[raw]`: raw events out of a stream of the Redis that `[redis]` names. Without this section none is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The stream that collectors add to. Not one that events go to.
    pub stream: String,
    /// The consumer group. Daemons of one group share the work.
    pub group: String,
    /// Our name in the group, unique in it and the same after a restart. Default: see [`consumer`](Self::consumer).
    pub consumer: Option<String>,
    /// Whether an entry goes from the stream when it is stored. Other groups could not read it then.
    pub remove: bool,
    /// Entries of a consumer that has not been heard of for this long are taken over.
    #[serde(with = "humantime_serde")]
    pub stale: Duration,
    /// An entry that was delivered so often and never settled becomes a dead letter.
    pub max_deliveries: u64,
    /// Most entries taken and not yet stored in Redis. Those in the spool count as soon as a look has found them there.
    pub max_in_flight: usize,
    /// The same in bytes of payload. A read asks for as many entries as fit if each has `max_payload`, and for one where
    /// that is none: so only payloads that are larger go beyond it by more than one.
    pub max_in_flight_bytes: ByteSize,
    /// Larger payloads become dead letters, of which only so much is kept.
    pub max_payload: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream: "aurora:raw".to_owned(),
            group: "aurora-normalize".to_owned(),
            consumer: None,
            remove: true,
            stale: Duration::from_secs(60),
            max_deliveries: 5,
            max_in_flight: 4096,
            max_in_flight_bytes: ByteSize::mib(64),
            max_payload: ByteSize::mib(1),
        }
    }
}

impl Config {
    pub(crate) fn validate(&self, redis: Option<&redis_streams::Config>, findings: &mut Findings) {
        check_name(findings, "raw.stream".to_owned(), &self.stream);
        check_name(findings, "raw.group".to_owned(), &self.group);
        if let Some(consumer) = &self.consumer {
            check_name(findings, "raw.consumer".to_owned(), consumer);
        }
        if let Some(redis) = redis {
            let own = [("dead_letter", &redis.dead_letter), ("audit", &redis.audit), ("outbox", &redis.outbox)];
            if let Some((key, _)) = own.iter().find(|(_, name)| **name == self.stream) {
                findings.problem("raw.stream", format!("is the same stream as `redis.{key}`"), "give each its own");
            } else if redis.streams.contains_key(&self.stream) {
                let what = "is also in `redis.streams`, so that what events become would be raw events again";
                findings.problem("raw.stream", what, "choose a name of its own");
            }
        }
        let ages = (Duration::from_secs(1), Duration::from_hours(24));
        findings.range("raw.stale", self.stale, ages, ("\"1s\"", "\"24h\""));
        findings.range("raw.max_deliveries", self.max_deliveries, (2, 1000), ("2", "1000"));
        findings.range("raw.max_in_flight", self.max_in_flight, (1, 65_536), ("1", "65536"));
        let windows = (ByteSize::kib(1), ByteSize::gib(4));
        findings.range("raw.max_in_flight_bytes", self.max_in_flight_bytes, windows, ("\"1KiB\"", "\"4GiB\""));
        let sizes = (ByteSize::b(1), ByteSize::mib(256));
        findings.range("raw.max_payload", self.max_payload, sizes, ("1 byte", "\"256MiB\""));
    }

    /// Our name in the group: `consumer`, else the MQTT client id, which is unique at this Redis as well, else host and
    /// port of the admin listener. All of these are the same after a restart, so that what was left is ours at once.
    #[must_use]
    pub fn consumer(&self, whole: &config::Config) -> String {
        match (&self.consumer, &whole.mqtt) {
            (Some(consumer), _) => consumer.clone(),
            (None, Some(mqtt)) => mqtt.client_id.clone(),
            (None, None) => {
                // Where there is no such file, hosts of a group have to be told apart by `raw.consumer`.
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
                let host = if host.trim().is_empty() { &whole.site.id } else { host.trim() };
                format!("{host}:{}", whole.admin.listen.port())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::mqtt;

    #[test]
    fn a_consumer_is_named_by_its_section_or_its_session_or_its_host() {
        let mut whole = config::Config::default();
        let unnamed = Config::default();
        let of_host = unnamed.consumer(&whole);
        assert!(of_host.ends_with(":9464") && of_host == unnamed.consumer(&whole), "{of_host}");
        whole.mqtt = Some(mqtt::Config { client_id: "host-7".to_owned(), ..mqtt::Config::default() });
        assert_eq!(unnamed.consumer(&whole), "host-7");
        assert_eq!(Config { consumer: Some("seven".to_owned()), ..unnamed }.consumer(&whole), "seven");
    }
}
