//! Whether we may do there what the daemon does. Redis looks at rights when a command is queued in a transaction, and
//! with them at everything else that would refuse a write: no memory, a disk that failed, too few replicas. So the
//! commands are queued and then thrown away, which asks for no right that the daemon does not need anyway.

use std::collections::BTreeMap;

use redis::{Cmd, ErrorKind, RedisResult, Value, aio::ConnectionLike};

use super::seen::words;
use crate::broker::{
    Finding,
    redis_streams::{Config, Level},
};

/// What the daemon does, and with which keys: `STREAM` is tried with every stream, the outbox among them, `STATE` with a
/// key of what the host remembers. The ACL rule in deploy/README.md says the same.
const COMMANDS: [&str; 46] = [
    "EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 STATE",
    "EVAL return 1 STATE",
    "SCRIPT LOAD return",
    "TIME",
    "XADD STREAM * field value",
    "XTRIM STREAM MAXLEN ~ 1000000000",
    "XLEN STREAM",
    "XRANGE STREAM - + COUNT 1",
    "XREVRANGE STREAM + - COUNT 1",
    "XREAD COUNT 1 STREAMS STREAM 0",
    "XACK OUTBOX group 0-1",
    "XDEL STREAM 0-1",
    "XGROUP CREATE OUTBOX group 0 MKSTREAM",
    "XREADGROUP GROUP group consumer COUNT 1 STREAMS OUTBOX >",
    "XAUTOCLAIM OUTBOX group consumer 60000 0",
    "XCLAIM OUTBOX group consumer 60000 0-1",
    "XPENDING OUTBOX group",
    "XINFO GROUPS OUTBOX",
    "XINFO stream OUTBOX",
    "HGET STATE field",
    "HMGET STATE field",
    "HSET STATE field value",
    "HSETNX STATE field value",
    "HDEL STATE field",
    "HGETALL STATE",
    "HLEN STATE",
    "HSTRLEN STATE field",
    "ZADD STATE GT 1 member",
    "ZCOUNT STATE -inf +inf",
    "ZRANGE STATE 0 0",
    "ZRANGEBYSCORE STATE -inf +inf",
    "ZREM STATE member",
    "ZREMRANGEBYSCORE STATE -inf (0",
    "ZSCAN STATE 0",
    "ZSCORE STATE member",
    "RPUSH STATE mark",
    "LPOP STATE",
    "LINDEX STATE 0",
    "LRANGE STATE 0 0",
    "INCR STATE",
    "GET STATE",
    "TYPE STREAM",
    "DEL STATE",
    "EXPIRE STATE 1",
    "PEXPIRE STATE 1",
    "PING",
];

/// What it does with the stream of raw events, where there is one.
const OF_RAW: [&str; 10] = [
    "EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 RAW",
    "TYPE RAW",
    "XGROUP CREATE RAW group 0 MKSTREAM",
    "XREADGROUP GROUP group consumer COUNT 1 STREAMS RAW >",
    "XPENDING RAW group",
    "XCLAIM RAW group consumer 60000 0-1",
    "XAUTOCLAIM RAW group consumer 60000 0",
    "XINFO GROUPS RAW",
    "XLEN RAW",
    "XACK RAW group 0-1",
];

/// What it does with the streams that it broadcasts, where it does; `RAW` stands for each.
const OF_BROADCAST: [&str; 5] = [
    "XGROUP CREATE RAW group 0 MKSTREAM",
    "XREADGROUP GROUP group consumer COUNT 1 STREAMS RAW >",
    "XACK RAW group 0-1",
    "XAUTOCLAIM RAW group consumer 60000 0",
    "XINFO CONSUMERS RAW group",
];

/// What it does with the stream of tasks for agents, where it does them; `RAW` stands for it.
const OF_TASKS: [&str; 10] = [
    "EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 RAW",
    "TYPE RAW",
    "XLEN RAW",
    "XADD RAW * field value",
    "XGROUP CREATE RAW group 0 MKSTREAM",
    "XREADGROUP GROUP group consumer COUNT 1 STREAMS RAW >",
    "XPENDING RAW group",
    "XCLAIM RAW group consumer 60000 0-1",
    "XINFO GROUPS RAW",
    "XACK RAW group 0-1",
];

/// What it does with the stream of their results.
const OF_RESULTS: [&str; 7] = [
    "TYPE RAW",
    "XADD RAW * field value",
    "XREAD COUNT 1 STREAMS RAW 0",
    "XGROUP CREATE RAW group 0 MKSTREAM",
    "XREADGROUP GROUP group consumer COUNT 1 STREAMS RAW >",
    "XAUTOCLAIM RAW group consumer 60000 0",
    "XACK RAW group 0-1",
];

/// And with that of their dead letters.
const OF_TASK_LETTERS: [&str; 2] = ["TYPE RAW", "XADD RAW * field value"];

/// And, unless it is told not to.
const REMOVES: &str = "XDEL RAW 0-1";

/// What it does besides for `redis.durability`.
fn waits(level: Level) -> &'static [&'static str] {
    match level {
        Level::Memory => &[],
        Level::Replicas => &["WAIT 0 1"],
        Level::Fsync => &["WAITAOF 0 0 1"],
    }
}

/// Queues every command and throws them away. An error means that Redis could not be asked.
pub(super) async fn rehearse(connection: &mut impl ConnectionLike, config: &Config) -> RedisResult<Vec<Finding>> {
    let commands = COMMANDS.iter().chain(waits(config.durability)).flat_map(|command| spelled(command, config));
    queue(connection, commands).await
}

/// The same of what is done with the raw stream `key`, from which entries are removed or not.
pub(super) async fn rehearse_raw(
    connection: &mut impl ConnectionLike,
    key: &str,
    removes: bool,
) -> RedisResult<Vec<Finding>> {
    let commands = OF_RAW.iter().chain(removes.then_some(&REMOVES));
    queue(connection, commands.map(|command| with_key(command, key))).await
}

/// The same of what is done with a stream that is broadcast.
pub(super) async fn rehearse_broadcast(connection: &mut impl ConnectionLike, key: &str) -> RedisResult<Vec<Finding>> {
    queue(connection, OF_BROADCAST.iter().map(|command| with_key(command, key))).await
}

/// The same of what is done with the streams of tasks, results and dead letters.
pub(super) async fn rehearse_tasks(
    connection: &mut impl ConnectionLike,
    [tasks, results, letters]: &[String; 3],
    removes: bool,
) -> RedisResult<Vec<Finding>> {
    let of_tasks = OF_TASKS.iter().chain(removes.then_some(&REMOVES)).map(|command| with_key(command, tasks));
    let of_results = OF_RESULTS.iter().map(|command| with_key(command, results));
    let of_letters = OF_TASK_LETTERS.iter().map(|command| with_key(command, letters));
    queue(connection, of_tasks.chain(of_results).chain(of_letters)).await
}

async fn queue(
    connection: &mut impl ConnectionLike,
    commands: impl Iterator<Item = (String, Cmd)>,
) -> RedisResult<Vec<Finding>> {
    let mut refused = Refused::default();
    // Outside a transaction it does nothing, and says so.
    refused.asked("EXEC", redis::cmd("EXEC").query_async(connection).await)?;
    if !refused.asked("MULTI", redis::cmd("MULTI").query_async(connection).await)? {
        return Ok(refused.findings());
    }
    for (shown, command) in commands {
        refused.asked(&shown, command.query_async(connection).await)?;
    }
    refused.asked("DISCARD", redis::cmd("DISCARD").query_async(connection).await)?;
    Ok(refused.findings())
}

/// What stands for a key in [`COMMANDS`] and [`OF_RAW`].
const PLACES: [&str; 4] = ["STREAM", "OUTBOX", "RAW", "STATE"];

/// A command with each of its keys, and how to name it.
fn spelled(command: &str, config: &Config) -> Vec<(String, Cmd)> {
    let keys = match command.split(' ').find(|word| PLACES.contains(word)) {
        Some("STREAM") => config.stream_keys(),
        Some("OUTBOX") => vec![config.key(&config.outbox)],
        Some(_) => vec![config.state_key("check:rights")],
        None => return vec![(name(command), filled(command, ""))],
    };
    keys.into_iter().map(|key| with_key(command, &key)).collect()
}

fn with_key(command: &str, key: &str) -> (String, Cmd) {
    (format!("{} {key}", name(command)), filled(command, key))
}

fn filled(command: &str, key: &str) -> Cmd {
    let mut filled = Cmd::new();
    for word in command.split(' ') {
        filled.arg(if PLACES.contains(&word) { key } else { word });
    }
    filled
}

/// Command and sub-command.
fn name(command: &str) -> String {
    let words = if ["SCRIPT", "XGROUP", "XINFO"].iter().any(|first| command.starts_with(first)) { 2 } else { 1 };
    command.split(' ').take(words).collect::<Vec<_>>().join(" ").to_uppercase()
}

/// What was refused, and in what words.
#[derive(Default)]
struct Refused {
    rights: Vec<String>,
    unknown: Vec<String>,
    /// First words by code.
    others: BTreeMap<String, String>,
}

impl Refused {
    /// Whether the command was taken.
    fn asked(&mut self, shown: &str, answer: RedisResult<Value>) -> RedisResult<bool> {
        let Err(error) = answer else { return Ok(true) };
        if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
            return Err(error);
        }
        let said = words(&error);
        match error.code() {
            Some("NOPERM") => self.rights.push(shown.to_owned()),
            Some("ERR") if said.contains("unknown command") => self.unknown.push(shown.to_owned()),
            // The judgement of the role has said so.
            Some("READONLY" | "LOADING") => {}
            Some("ERR") if shown == "EXEC" => {}
            code => drop(self.others.entry(code.unwrap_or("ERR").to_owned()).or_insert(said)),
        }
        Ok(false)
    }

    fn findings(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.rights.is_empty() {
            let text = "the user of redis.url may not: {}; deploy/README.md has the ACL rule that it needs";
            findings.push(Finding::problem(text.replace("{}", &listed(&self.rights))));
        }
        if !self.unknown.is_empty() {
            findings.push(Finding::problem(format!("this server has no {}", listed(&self.unknown))));
        }
        for said in self.others.values() {
            findings.push(Finding::problem(format!("it would refuse to store events now: {said}")));
        }
        findings
    }
}

/// Not more of them than a person reads.
fn listed(all: &[String]) -> String {
    const MOST: usize = 8;
    let mut text = all.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > MOST {
        text.push_str(&format!(" and {} more", all.len() - MOST));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_stream_is_tried_and_keys_carry_the_hash_tag() {
        let config = Config { cluster: true, ..Config::default() };
        let shown: Vec<_> = spelled("XADD STREAM * field value", &config).into_iter().map(|(shown, _)| shown).collect();
        assert_eq!(shown.len(), 6);
        assert!(shown.contains(&"XADD {aurora}:outbox".to_owned()), "{shown:?}");
        let (shown, command) = spelled("XGROUP CREATE OUTBOX group 0 MKSTREAM", &config).remove(0);
        assert_eq!(shown, "XGROUP CREATE {aurora}:outbox");
        let packed = String::from_utf8(command.get_packed_command()).unwrap();
        assert!(packed.contains("{aurora}:outbox") && packed.contains("MKSTREAM"), "{packed}");
    }

    /// First words of what is tried.
    fn tried() -> BTreeSet<&'static str> {
        let all =
            COMMANDS.iter().chain(&OF_RAW).chain(&OF_BROADCAST).chain(&OF_TASKS).chain(&OF_RESULTS).chain([&REMOVES]);
        all.filter_map(|command| command.split(' ').next()).collect()
    }

    /// Commands that the client spells itself, by the methods that send them.
    const TYPED: [(&str, &str); 6] = [
        ("del", "DEL"),
        ("hget", "HGET"),
        ("xgroup_create_mkstream", "XGROUP"),
        ("xinfo_consumers", "XINFO"),
        ("xinfo_groups", "XINFO"),
        ("xlen", "XLEN"),
    ];

    /// Methods of connections and pipelines that send what they are given, or nothing.
    const PLAIN: [&str; 9] = [
        "add_command",
        "arg",
        "atomic",
        "cmd",
        "exec_async",
        "ignore",
        "query_async",
        "set_read_timeout",
        "set_write_timeout",
    ];

    /// Commands in `text`, of Rust or of Lua.
    fn sent(text: &str) -> BTreeSet<String> {
        let quoted =
            [("cmd(\"", '"'), ("of_group(\"", '"'), ("call('", '\'')].into_iter().flat_map(|(begins, ends)| {
                text.split(begins).skip(1).filter_map(move |rest| rest.split(ends).next()).map(str::to_owned)
            });
        let typed = ["connection", "pipeline"].into_iter().flat_map(|of| text.split(of).skip(1)).filter_map(|rest| {
            let rest = rest.trim_start().strip_prefix('.')?;
            let (method, _) = rest.split_once('(')?;
            let is_name = method.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if !is_name || PLAIN.contains(&method) {
                return None;
            }
            let command = TYPED.iter().find(|(name, _)| *name == method);
            Some(command.unwrap_or_else(|| panic!("which command does `{method}` send?")).1.to_owned())
        });
        quoted.chain(typed).collect()
    }

    #[test]
    fn finds_commands_however_they_are_spelled() {
        let text = "redis::cmd(\"TYPE\"); self.of_group(\"XCLAIM\"); redis.call('XACK', x); connection\n    .xlen(key); \
                    self.connection.del(a); pipeline.atomic().cmd(\"XDEL\"); the connection. Then (x)";
        assert_eq!(sent(text).into_iter().collect::<Vec<_>>(), ["DEL", "TYPE", "XACK", "XCLAIM", "XDEL", "XLEN"]);
        assert!(std::panic::catch_unwind(|| sent("connection.exists(key)")).is_err());
    }

    #[test]
    fn every_command_that_the_host_and_its_scripts_send_is_tried() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/broker/redis_streams");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
        let used: BTreeSet<_> = files.flat_map(|path| sent(&std::fs::read_to_string(path).unwrap())).collect();
        for known in ["XREADGROUP", "XADD", "XINFO", "HSET"] {
            assert!(used.contains(known), "{used:?}");
        }
        let missing: Vec<_> =
            used.iter().filter(|name| !tried().contains(name.as_str()) && !name.starts_with("WAIT")).collect();
        assert!(missing.is_empty(), "add {missing:?} to COMMANDS and to the ACL rule in deploy/README.md");
    }

    #[test]
    fn the_documented_rule_allows_these_commands_and_no_other() {
        let readme = include_str!("../../../../../deploy/README.md");
        let rule = readme.lines().find(|line| line.starts_with("user aurora ")).unwrap();
        let allowed: BTreeSet<_> =
            rule.split(' ').filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect();
        let own = ["multi", "exec", "discard", "info", "config|get"].map(str::to_owned);
        let named = |command: &&str| name(command).replace(' ', "|").to_lowercase();
        let wanted: BTreeSet<_> =
            COMMANDS.iter().chain(&OF_RAW).chain(&OF_BROADCAST).chain([&REMOVES]).map(named).chain(own).collect();
        assert_eq!(allowed, wanted);
    }

    #[test]
    fn a_long_list_is_cut() {
        let all: Vec<_> = (0..10).map(|number| number.to_string()).collect();
        assert_eq!(listed(&all), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
