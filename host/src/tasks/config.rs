use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use super::is_agent;
use crate::{
    broker::redis_streams::{self, check_name},
    config::{self, Grants, StateLimits, findings::Findings, quoted},
    lag, raw,
};

/// `[tasks]`: tasks for agents, done by guests. Without this section none is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The stream of tasks.
    pub stream: String,
    /// Its consumer group, which other workers share.
    pub group: String,
    /// Our name in both groups, unique in them and the same after a restart. Default: as in `[raw]`.
    pub consumer: Option<String>,
    /// The stream of results.
    pub results: String,
    /// Length to which it is trimmed, approximately; 0 never trims.
    pub results_length: u64,
    /// The consumer group of those who bring results to who asked for them.
    pub results_group: String,
    /// The stream of tasks that were given up. Never trimmed.
    pub dead_letter: String,
    /// Tasks that are done at a time.
    pub workers: usize,
    /// How often a task is tried again.
    pub retries: u64,
    /// Wait before the second attempt. It doubles with each one, up to an hour.
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// Tasks that another worker has not been heard of about for this long are taken over.
    #[serde(with = "humantime_serde")]
    pub stale: Duration,
    /// What becomes of tasks whose agent is not in `agents`.
    pub unknown: Unknown,
    /// How long such a task is left at the head of the stream before it is passed over.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// How long after it was added such a task is given up, if nobody has done it.
    #[serde(with = "humantime_serde")]
    pub left_for: Duration,
    /// Whether a task goes from its stream when it is done. Other groups could not read it then.
    pub remove: bool,
    /// How long a `task_id` is known: for so long after its result, what asks the same under it is not done again, and what
    /// asks something else is refused. `0s`: each entry is a task of its own.
    #[serde(with = "humantime_serde")]
    pub remember: Duration,
    /// Largest input of a task, and largest result that is kept.
    pub max_payload: ByteSize,
    /// Whether tasks can be asked for at the listener of `[ingest]`. Results are then read through `results_group`.
    pub api: bool,
    /// How long a result is kept for who asked for it, by `POST /v1/tasks`.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// Longest wait for a result in one request.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// Requests that wait at a time. Beyond it the answer is the id alone.
    pub max_waiting: usize,
    /// Tasks that may wait for workers. Beyond it a request is answered with 429.
    pub max_queue: u64,
    /// Those of them that were asked for by a request and whose agent is neither in `agents` nor in `expected`.
    pub max_unknown: u64,
    /// Agents of other workers, for which as many may be asked as for ours.
    pub expected: Vec<String>,
    /// `[tasks.agents.<name>]`
    pub agents: BTreeMap<String, Agent>,
}

/// `[tasks] unknown`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// They are other workers'.
    #[default]
    Leave,
    /// There are no other workers: they become dead letters.
    Refuse,
}

/// `[tasks.agents.<name>]`: the guest that is this agent. Keys mean what they do in `[guests.<stage>]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// The component, a `.wasm` file. Required, or `oci`.
    pub path: PathBuf,
    /// The component in an OCI registry.
    pub oci: Option<String>,
    /// What it may import beside its settings.
    pub grants: Grants,
    /// Most linear memory.
    pub memory: ByteSize,
    /// Most CPU time of an attempt.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// Most bytes of an answer.
    pub output: ByteSize,
    /// Most log lines of an attempt.
    pub log_lines: u32,
    /// `[tasks.agents.<name>.state]`
    pub state: StateLimits,
    /// `[tasks.agents.<name>.options]`: its own settings.
    pub options: BTreeMap<String, toml::Value>,
}

impl Default for Agent {
    fn default() -> Self {
        let guest = config::Guest::default();
        Self {
            path: guest.path,
            oci: guest.oci,
            grants: guest.grants,
            memory: guest.memory,
            // Nobody waits in a lane for it.
            deadline: Duration::from_secs(10),
            output: ByteSize::mib(1),
            log_lines: guest.log_lines,
            state: guest.state,
            options: guest.options,
        }
    }
}

impl Agent {
    /// The same as a guest of a stage is configured. It has no breaker and no probation, for it fails at tasks, and those
    /// are tried again: nobody stands in for it and nobody takes it back unasked.
    #[must_use]
    pub fn guest(&self) -> config::Guest {
        let Self { path, oci, grants, memory, deadline, output, log_lines, state, options } = self.clone();
        config::Guest {
            path,
            oci,
            grants,
            memory,
            deadline,
            output,
            log_lines,
            state,
            options,
            breaker: config::Breaker { last_good: Some(false), ..config::Breaker::default() },
            probation: config::Probation { events: 0, ..config::Probation::default() },
            ..config::Guest::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream: "aurora:agent:tasks".to_owned(),
            group: "aurora-agents".to_owned(),
            consumer: None,
            results: "aurora:agent:results".to_owned(),
            results_length: 50_000,
            results_group: "api-agent-results".to_owned(),
            dead_letter: "aurora:agent:dead_letter".to_owned(),
            workers: 4,
            retries: 3,
            backoff: Duration::from_secs(1),
            stale: Duration::from_secs(60),
            unknown: Unknown::Leave,
            patience: Duration::from_secs(5),
            left_for: Duration::from_hours(24),
            remove: true,
            remember: Duration::from_hours(24),
            max_payload: ByteSize::mib(1),
            api: true,
            keep: Duration::from_secs(3600),
            max_wait: Duration::from_secs(60),
            max_waiting: 64,
            max_queue: 10_000,
            max_unknown: 100,
            expected: Vec::new(),
            agents: BTreeMap::new(),
        }
    }
}

impl Config {
    pub(crate) fn validate(
        &self,
        redis: Option<&redis_streams::Config>,
        raw: Option<&raw::Config>,
        lag: &lag::Config,
        findings: &mut Findings,
    ) {
        let streams = [("stream", &self.stream), ("results", &self.results), ("dead_letter", &self.dead_letter)];
        for (index, (key, name)) in streams.into_iter().enumerate() {
            let key = format!("tasks.{key}");
            check_name(findings, key.clone(), name);
            if let Some((other, _)) = streams[..index].iter().find(|(_, other)| *other == name) {
                findings.problem(key, format!("is the same stream as `tasks.{other}`"), "give each its own");
                continue;
            }
            let of_redis =
                |redis: &redis_streams::Config| redis.stream_keys().contains(&redis.key(name)).then_some("[redis]");
            let of_raw = |raw: &raw::Config| (raw.stream == *name).then_some("[raw]");
            if let Some(section) = redis.and_then(of_redis).or_else(|| raw.and_then(of_raw)) {
                findings.problem(key, format!("is also a stream of {section}"), "choose a name of its own");
            }
        }
        check_name(findings, "tasks.group".to_owned(), &self.group);
        check_name(findings, "tasks.results_group".to_owned(), &self.results_group);
        if let Some(consumer) = &self.consumer {
            check_name(findings, "tasks.consumer".to_owned(), consumer);
        }
        // The alert on pending tasks would look elsewhere and stay silent.
        if (&lag.tasks, &lag.tasks_group) != (&self.stream, &self.group) {
            let (stream, group) = (&self.stream, &self.group);
            let remedy = format!("set lag.tasks = {stream:?} and lag.tasks_group = {group:?}");
            findings.problem("lag.tasks", "is not what `tasks.stream` and `tasks.group` say", remedy);
        }
        findings.range("tasks.workers", self.workers, (1, 64), ("1", "64"));
        findings.range("tasks.retries", self.retries, (0, 100), ("0", "100"));
        let waits = (Duration::from_millis(10), Duration::from_secs(3600));
        findings.range("tasks.backoff", self.backoff, waits, ("\"10ms\"", "\"1h\""));
        let ages = (Duration::from_secs(1), Duration::from_hours(24));
        findings.range("tasks.stale", self.stale, ages, ("\"1s\"", "\"24h\""));
        let patience = (Duration::ZERO, Duration::from_secs(600));
        findings.range("tasks.patience", self.patience, patience, ("\"0s\"", "\"10m\""));
        let left = (Duration::from_secs(1), Duration::from_hours(30 * 24));
        findings.range("tasks.left_for", self.left_for, left, ("\"1s\"", "\"30d\""));
        let known = (Duration::ZERO, Duration::from_hours(30 * 24));
        findings.range("tasks.remember", self.remember, known, ("\"0s\"", "\"30d\""));
        let sizes = (ByteSize::b(1), ByteSize::mib(64));
        findings.range("tasks.max_payload", self.max_payload, sizes, ("1 byte", "\"64MiB\""));
        let kept = (Duration::from_secs(1), Duration::from_secs(30 * 86_400));
        findings.range("tasks.keep", self.keep, kept, ("\"1s\"", "\"30d\""));
        let longest = (Duration::from_secs(1), Duration::from_secs(600));
        findings.range("tasks.max_wait", self.max_wait, longest, ("\"1s\"", "\"10m\""));
        findings.range("tasks.max_waiting", self.max_waiting, (1, 10_000), ("1", "10000"));
        findings.range("tasks.max_queue", self.max_queue, (1, 10_000_000), ("1", "10000000"));
        findings.range("tasks.max_unknown", self.max_unknown, (0, 10_000_000), ("0", "10000000"));
        if let Some(name) = self.expected.iter().find(|name| !is_agent(name)) {
            let what = format!("{name:?} is no name of an agent");
            findings.problem("tasks.expected", what, "choose 1 to 64 of A-Z a-z 0-9 _ . -");
        }
        if self.unknown == Unknown::Refuse && !self.expected.is_empty() {
            let what = "names agents of other workers, and `tasks.unknown` says that there are none";
            findings.problem("tasks.expected", what, "set tasks.unknown = \"leave\"");
        }
        if self.agents.len() > 64 {
            findings.problem("tasks.agents", "has more than 64 agents", "let one guest serve several of them");
        }
        for (name, agent) in &self.agents {
            let section = format!("tasks.agents.{}", quoted(name));
            if !is_agent(name) {
                let what = format!("{name:?} is no name of an agent");
                findings.problem(&*section, what, "choose 1 to 64 of A-Z a-z 0-9 _ . -");
            }
            agent.guest().validate(&section, findings);
        }
    }

    /// How long to wait before attempt number `attempt`, 2 at the least.
    #[must_use]
    pub(super) fn wait_before(&self, attempt: u64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(2)).unwrap_or(u32::MAX).min(30);
        self.backoff.saturating_mul(1 << doublings).min(Duration::from_secs(3600))
    }

    /// Attempts in all.
    #[must_use]
    pub(super) fn attempts(&self) -> u64 {
        self.retries + 1
    }

    pub(super) fn most_bytes(&self) -> usize {
        usize::try_from(self.max_payload.as_u64()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_the_first_retry_on_and_end_at_an_hour() {
        let config = Config::default();
        let waits: Vec<_> = [2, 3, 4, 100].map(|attempt| config.wait_before(attempt).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 3600]);
    }
}
