use std::{
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{self, stream};
use harness::{Make, Mosquitto, Persistence, Server, Site, binary, free_port, workspace};

use super::alert;

/// `aurora check --connect` of a site's configuration.
pub(super) fn check(site: &Site) -> Result<(bool, String)> {
    let admin = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, free_port()?));
    let config = site.write_configuration(admin)?;
    let run = Command::new(binary()?).args(["check", "--connect", "--config"]).arg(config).output();
    let Output { status, stdout, .. } = run.context("cannot run aurora check")?;
    Ok((status.success(), String::from_utf8_lossy(&stdout).into_owned()))
}

/// What it says of a Redis with these lines of configuration.
async fn judged(make: Make, lines: &str, setting: Option<(&str, &str)>) -> Result<Option<(bool, String)>> {
    let Some(program) = make.program()? else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let server = Server::start(&program, folder.path(), lines).await?;
    let mut plan = Site::plan().without_nats().set("redis.url", server.url());
    if let Some((key, value)) = setting {
        plan = plan.set(key, value);
    }
    let site = plan.brokers().await?;
    check(&site).map(Some)
}

const SAFE: &str = "appendonly yes\nappendfsync always\n";

#[tokio::test]
async fn a_safe_server_of_any_make_passes() -> Result<()> {
    for make in Make::ALL {
        let Some((well, said)) = judged(make, SAFE, None).await? else { continue };
        assert!(well && said.ends_with("\nok\n") && !said.contains("FAILED"), "{make:?}: {said}");
        let name = if make == Make::Valkey { "Valkey 9.1." } else { "standalone mode" };
        assert!(said.contains(name), "{make:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_costs_events_only_in_a_crash_is_warned_of() -> Result<()> {
    for (lines, expected) in [
        ("appendonly yes\nappendfsync everysec\n", "appendfsync is everysec"),
        ("appendonly yes\nappendfsync no\n", "appendfsync is no"),
        ("appendonly no\n", "loses everything"),
        ("appendonly no\nsave 60 1000\n", "since the last snapshot (save 60 1000)"),
        ("appendonly yes\nappendfsync always\nno-appendfsync-on-rewrite yes\n", "nothing is synced"),
    ] {
        let (well, said) = judged(Make::Redis7, lines, None).await?.context("Debian's Redis is always there")?;
        assert!(well && said.contains(expected) && said.ends_with("\nok, 1 warning\n"), "{lines}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_breaks_a_promise_at_once_fails() -> Result<()> {
    let dead = free_port()?;
    for (lines, setting, expected) in [
        ("maxmemory 1gb\nmaxmemory-policy allkeys-lru\n", None, "throws away whole streams"),
        ("maxmemory 1gb\nmaxmemory-policy volatile-lru\n", None, "throws away what tells a repeat"),
        ("maxmemory 1\n", None, "would refuse to store events now: OOM"),
        ("min-replicas-to-write 1\n", None, "would refuse to store events now: NOREPLICAS"),
        (&format!("replicaof 127.0.0.1 {dead}\n"), None, "this is a replica"),
        // With a port of its own for the bus: 10,000 above the other may be some other test's.
        (&format!("cluster-enabled yes\ncluster-port {}\n", free_port()?), None, "set redis.cluster = true"),
        ("rename-command XAUTOCLAIM \"\"\n", None, "this server has no XAUTOCLAIM"),
        ("", Some(("redis.durability", "fsync")), "Redis must be 7.2 or later"),
    ] {
        let lines = format!("{SAFE}{lines}");
        let (well, said) = judged(Make::Redis7, &lines, setting).await?.context("Debian's Redis is always there")?;
        assert!(!well && said.contains(expected), "{lines}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_of_redis_that_takes_no_entry_fails_and_what_the_spool_has_lost_is_warned_of() -> Result<()> {
    const LAST: &str = "18446744073709551615-18446744073709551615";
    let program = Make::Redis7.program()?.context("Debian's Redis is always there")?;
    let folder = tempfile::tempdir()?;
    let server = Server::start(&program, folder.path(), SAFE).await?;
    let plan = Site::plan().without_nats().set("redis.url", server.url()).set("raw.stream", "aurora:raw");
    let site = plan.set("spool.path", "spool").brokers().await?;
    let (well, said) = check(&site)?;
    ensure!(well && said.ends_with("\nok\n"), "{said}");
    let streams =
        ["aurora:alerts", "aurora:cps:alerts", "aurora:dead_letter", "aurora:audit", "aurora:outbox", "aurora:raw"];
    for stream in streams {
        for (breaks, words) in [
            ([format!("SET {stream} text"), format!("EXISTS {stream}")], "holds a string and no stream"),
            ([format!("XADD {stream} {LAST} a b"), format!("XDEL {stream} {LAST}")], "has no id left"),
        ] {
            for command in breaks {
                server.ask::<redis::Value>(&command).await?;
            }
            let (well, said) = check(&site)?;
            server.ask::<()>(&format!("DEL {stream}")).await?;
            let part = if stream == "aurora:raw" { "raw" } else { "redis" };
            let told = |line: &str| line.starts_with(part) && line.contains(&format!("{stream} {words}"));
            assert!(!well && said.contains("1 problem") && said.lines().any(told), "{stream}: {said}");
        }
    }
    // The test's user may be root, and reads it; the daemon need not run.
    let damaged = site.folder().join("spool/damaged");
    std::fs::create_dir_all(&damaged)?;
    std::fs::write(
        damaged.join("00000000000000000007-1795330000000-12-5-a5c4666d36884637c3a8133e2dc1a1fb.resp"),
        "hello",
    )?;
    let (well, said) = check(&site)?;
    assert!(well && said.contains("damaged/ holds 1 file with 12 events") && said.ends_with("1 warning\n"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_takes_nothing_fails_and_one_that_may_lose_something_is_warned_of() -> Result<()> {
    let site = Site::plan().brokers().await?;
    let nats = site.nats.as_ref().context("no NATS")?;
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await?);
    let sound = stream::Config {
        name: "AURORA".to_owned(),
        subjects: vec!["aurora.>".to_owned(), "AURORA.*".to_owned()],
        duplicate_window: Duration::from_secs(600),
        ..stream::Config::default()
    };
    for (found, well, word, text) in [
        (sound.clone(), true, "warn", "is on one server"),
        (stream::Config { no_ack: true, ..sound.clone() }, false, "FAILED", "acknowledges nothing"),
        (stream::Config { subjects: vec!["aurora.>".to_owned()], ..sound.clone() }, false, "FAILED", "does not take"),
    ] {
        jetstream.create_stream(found).await?;
        let (is_well, said) = check(&site)?;
        jetstream.delete_stream("AURORA").await?;
        let is_said = said.lines().any(|line| line.starts_with("nats") && line.contains(word) && line.contains(text));
        assert!(is_well == well && is_said, "{text}: {said}");
    }
    Ok(())
}

/// The rule as `deploy/README.md` gives it.
fn rule() -> Result<String> {
    let text = std::fs::read_to_string(workspace().join("deploy/README.md"))?;
    let rule = text.lines().find_map(|line| line.strip_prefix("user aurora "));
    Ok(rule.context("no ACL rule in deploy/README.md")?.to_owned())
}

#[tokio::test]
async fn the_documented_rights_are_enough_and_none_of_them_is_too_much() -> Result<()> {
    let program = Make::Redis7.program()?.context("Debian's Redis is always there")?;
    let folder = tempfile::tempdir()?;
    let password = "secret";
    let rule = rule()?.replace("<password>", password);
    let server = Server::start(&program, folder.path(), &format!("{SAFE}user aurora {rule}\n")).await?;
    let url = server.url().replace("redis://", &format!("redis://aurora:{password}@"));
    // With all that asks for rights of its own.
    let plan = Site::plan().set("redis.url", url).set("raw.stream", "aurora:raw");
    let plan = plan.set("broadcast.listen", format!("127.0.0.1:{}", free_port()?)).set("broadcast.token", "viewers");
    let site = plan.start().await?;
    site.publish("aurora/sensors/door/alerts", 2, (0..10).map(alert)).await?;
    server.ask::<String>(&format!("XADD aurora:raw * format json payload {}", alert(10).replace(' ', "_"))).await?;
    site.jetstream_of(11).await?;
    let denied: Vec<String> =
        server.ask::<Vec<redis::Value>>("ACL LOG").await?.iter().map(|d| format!("{d:?}")).collect();
    ensure!(denied.is_empty(), "{denied:?}");
    let (well, said) = check(&site)?;
    // A stream of one server.
    ensure!(well && said.ends_with("\nok, 1 warning\n"), "{said}");

    for right in rule.split(' ').filter(|word| word.starts_with('+')) {
        let (set, unset) = (format!("ACL SETUSER aurora {right}"), right.replace('+', "-"));
        server.ask::<()>(&format!("ACL SETUSER aurora {unset}")).await?;
        let (well, said) = check(&site)?;
        server.ask::<()>(&set).await?;
        let name = right[1..].replace('|', " ").to_uppercase();
        if ["CONFIG GET", "INFO"].contains(&name.as_str()) {
            ensure!(well && said.contains(&format!("{name} is refused")), "without {right}: {said}");
        } else {
            ensure!(!well && said.contains(&name), "without {right}: {said}");
        }
    }
    server.ask::<()>("ACL SETUSER aurora resetkeys ~other:*").await?;
    let (well, said) = check(&site)?;
    ensure!(!well && said.contains("XADD aurora:alerts") && said.contains("more"), "{said}");
    // The source writes to the group of the raw stream, even if it removes nothing.
    server.ask::<()>("ACL SETUSER aurora resetkeys ~aurora:[^r]* %R~aurora:raw").await?;
    let (well, said) = check(&site)?;
    let refused = said.lines().find(|line| line.starts_with("raw") && line.contains("FAILED"));
    ensure!(!well && refused.is_some_and(|line| line.contains("XGROUP CREATE aurora:raw")), "{said}");
    Ok(())
}

#[tokio::test]
async fn mosquitto_is_reminded_of_and_tells_what_it_has_dropped() -> Result<()> {
    let mosquitto = Mosquitto { persistence: Persistence::None, ..Mosquitto::default() };
    let site = Site::plan().without_nats().mosquitto(mosquitto).brokers().await?;
    let (_, said) = check(&site)?;
    assert!(said.contains("mosquitto version 2") && said.contains("max_queued_messages 0"), "{said}");
    Ok(())
}
