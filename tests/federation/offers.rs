//! Agent results, the audit trail and SOAR actions: from their streams to the other sites.

use std::{collections::BTreeMap, process::Command, time::Duration};

use anyhow::{Result, ensure};
use harness::{Message, Place, Plan, Site, binary, connect_redis, hostile_guest, stock_guest};
use redis::{AsyncCommands as _, aio::MultiplexedConnection, streams::StreamPendingReply};

const RESULTS: &str = "aurora:agent:results";
const AUDIT: &str = "aurora:audit";
const SOAR: &str = "aurora:soar:actions";
const GROUP: &str = "aurora-federate";

fn plan() -> Plan {
    Site::plan().set("federation.share", vec!["agent_results", "audit", "soar"])
}

async fn add(redis: &mut MultiplexedConnection, stream: &str, fields: &[(&str, &str)]) -> Result<String> {
    Ok(redis.xadd(stream, "*", fields).await?)
}

/// Messages of entries that these tests have written: those of the daemon's own audit trail have no number.
fn numbered<'a>(messages: &'a [Message], subject: &str) -> Vec<(u64, &'a Message)> {
    let number = |message: &Message| message.json()["fields"]["number"].as_str().and_then(|number| number.parse().ok());
    let of_subject = messages.iter().filter(|message| message.subject.starts_with(subject));
    of_subject.filter_map(|message| Some((number(message)?, message))).collect()
}

/// Waits until nothing of `stream` is left to be decided.
async fn decided(site: &Site, stream: &str) -> Result<()> {
    let mut redis = connect_redis(&site.redis.url()).await?;
    site.wait_until("nothing pending", async || {
        let groups: redis::streams::StreamInfoGroupsReply = redis.xinfo_groups(stream).await?;
        let group = groups.groups.iter().find(|group| group.name == GROUP);
        let left = group.map(|group| (group.pending, group.lag));
        ensure!(left == Some((0, Some(0))), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn each_stream_goes_to_its_subject_once_and_stays_where_it_is() -> Result<()> {
    let site = plan().start().await?;
    let mut redis = connect_redis(&site.redis.url()).await?;
    let result = [("number", "1"), ("task_id", "t-7"), ("result", "10.9.8.7 is the victim"), ("severity", "low")];
    add(&mut redis, RESULTS, &result).await?;
    // How a site is configured it tells nobody.
    add(&mut redis, AUDIT, &[("number", "6"), ("action", "config"), ("details", "admin.listen=10.9.8.7:9")]).await?;
    add(&mut redis, AUDIT, &[("number", "2"), ("agent", "triage"), ("action", "close"), ("details", "x")]).await?;
    add(&mut redis, SOAR, &[("number", "3"), ("action", "block_ip"), ("target", "45.155.205.233")]).await?;
    // One that no subject can carry, and one that came from another site.
    add(&mut redis, SOAR, &[("number", "4"), ("action", "a b")]).await?;
    add(&mut redis, RESULTS, &[("number", "5"), ("origin", "elsewhere")]).await?;
    for stream in [RESULTS, AUDIT, SOAR] {
        decided(&site, stream).await?;
    }
    let messages = site
        .wait_until("three messages", async || {
            let messages = site.jetstream().await?;
            let found = numbered(&messages, "").len();
            ensure!(found >= 3, "{found}");
            Ok(messages)
        })
        .await?;
    let subjects: BTreeMap<u64, &str> =
        numbered(&messages, "").into_iter().map(|(number, message)| (number, message.subject.as_str())).collect();
    let expected = [(1, "AURORA.agent_results"), (2, "AURORA.audit"), (3, "aurora.soar.block_ip")];
    assert_eq!(subjects, BTreeMap::from(expected));
    let (_, result) = numbered(&messages, "AURORA.agent_results")[0];
    let event = result.json();
    assert_eq!((&event["source"], &event["site"]), (&RESULTS.into(), &"test-site".into()), "{event}");
    assert_eq!((&event["severity"], &event["fields"]["task_id"]), (&"low".into(), &"t-7".into()));
    assert_eq!(event["fields"]["result"], "[masked] is the victim", "its own addresses are no one else's");
    assert_eq!(site.stream(RESULTS).await?.len(), 2);
    assert_eq!(site.stream(SOAR).await?.len(), 2);
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    assert_eq!(site.scrape().await?.get("aurora_federation_cut_total{cause=\"origin\"}")?, 1.0);
    for what in ["agent_results", "soar"] {
        site.series_of(&format!("aurora_federation_out_total{{what=\"{what}\"}}"), 1.0).await?;
    }
    let scrape = site.scrape().await?;
    for series in ["aurora_events_federated_total", "aurora_federation_out_total{what=\"alert\"}"] {
        assert_eq!(scrape.get(series)?, 0.0, "none of them is an alert");
    }
    Ok(())
}

/// The one event that `aurora explain` finds of `subject`.
fn explained(site: &Site, subject: &str) -> Result<serde_json::Value> {
    let config = site.folder().join("aurora.toml");
    let output = Command::new(binary()?).args(["explain", "--json", "--config"]).arg(config).arg(subject).output()?;
    ensure!(output.status.success(), "{subject}: {}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(said["events"].as_array().map(Vec::len) == Some(1), "{said:#}");
    Ok(said["events"][0].clone())
}

#[tokio::test]
async fn what_became_of_an_entry_is_told_by_its_id_and_by_that_of_its_message() -> Result<()> {
    let site = plan().start().await?;
    let mut redis = connect_redis(&site.redis.url()).await?;
    let shared = add(&mut redis, SOAR, &[("number", "1"), ("action", "block_ip"), ("note", "10.9.8.7")]).await?;
    let kept = add(&mut redis, SOAR, &[("number", "2"), ("action", "a b")]).await?;
    decided(&site, SOAR).await?;
    site.series_of("aurora_federation_out_total{what=\"soar\"}", 1.0).await?;
    let messages = site.jetstream().await?;
    let id = numbered(&messages, "aurora.soar.")[0].1.json()["id"].as_str().unwrap_or_default().to_owned();
    for subject in [&shared, &id] {
        let event = explained(&site, subject)?;
        assert_eq!((&event["id"], &event["offered"]["entry"]), (&id.as_str().into(), &shared.as_str().into()));
        assert_eq!(
            (&event["offered"]["stream"], &event["share"]["subject"]),
            (&SOAR.into(), &"aurora.soar.block_ip".into())
        );
        assert_eq!(event["jetstream"]["state"], "stored", "{event:#}");
        assert_eq!(event["guests"][0]["name"], "federate-core", "{event:#}");
        ensure!(event["ceiling"].as_array().is_some_and(|cut| !cut.is_empty()), "{event:#}");
    }
    let event = explained(&site, &kept)?;
    ensure!(event["keep_reason"].is_string() && event["share"].is_null() && event["jetstream"].is_null(), "{event:#}");
    assert_eq!(event["offered"]["entry"], kept.as_str());
    Ok(())
}

#[tokio::test]
async fn what_is_not_offered_is_not_read_and_what_the_options_keep_stays() -> Result<()> {
    let plan = Site::plan().set("federation.share", vec!["audit", "soar"]);
    let site = plan.set("guests.federate.options.share_audit", false).start().await?;
    let mut redis = connect_redis(&site.redis.url()).await?;
    add(&mut redis, RESULTS, &[("number", "1")]).await?;
    add(&mut redis, AUDIT, &[("number", "2"), ("action", "close")]).await?;
    add(&mut redis, SOAR, &[("number", "3"), ("action", "isolate")]).await?;
    decided(&site, AUDIT).await?;
    let messages = site.jetstream_of(1).await?;
    assert_eq!(messages.iter().map(|message| &*message.subject).collect::<Vec<_>>(), ["aurora.soar.isolate"]);
    let groups: redis::streams::StreamInfoGroupsReply = redis.xinfo_groups(RESULTS).await?;
    assert!(groups.groups.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_entry_that_is_no_text_becomes_a_dead_letter_and_holds_up_nobody() -> Result<()> {
    let site = plan().start().await?;
    let mut redis = connect_redis(&site.redis.url()).await?;
    let _: String = redis.xadd(SOAR, "*", &[("action", &b"\xff"[..])]).await?;
    add(&mut redis, SOAR, &[("number", "1"), ("action", "isolate")]).await?;
    let letter = site.stream_of("aurora:dead_letter", 1).await?.remove(0);
    assert_eq!((letter.text("stage"), letter.text("source")), ("source".to_owned(), SOAR.to_owned()));
    assert!(letter.text("reason").contains("`action` is not UTF-8"), "{}", letter.text("reason"));
    decided(&site, SOAR).await?;
    site.wait_until("the other one", async || {
        let found = numbered(&site.jetstream().await?, "aurora.soar.").len();
        ensure!(found == 1, "{found}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kill_9_in_the_middle_loses_nothing_and_doubles_nothing() -> Result<()> {
    const EACH: u64 = 400;
    let subjects = [(RESULTS, "AURORA.agent_results"), (AUDIT, "AURORA.audit"), (SOAR, "aurora.soar.block_ip")];
    let mut site = plan().proxied(Place::Redis).set("lanes.batch", 16).start().await?;
    let mut redis = connect_redis(&site.redis.url()).await?;
    site.proxy(Place::Redis)?.set(|faults| faults.delay = Duration::from_millis(15));
    let mut pipeline = redis::pipe();
    for number in 0..EACH {
        for (stream, _) in subjects {
            pipeline.xadd(stream, "*", &[("number", number.to_string()), ("action", "block_ip".to_owned())]).ignore();
        }
    }
    pipeline.exec_async(&mut redis).await?;
    site.wait_until("the middle", async || {
        let sent = numbered(&site.jetstream().await?, "").len();
        let pending: StreamPendingReply = redis.xpending(SOAR, GROUP).await?;
        ensure!(sent > 0 && pending.count() > 0, "{sent} sent, {} pending", pending.count());
        Ok(())
    })
    .await?;
    site.kill_daemon()?;
    let pending: StreamPendingReply = redis.xpending(SOAR, GROUP).await?;
    let sent = numbered(&site.jetstream().await?, "").len() as u64;
    assert!(pending.count() > 0 && sent < 3 * EACH, "all was done before the kill, so this showed nothing");
    site.proxy(Place::Redis)?.set(|faults| faults.delay = Duration::ZERO);
    site.start_daemon().await?;
    for (stream, _) in subjects {
        decided(&site, stream).await?;
    }
    site.wait_until("an empty outbox", async || {
        let left = site.stream("aurora:outbox").await?.len();
        ensure!(left == 0, "{left} entries");
        Ok(())
    })
    .await?;
    let messages = site.jetstream().await?;
    for (_, subject) in subjects {
        let mut numbers: Vec<u64> = numbered(&messages, subject).into_iter().map(|(number, _)| number).collect();
        assert!(numbers.is_sorted(), "{subject} is out of order");
        numbers.dedup();
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "{subject}");
        assert_eq!(numbered(&messages, subject).len() as u64, EACH, "{subject} has some twice");
    }
    Ok(())
}

#[tokio::test]
async fn an_entry_whose_policy_fails_stays_until_it_is_run_again() -> Result<()> {
    let site = plan().guest("federate", &hostile_guest()?).start().await?;
    let mut redis = connect_redis(&site.redis.url()).await?;
    add(&mut redis, AUDIT, &[("number", "1"), ("agent", "triage"), ("action", "federate trap")]).await?;
    let letter = site.stream_of("aurora:dead_letter", 1).await?.remove(0);
    assert_eq!((letter.text("stage"), letter.text("effect")), ("federate".to_owned(), "not-shared".to_owned()));
    decided(&site, AUDIT).await?;
    assert!(numbered(&site.jetstream().await?, "").is_empty());
    let stock = format!("federate={}", stock_guest("federate-core")?.display());
    let config = site.folder().join("aurora.toml");
    let replay = Command::new(binary()?)
        .args(["dead-letter", "replay", "--all", "--yes", "--with", &stock, "--config"])
        .arg(&config)
        .output()?;
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    site.wait_until("the entry", async || {
        let found = numbered(&site.jetstream().await?, "AURORA.audit").len();
        ensure!(found == 1, "{found}");
        Ok(())
    })
    .await?;
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    Ok(())
}
