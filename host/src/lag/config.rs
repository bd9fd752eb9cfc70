use std::time::Duration;

use serde::Deserialize;

use crate::{
    broker::redis_streams::{self, check_name},
    config::findings::Findings,
    raw,
};

/// `[lag]`: how often is looked how far readers have come, and in which streams besides our own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// Streams besides those of `[redis]` and `[raw]`.
    pub streams: Vec<String>,
    /// The stream of tasks for agents, of which `aurora_agent_tasks_pending_total` tells.
    pub tasks: String,
    /// The group whose pending tasks these are.
    pub tasks_group: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            streams: ["aurora:agent:tasks", "aurora:agent:results", "aurora:agent:dead_letter"]
                .map(str::to_owned)
                .into(),
            tasks: "aurora:agent:tasks".to_owned(),
            tasks_group: "aurora-agents".to_owned(),
        }
    }
}

impl Config {
    pub(crate) fn validate(&self, findings: &mut Findings) {
        let waits = (Duration::from_secs(1), Duration::from_secs(600));
        findings.range("lag.every", self.every, waits, ("\"1s\"", "\"10m\""));
        for (index, name) in self.streams.iter().enumerate() {
            check_name(findings, format!("lag.streams[{index}]"), name);
        }
        check_name(findings, "lag.tasks".to_owned(), &self.tasks);
        check_name(findings, "lag.tasks_group".to_owned(), &self.tasks_group);
        // Each is asked for one after the other, and each is a series.
        if self.streams.len() > 64 {
            findings.problem("lag.streams", "has more than 64 streams", "name those that matter");
        }
    }

    /// Names of all streams that are looked at, each once.
    pub(super) fn all(&self, redis: &redis_streams::Config, raw: Option<&raw::Config>) -> Vec<String> {
        let own = [&redis.dead_letter, &redis.audit, &redis.outbox];
        let raw = raw.map(|raw| &raw.stream);
        let names = redis.streams.keys().chain(own).chain(raw).chain(&self.streams).chain([&self.tasks]);
        let names: std::collections::BTreeSet<_> = names.cloned().collect();
        names.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_looked_at_once() {
        let redis = redis_streams::Config::default();
        let all = Config::default().all(&redis, Some(&raw::Config::default()));
        let expected = [
            "aurora:agent:dead_letter",
            "aurora:agent:results",
            "aurora:agent:tasks",
            "aurora:alerts",
            "aurora:audit",
            "aurora:cps:alerts",
            "aurora:cps:attestation",
            "aurora:dead_letter",
            "aurora:outbox",
            "aurora:raw",
        ];
        assert_eq!(all, expected);
    }
}
