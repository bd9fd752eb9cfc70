//! `aurora dead-letter replay`: what was missing is stored, once, and the letter goes with it; or nothing is, and it
//! stays.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use async_nats::jetstream::{self, stream::Config};
use harness::{Entry, Place, Site, hostile_guest, stock_guest};

use super::dead_letters::{LETTERS, audited, command, dead_letter};

const DOOR: &str = "aurora/sensors/door_1/alerts";

/// Cannot be read by the stock guest; the hostile one, which reads anything, is the one that was mended.
fn cut(number: u32) -> String {
    format!(r#"{{"title":"cut {number}"#)
}

fn mended(stage: &str) -> Result<String> {
    Ok(format!("{stage}={}", hostile_guest()?.display()))
}

fn stock(stage: &str) -> Result<String> {
    Ok(format!("{stage}={}", stock_guest(&format!("{stage}-core"))?.display()))
}

fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.data()["id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Every number is in `entries`, and none twice.
fn assert_each_once(entries: &[Entry], count: u32) {
    let mut lines: Vec<String> =
        entries.iter().map(|entry| entry.data()["fields"]["line"].as_str().unwrap_or_default().to_owned()).collect();
    lines.sort_unstable();
    let mut expected: Vec<String> = (0..count).map(cut).collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn after_the_guest_was_mended_each_event_is_published_once() -> Result<()> {
    let mut site = Site::plan().without_nats().start().await?;
    site.publish(DOOR, 1, (0..5).map(cut)).await?;
    site.stream_of(LETTERS, 5).await?;
    let named = mended("normalize")?;
    let dry = dead_letter(&site, &["replay", "--all", "--dry-run", "--with", &named])?;
    let foretold: Vec<_> = dry.json()?.iter().map(|line| line["events"][0]["event"]["id"].clone()).collect();
    assert_eq!((foretold.len(), site.stream(LETTERS).await?.len()), (5, 5), "{dry:?}");
    // By now the configuration names the mended one, while the daemon still runs with the other.
    site.set("guests.normalize.path", hostile_guest()?.display().to_string());
    site.write_configuration(([127, 0, 0, 1], 1).into())?;
    let said = dead_letter(&site, &["replay", "--stage", "normalize", "--yes"])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "5 replayed\n"), "{said:?}");
    let entries = site.stream("aurora:alerts").await?;
    assert_each_once(&entries, 5);
    assert_eq!(ids(&entries), foretold);
    assert_eq!(entries[0].data()["device_id"], "door_1");
    assert!(site.stream(LETTERS).await?.is_empty());
    let audited = audited(&site, "dead-letter-replay").await?;
    assert!(audited.len() == 1 && audited[0].contains("letters=5"), "{audited:?}");
    // The daemon was not superseded by the command.
    site.publish(DOOR, 1, [cut(5)]).await?;
    site.stream_of(LETTERS, 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_replay_that_is_killed_and_run_again_publishes_each_event_once() -> Result<()> {
    const COUNT: u32 = 600;
    let site = Site::plan().without_nats().proxied(Place::Redis).start().await?;
    site.publish(DOOR, 1, (0..COUNT).map(cut)).await?;
    site.stream_of(LETTERS, COUNT as usize).await?;
    let named = mended("normalize")?;
    let replay = ["replay", "--all", "--yes", "--with", &named];
    // Steps are stored and their answers are on the way back when it is killed; the first time one does not come back.
    site.proxy(Place::Redis)?.lose_answers_to(b"dead-letter-replay", 1);
    for (round, least) in [1, 300, 520].into_iter().enumerate() {
        site.proxy(Place::Redis)?.set(|faults| faults.delay = std::time::Duration::from_millis(50));
        let mut child = command(site.folder(), &replay)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        site.wait_until("a part of the letters replayed", async || {
            let stored = site.stream("aurora:alerts").await?.len();
            let lost = site.proxy(Place::Redis)?.answers_lost();
            anyhow::ensure!(stored >= least && lost == 1, "{stored}, {lost} answers lost");
            Ok(())
        })
        .await?;
        child.kill().context("cannot kill it")?;
        child.wait()?;
        if round == 0 {
            assert!(!site.stream(LETTERS).await?.is_empty(), "it was too fast to be interrupted");
        }
        site.proxy(Place::Redis)?.heal();
    }
    // On a thread of its own: the proxy runs on this one.
    let mut again = command(site.folder(), &replay)?;
    let said = tokio::task::spawn_blocking(move || again.output()).await??;
    assert!(said.status.success(), "{said:?}");
    assert_each_once(&site.stream("aurora:alerts").await?, COUNT);
    assert!(site.stream(LETTERS).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_letter_that_fails_again_stays_as_it_is() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    site.publish(DOOR, 1, [cut(0)]).await?;
    site.publish("aurora/sensors/tank 9/alerts", 1, [r#"{"title":"of nobody"}"#]).await?;
    let before: Vec<String> = site.stream_of(LETTERS, 2).await?.into_iter().map(|letter| letter.id).collect();
    let said = dead_letter(&site, &["replay", "--all", "--yes"])?;
    assert_eq!((said.code, said.text().as_str()), (Some(1), "0 replayed\n2 failed again and stay\n"), "{said:?}");
    assert!(said.err.contains(&before[0]) && said.err.contains("--force"), "{said:?}");
    let after: Vec<String> = site.stream(LETTERS).await?.into_iter().map(|letter| letter.id).collect();
    assert_eq!(before, after);
    assert!(site.stream("aurora:alerts").await?.is_empty() && site.stream("aurora:cps:alerts").await?.is_empty());
    let said = dead_letter(&site, &["replay", "--force", &before[1]])?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(site.stream(LETTERS).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn of_an_event_that_was_not_shared_only_the_share_is_made() -> Result<()> {
    let site = Site::plan().guest("federate", &hostile_guest()?).start().await?;
    site.publish(DOOR, 1, [r#"{"severity":"high","title":"federate trap"}"#]).await?;
    site.stream_of(LETTERS, 1).await?;
    let said = dead_letter(&site, &["replay", "--all", "--yes", "--with", &stock("federate")?])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "1 replayed\n"), "{said:?}");
    let shared = site.jetstream_of(1).await?;
    let here = site.stream("aurora:cps:alerts").await?;
    assert_eq!((shared.len(), here.len()), (1, 1));
    assert_eq!(shared[0].json()["id"], here[0].data()["id"], "two ids for one event");
    assert!(site.stream(LETTERS).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_event_that_took_the_default_route_is_stored_only_where_it_is_not() -> Result<()> {
    let streams = toml::Table::from_iter([("site:telemetry".to_owned(), 1000.into())]);
    let plan = Site::plan().without_nats().guest("route", &hostile_guest()?).set("redis.streams", streams);
    let site = plan.set("guests.route.options.telemetry_stream", "site:telemetry").start().await?;
    // Its title becomes `route trap now: 1`.
    let reading = r#"{"sensor":"trap now","value":1}"#;
    site.publish("aurora/sensors/route/telemetry", 1, [reading]).await?;
    site.publish(DOOR, 1, [r#"{"severity":"high","title":"route trap"}"#]).await?;
    site.stream_of("aurora:cps:alerts", 2).await?;
    let letters = site.stream_of(LETTERS, 2).await?;
    assert!(letters.iter().all(|letter| letter.text("streams") == "aurora:cps:alerts"), "{letters:?}");
    let said = dead_letter(&site, &["replay", "--all", "--yes", "--with", &stock("route")?])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "2 replayed\n"), "{said:?}");
    let (default, right) = (site.stream("aurora:cps:alerts").await?, site.stream("site:telemetry").await?);
    assert_eq!((default.len(), right.len()), (2, 1));
    assert!(ids(&default).contains(&ids(&right)[0]), "two ids for one event");
    assert!(site.stream(LETTERS).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_redis_refused_is_stored_once_its_stream_is_mended() -> Result<()> {
    let site = Site::plan().without_nats().start().await?;
    let mut redis = redis::Client::open(site.redis.url())?.get_multiplexed_async_connection().await?;
    let set = redis::cmd("SET").arg("aurora:cps:alerts").arg("no stream").to_owned();
    set.exec_async(&mut redis).await?;
    site.publish(DOOR, 1, [r#"{"severity":"high","title":"t"}"#]).await?;
    site.stream_of(LETTERS, 1).await?;
    let said = dead_letter(&site, &["replay", "--all", "--yes"])?;
    assert!(said.code == Some(1) && said.err.contains("aurora:cps:alerts holds a string"), "{said:?}");
    assert_eq!(site.stream(LETTERS).await?.len(), 1);
    redis::cmd("DEL").arg("aurora:cps:alerts").exec_async(&mut redis).await?;
    // Within the window of dedup: its own mark must not make it a repetition.
    let said = dead_letter(&site, &["replay", "--all", "--yes"])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "1 replayed\n"), "{said:?}");
    assert_eq!(site.stream("aurora:cps:alerts").await?.len(), 1);
    assert!(site.stream(LETTERS).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_message_that_jetstream_refused_is_sent_once_it_is_taken() -> Result<()> {
    let mut site = Site::plan().brokers().await?;
    let jetstream = jetstream::new(async_nats::connect(site.nats.as_ref().context("no NATS")?.url()).await?);
    let config = |subjects: &[&str]| {
        let subjects = subjects.iter().map(|&subject| subject.to_owned()).collect();
        Config { name: "AURORA".to_owned(), subjects, ..Config::default() }
    };
    jetstream.create_stream(config(&["aurora.alerts.>"])).await?;
    site.start_daemon().await?;
    site.publish(DOOR, 1, [r#"{"severity":"high","title":"t","message":"seen 45.155.205.233"}"#]).await?;
    let letter = site.stream_of(LETTERS, 1).await?.remove(0);
    assert_eq!(site.jetstream_of(1).await?.len(), 1);
    jetstream.update_stream(config(&["aurora.alerts.>", "aurora.intel.>"])).await?;
    // The relay asks about the stream when it begins.
    site.terminate(harness::PATIENCE).await?;
    site.start_daemon().await?;
    let said = dead_letter(&site, &["replay", &letter.id])?;
    assert_eq!((said.code, said.text().as_str()), (Some(0), "1 replayed\n"), "{said:?}");
    let messages = site.jetstream_of(2).await?;
    assert_eq!(
        (messages[1].subject.as_str(), &messages[1].payload),
        ("aurora.intel.ioc.ip", &letter.fields["payload"])
    );
    let (id, event) = (messages[1].id.clone().unwrap_or_default(), &messages[1].headers["Aurora-Event-Id"]);
    assert!(id.starts_with(&format!("{}:", letter.text("id"))) && id.starts_with(event.as_str()), "{id} {event}");
    Ok(())
}
