use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{Durability, Level};
use crate::config::{findings::Findings, quoted, redacted_url, urls};

/// `[redis]`: where normalized events go.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `redis://[user:password@]host[:6379][/db]` or `rediss://…` for TLS; of a cluster several nodes, separated by
    /// commas, so that one may be down when the daemon starts. Required.
    pub url: String,
    /// Whether it is a cluster. All keys then lie in one slot, so that a batch is one step.
    pub cluster: bool,
    /// What stands in the braces of every key and so chooses the slot: with `aurora` the stream `aurora:alerts` is the
    /// key `{aurora}:alerts`. Default: `aurora` in a cluster, none outside.
    pub hash_tag: Option<String>,
    /// Certificate authority of `rediss://`, PEM. Without it well-known ones are trusted.
    pub ca: Option<PathBuf>,
    /// Connections in the pool.
    pub pool: usize,
    /// Longest wait for a connection or an answer.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Ceiling of the back-off between attempts after an error.
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
    /// Length to which each stream is trimmed, approximately (`MAXLEN ~`); 0 never trims. Those that the host does not write
    /// itself are also the streams that a router may name. Those left out keep their defaults; new names add streams.
    #[serde(deserialize_with = "over_defaults")]
    pub streams: BTreeMap<String, u64>,
    /// Stream of dead letters.
    pub dead_letter: String,
    /// Stream of the audit trail.
    pub audit: String,
    /// Stream of what waits to be sent to other sites. Never trimmed: an entry goes when JetStream has it.
    pub outbox: String,
    /// What the keys begin with that hold what the host remembers: of packet ids, of batches, of contents.
    pub state: String,
    /// How sure it must be that a batch is stored before its sources hear of it.
    pub durability: Level,
    /// What a batch is to Redis.
    pub step: Step,
    /// How many replicas must have it, for `durability = "replicas"`; with `"fsync"` on their disks, too. A problem with
    /// `"memory"`, which waits for none.
    pub replicas: u32,
}

impl Config {
    /// How sure a commit must be. A wait takes at most half of the time that an answer may take.
    #[must_use]
    pub fn durability(&self) -> Durability {
        Durability { level: self.durability, replicas: self.replicas, timeout: self.timeout / 2 }
    }

    /// The streams that a router may name, with their lengths: all but those that the host writes itself, where a guest
    /// could otherwise forge an audit entry or something for other sites.
    pub fn routable(&self) -> impl Iterator<Item = (&String, u64)> {
        let own = [&self.dead_letter, &self.audit, &self.outbox];
        self.streams.iter().filter(move |(name, _)| !own.contains(name)).map(|(name, length)| (name, *length))
    }
}

/// `[redis] step`: what a batch is to Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// One step: all or nothing, and a repeat is recognised.
    #[default]
    Atomic,
    /// As most clients write: entries one after the other in one pipeline. What is interrupted is stored again, in part
    /// a second time, and nothing is deduplicated. It is there to measure what the atomic step costs.
    Plain,
}

/// Streams of the seeds with their lengths.
fn streams() -> BTreeMap<String, u64> {
    [
        ("aurora:alerts", 50_000),
        ("aurora:cps:alerts", 50_000),
        ("aurora:cps:attestation", 10_000),
        ("aurora:audit", 50_000),
        // What could not be processed is lost when it is trimmed; somebody has to look at it.
        ("aurora:dead_letter", 0),
    ]
    .map(|(name, length)| (name.to_owned(), length))
    .into()
}

fn over_defaults<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let mut all = streams();
    all.extend(BTreeMap::<String, u64>::deserialize(deserializer)?);
    Ok(all)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            cluster: false,
            hash_tag: None,
            ca: None,
            pool: 16,
            timeout: Duration::from_secs(5),
            reconnect_max: Duration::from_secs(5),
            streams: streams(),
            dead_letter: "aurora:dead_letter".to_owned(),
            audit: "aurora:audit".to_owned(),
            outbox: "aurora:outbox".to_owned(),
            state: "aurora:state".to_owned(),
            durability: Level::Memory,
            replicas: 0,
            step: Step::Atomic,
        }
    }
}

impl Config {
    pub(crate) fn validate(&self, findings: &mut Findings) {
        self.validate_urls(findings);
        findings.range("redis.pool", self.pool, (1, 1024), ("1", "1024"));
        let waits = (Duration::from_millis(100), Duration::from_secs(3600));
        findings.range("redis.timeout", self.timeout, waits, ("\"100ms\"", "\"1h\""));
        findings.range("redis.reconnect_max", self.reconnect_max, waits, ("\"100ms\"", "\"1h\""));
        for name in self.streams.keys() {
            check_name(findings, format!("redis.streams.{}", quoted(name)), name);
        }
        let own = [("dead_letter", &self.dead_letter), ("audit", &self.audit), ("outbox", &self.outbox)];
        for (index, (name, stream)) in own.iter().enumerate() {
            let key = format!("redis.{name}");
            check_name(findings, key.clone(), stream);
            if let Some((other, _)) = own[..index].iter().find(|(_, other)| other == stream) {
                findings.problem(key, format!("is the same stream as `redis.{other}`"), "give each its own");
            }
        }
        check_name(findings, "redis.state".to_owned(), &self.state);
        if self.durability == Level::Replicas && self.replicas == 0 {
            let what = "is 0, but `redis.durability` is \"replicas\"";
            findings.problem("redis.replicas", what, "say how many replicas must have a batch, 1 for example");
        }
        if self.durability == Level::Memory && self.replicas > 0 {
            let what = "is set, but `redis.durability` is \"memory\", which waits for none";
            findings.problem("redis.replicas", what, "set redis.durability to \"replicas\", or leave it out");
        }
        if self.streams.contains_key(&self.outbox) {
            let what = "is also in `redis.streams`, whose streams are trimmed and open to routers";
            findings.problem("redis.outbox", what, "choose a name of its own");
        }
        self.validate_keys(findings);
    }

    fn validate_urls(&self, findings: &mut Findings) {
        let urls = urls::split(&self.url);
        for one in &urls {
            let Some(url) = urls::check(findings, "redis.url", one, ["redis", "rediss"]) else { continue };
            let database = url.path().trim_matches('/');
            if !database.is_empty() && database.parse::<u32>().is_err() {
                findings.problem("redis.url", "names a database that is not a number", "write it like redis://host/0");
            } else if self.cluster && !matches!(database, "" | "0") {
                findings.problem("redis.url", "names a database, but a cluster has only 0", "leave it out");
            }
            if self.ca.is_some() && url.scheme() == "redis" {
                let what = "is set, but `redis.url` says redis://, which is not encrypted";
                findings.problem("redis.ca", what, "write rediss://");
            }
        }
        if urls.len() > 1 && !self.cluster {
            findings.problem("redis.url", "names several nodes, which only a cluster has", "set redis.cluster = true");
        }
    }

    /// Names become keys; two that become the same one would be one stream.
    fn validate_keys(&self, findings: &mut Findings) {
        if let Some(tag) = &self.hash_tag {
            let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '{' && c != '}';
            if tag.is_empty() || tag.len() > 64 || !tag.chars().all(fits) {
                let what = format!("{tag:?} is no hash tag");
                findings.problem(
                    "redis.hash_tag",
                    what,
                    "choose 1 to 64 bytes without braces and spaces, like \"aurora\"",
                );
                return;
            }
        }
        let streams = self.streams.keys().map(|name| (format!("redis.streams.{}", quoted(name)), name));
        let own = [("dead_letter", &self.dead_letter), ("audit", &self.audit), ("outbox", &self.outbox)];
        let own = own.into_iter().map(|(key, name)| (format!("redis.{key}"), name));
        let mut keys = BTreeMap::new();
        for (setting, name) in streams.chain(own) {
            let key = self.key(name);
            if let Some(other) = keys.insert(key.clone(), name).filter(|other| *other != name) {
                let what = format!("is the same key as {other:?}: {key}");
                findings.problem(setting, what, "choose another name, or another redis.hash_tag");
            }
        }
    }
}

pub(crate) fn check_name(findings: &mut Findings, key: String, name: &str) {
    if name.is_empty() || name.len() > 512 || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let what = format!("{name:?} is no stream name");
        findings.problem(key, what, "choose 1 to 512 bytes without spaces, like \"aurora:alerts\"");
    }
}

/// Every field, but the address without its password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            cluster,
            hash_tag,
            ca,
            pool,
            timeout,
            reconnect_max,
            streams,
            dead_letter,
            audit,
            outbox,
            state,
            ..
        } = self;
        f.debug_struct("Config")
            .field("url", &redacted_url(url))
            .field("cluster", cluster)
            .field("hash_tag", hash_tag)
            .field("ca", ca)
            .field("pool", pool)
            .field("timeout", timeout)
            .field("reconnect_max", reconnect_max)
            .field("streams", streams)
            .field("dead_letter", dead_letter)
            .field("audit", audit)
            .field("outbox", outbox)
            .field("state", state)
            .field("durability", &self.durability)
            .field("replicas", &self.replicas)
            .field("step", &self.step)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn a_router_may_not_name_what_the_host_writes_itself() {
        let config = Config::default();
        let routable: Vec<_> = config.routable().map(|(name, _)| name.as_str()).collect();
        assert_eq!(routable, ["aurora:alerts", "aurora:cps:alerts", "aurora:cps:attestation"]);
    }
}
