//! What settings mean. Each claim about a loss was tried: kill -9, and a power cut, in which a file keeps only what was
//! synced. deploy/README.md has the figures.

use super::seen::Seen;
use crate::broker::{
    Finding,
    redis_streams::{Config, Level},
};

/// What stands against this server.
pub(super) fn judge(seen: &Seen, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    kind(seen, config, &mut findings);
    memory(seen, &mut findings);
    disk(seen, config, &mut findings);
    replicas(seen, config, &mut findings);
    let hidden = [("INFO", seen.info.as_ref().err()), ("CONFIG GET", seen.settings.as_ref().err())];
    for (command, reason) in hidden {
        if let Some(reason) = reason {
            let what = if command == "INFO" {
                "version, persistence, maxmemory and role"
            } else {
                "appendfsync, no-appendfsync-on-rewrite, save and min-replicas-to-write"
            };
            findings.push(Finding::note(format!("{what} could not be judged, {command} is refused: {reason}")));
        }
    }
    findings
}

fn kind(seen: &Seen, config: &Config, findings: &mut Vec<Finding>) {
    if seen.version().is_some_and(|version| version < (7, 0)) {
        let version = seen.field("redis_version").unwrap_or_default();
        findings.push(Finding::problem(format!("{version} is too old; use Redis 7.0 or later, or Valkey")));
    }
    if seen.field("redis_mode") == Some("sentinel") {
        findings.push(Finding::problem("this is a Sentinel, which stores nothing; name the master in redis.url"));
    }
    if seen.field("role") == Some("slave") {
        findings.push(Finding::problem("this is a replica, which its master overwrites; name the master in redis.url"));
    }
    if seen.field("loading") == Some("1") {
        findings.push(Finding::warning("it still loads its file and stores nothing until that is done"));
    }
    if seen.info.is_ok() && seen.is_cluster() != config.cluster {
        findings.push(if config.cluster {
            Finding::warning("redis.cluster is set and this is no cluster; it works, with the hash tag in each key")
        } else {
            Finding::problem("this is a node of a cluster; set redis.cluster = true")
        });
    }
}

fn memory(seen: &Seen, findings: &mut Vec<Finding>) {
    let limit = seen.number("maxmemory");
    let policy = seen.field("maxmemory_policy").unwrap_or("noeviction");
    if limit == 0 {
        return;
    }
    if policy != "noeviction" {
        let lost = if policy.starts_with("allkeys") {
            "throws away whole streams, the outbox among them"
        } else {
            "throws away what tells a repeat from a new event"
        };
        let text = format!("maxmemory-policy is {policy}: when memory is short Redis {lost}; set it to noeviction");
        findings.push(Finding::problem(text));
    }
    let used = seen.number("used_memory");
    // Redis counts what it must not: at four fifths there is still time to do something.
    if used >= limit / 5 * 4 {
        let (used, limit) = (bytesize::ByteSize(used), bytesize::ByteSize(limit));
        let text = format!(
            "{used} of maxmemory {limit} are used; at the limit Redis takes no more events, and sources wait; raise it or \
             shorten redis.streams"
        );
        findings.push(Finding::warning(text));
    }
}

fn disk(seen: &Seen, config: &Config, findings: &mut Vec<Finding>) {
    let awaited = config.durability == Level::Fsync;
    if awaited && seen.version().is_some_and(|version| version < (7, 2)) {
        let text = "redis.durability is \"fsync\", for which Redis must be 7.2 or later; nothing would ever be acknowledged; \
                    choose \"memory\" and set appendfsync to always";
        findings.push(Finding::problem(text));
    }
    match seen.field("aof_enabled") {
        Some("1") => {}
        Some(_) if awaited => {
            let text = "redis.durability is \"fsync\" and appendonly is no, so nothing would ever be acknowledged; set \
                        appendonly to yes";
            return findings.push(Finding::problem(text));
        }
        Some(_) => return snapshots(seen, findings),
        None => return,
    }
    match (seen.setting("appendfsync"), awaited) {
        (Some("everysec"), false) => findings.push(Finding::warning(
            "appendfsync is everysec: a power cut loses the last seconds of what was acknowledged, three at the most, and \
             so does kill -9 of Redis while the disk stalls; set it to always, or redis.durability to \"fsync\"",
        )),
        (Some("everysec"), true) => findings.push(Finding::warning(
            "appendfsync is everysec: nothing is lost, because redis.durability is \"fsync\", but each batch waits up to a \
             second for it; set it to always",
        )),
        (Some("no"), false) => findings.push(Finding::warning(
            "appendfsync is no: a power cut loses what the kernel had not yet written, half a minute as a rule; set it \
             to always",
        )),
        (Some("no"), true) => findings.push(Finding::problem(
            "redis.durability is \"fsync\" and appendfsync is no, so nothing would ever be acknowledged; set it to always",
        )),
        _ => {}
    }
    if seen.setting("no-appendfsync-on-rewrite") == Some("yes") {
        findings.push(Finding::warning(
            "no-appendfsync-on-rewrite is yes: while the append-only file is rewritten nothing is synced, whatever \
             appendfsync says; set it to no",
        ));
    }
}

/// Without an append-only file.
fn snapshots(seen: &Seen, findings: &mut Vec<Finding>) {
    let remedy = "set appendonly to yes and appendfsync to always";
    findings.push(Finding::warning(match seen.setting("save") {
        Some("") => {
            format!("appendonly is no and nothing is saved: the end of Redis, however it comes, loses everything; {remedy}")
        }
        Some(save) => format!(
            "appendonly is no: kill -9 of Redis or a power cut loses all since the last snapshot (save {save}); {remedy}"
        ),
        None => format!("appendonly is no: kill -9 of Redis or a power cut loses all since the last snapshot; {remedy}"),
    }));
}

fn replicas(seen: &Seen, config: &Config, findings: &mut Vec<Finding>) {
    let (there, wanted) = (seen.number("connected_slaves"), u64::from(config.replicas));
    if config.durability != Level::Memory && seen.info.is_ok() && there < wanted {
        let text =
            format!("redis.replicas is {wanted} and {there} are connected, so nothing would be acknowledged now");
        findings.push(Finding::problem(text));
    }
    let waits_for_some = config.durability != Level::Memory && wanted > 0;
    if there > 0 && !waits_for_some && seen.setting("min-replicas-to-write") == Some("0") {
        findings.push(Finding::warning(
            "min-replicas-to-write is 0: a master that is cut off from its replicas still acknowledges, and what it took is \
             lost at the failover; set it to 1, or redis.durability to \"replicas\"",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Weight;

    const SAFE: [(&str, &str); 4] =
        [("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no"), ("save", ""), ("min-replicas-to-write", "0")];

    fn safe(more: &str) -> String {
        format!("# Server\r\nredis_version:7.0.15\r\nrole:master\r\naof_enabled:1\r\ncluster_enabled:0\r\n{more}")
    }

    fn with(name: &str, value: &str) -> Vec<(String, String)> {
        let changed = |(key, was): (&str, &str)| (key.to_owned(), if key == name { value } else { was }.to_owned());
        SAFE.map(changed).into()
    }

    fn judged(info: &str, settings: &[(String, String)]) -> Vec<Finding> {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        judge(&Seen::saying(info, &settings), &Config::default())
    }

    #[test]
    fn finds_nothing_against_a_safe_server() {
        for version in ["", "redis_version:8.2.3\n", "redis_version:7.2.4\nvalkey_version:9.1.2\n"] {
            assert_eq!(judged(&safe(version), &with("", "")), []);
        }
    }

    #[test]
    fn what_breaks_a_promise_while_all_is_well_is_a_problem() {
        for (info, expected) in [
            ("redis_version:6.2.16", "6.2.16 is too old"),
            ("role:slave", "this is a replica"),
            ("redis_mode:sentinel", "this is a Sentinel"),
            ("cluster_enabled:1", "set redis.cluster = true"),
            ("maxmemory:1000\nmaxmemory_policy:allkeys-lru", "throws away whole streams"),
            ("maxmemory:1000\nmaxmemory_policy:volatile-ttl", "throws away what tells a repeat"),
        ] {
            let findings = judged(&safe(info), &with("", ""));
            let [Finding { weight: Weight::Problem, text }] = &findings[..] else { panic!("{info}: {findings:?}") };
            assert!(text.contains(expected), "{info}: {text}");
        }
    }

    #[test]
    fn what_loses_events_in_a_crash_is_a_warning() {
        for (info, (name, value), expected) in [
            ("", ("appendfsync", "everysec"), "the last seconds"),
            ("", ("appendfsync", "no"), "half a minute"),
            ("", ("no-appendfsync-on-rewrite", "yes"), "nothing is synced"),
            ("aof_enabled:0", ("save", "3600 1 300 100"), "since the last snapshot (save 3600 1 300 100)"),
            ("aof_enabled:0", ("save", ""), "loses everything"),
            ("connected_slaves:1", ("", ""), "min-replicas-to-write is 0"),
            ("maxmemory:1000\nused_memory:800", ("", ""), "800 B of maxmemory 1000 B are used"),
            ("loading:1", ("", ""), "still loads"),
        ] {
            let findings = judged(&safe(info), &with(name, value));
            let [Finding { weight: Weight::Warning, text }] = &findings[..] else { panic!("{info}: {findings:?}") };
            assert!(text.contains(expected), "{info}: {text}");
        }
    }

    #[test]
    fn what_durability_waits_for_must_be_able_to_come() {
        let with_fsync = |replicas| Config { durability: Level::Fsync, replicas, ..Config::default() };
        let new = "redis_version:7.2.4\nconnected_slaves:1\n";
        let judged = |info: &str, fsync, config: &Config| {
            let findings = judge(&Seen::saying(&safe(info), &[("appendfsync", fsync)]), config);
            findings.into_iter().map(|finding| (finding.weight, finding.text)).collect::<Vec<_>>()
        };
        assert_eq!(judged(new, "always", &with_fsync(1)), []);
        for (info, fsync, replicas, weight, expected) in [
            ("redis_version:7.0.15", "always", 0, Weight::Problem, "must be 7.2 or later"),
            ("redis_version:7.2.4\naof_enabled:0", "always", 0, Weight::Problem, "appendonly is no"),
            (new, "no", 0, Weight::Problem, "appendfsync is no"),
            (new, "everysec", 0, Weight::Warning, "nothing is lost"),
            (new, "always", 2, Weight::Problem, "redis.replicas is 2 and 1 are connected"),
        ] {
            let found = judged(info, fsync, &with_fsync(replicas));
            assert!(found.len() == 1 && found[0].0 == weight && found[0].1.contains(expected), "{info}: {found:?}");
        }
        let replicated = Config { durability: Level::Replicas, replicas: 2, ..Config::default() };
        assert_eq!(judged("connected_slaves:2", "always", &replicated), []);
    }

    #[test]
    fn replicas_that_nobody_waits_for_do_not_make_up_for_a_master_that_is_cut_off() {
        let with = |durability| Config { durability, replicas: 1, ..Config::default() };
        let seen = Seen::saying(&safe("connected_slaves:1"), &SAFE);
        assert!(judge(&seen, &with(Level::Memory))[0].text.contains("min-replicas-to-write"));
        assert_eq!(judge(&seen, &with(Level::Replicas)), []);
    }

    #[test]
    fn eviction_without_a_limit_never_happens() {
        assert_eq!(judged(&safe("maxmemory:0\nmaxmemory_policy:allkeys-lru"), &with("", "")), []);
    }

    #[test]
    fn what_is_hidden_is_said_and_the_rest_is_judged() {
        let hidden = Seen { settings: Err("NOPERM no".to_owned()), ..Seen::saying(&safe("aof_enabled:0"), &[]) };
        let findings = judge(&hidden, &Config::default());
        let weights: Vec<_> = findings.iter().map(|finding| finding.weight).collect();
        assert_eq!(weights, [Weight::Warning, Weight::Note]);
        assert!(findings[1].text.contains("appendfsync, ") && findings[1].text.contains("NOPERM no"), "{findings:?}");
        let nothing = Seen { info: Err("NOPERM no".to_owned()), settings: Err("NOPERM no".to_owned()) };
        assert_eq!(judge(&nothing, &Config::default()).len(), 2);
    }
}
