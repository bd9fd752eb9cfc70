use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{
    message::PublishMessage,
    stream::{Config, DiscardPolicy},
};
use harness::{Nats, Site};

use super::{arrived, emptied, fill, fill_with, nats, number};

fn stream(more: Config) -> Config {
    let subjects = ["aurora.alerts.>", "aurora.intel.>", "aurora.soar.>"].map(str::to_owned).into();
    Config { name: "AURORA".to_owned(), subjects, ..more }
}

/// A site with a stream that was there before.
async fn site(config: Config, retries: i64) -> Result<Site> {
    let plan = Site::plan().set("nats.retries", retries).set("nats.reconnect_max", "200ms");
    let mut site = plan.brokers().await?;
    nats(&site).await?.create_stream(stream(config)).await?;
    site.start_daemon().await?;
    Ok(site)
}

#[tokio::test]
async fn a_message_too_large_for_the_stream_is_a_dead_letter_after_its_retries() -> Result<()> {
    let site = site(Config { max_message_size: 1000, ..Config::default() }, 2).await?;
    fill(&site, 0..3).await?;
    fill_with(&site, 3..4, |_| "aurora.alerts.network", &"x".repeat(2000)).await?;
    fill(&site, 4..40).await?;
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    let letter = &letters[0];
    assert_eq!((letter.text("stage"), letter.text("attempts")), ("relay".into(), "3".into()));
    assert_eq!((letter.text("topic"), letter.text("id")), ("aurora.alerts.network".into(), "id-3".into()));
    assert!(letter.text("reason").contains("max_msg_size") && letter.text("time").contains('T'), "{letter:?}");
    assert!(letter.text("payload").contains("xxx"));
    emptied(&site).await?;
    assert_eq!((site.jetstream().await?.len(), site.stream("aurora:dead_letter").await?.len()), (39, 1));
    Ok(())
}

#[tokio::test]
async fn a_message_too_large_for_the_stream_keeps_its_subject_in_order_until_it_is_taken() -> Result<()> {
    let mut site = Site::plan().set("nats.retries", 1000).set("nats.reconnect_max", "200ms").brokers().await?;
    let jetstream = nats(&site).await?;
    jetstream.create_stream(stream(Config { max_message_size: 1000, ..Config::default() })).await?;
    fill_with(&site, 0..1, |_| "aurora.alerts.x", &"x".repeat(2000)).await?;
    fill_with(&site, 1..20, |_| "aurora.alerts.x", "").await?;
    fill_with(&site, 20..30, |_| "aurora.alerts.y", "").await?;
    // Now, so that all of them are taken together.
    site.start_daemon().await?;
    arrived(&site, &jetstream, 10).await?;
    assert_eq!(site.stream(super::OUTBOX).await?.len(), 20);
    jetstream.update_stream(stream(Config::default())).await?;
    emptied(&site).await?;
    super::assert_exactly_once_in_order(&site.jetstream().await?, 30);
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_is_counted_as_jetstream_counts_it() -> Result<()> {
    let site = site(Config { max_message_size: 520, ..Config::default() }, 0).await?;
    for number in 0..100 {
        fill_with(&site, number..number + 1, |_| "aurora.alerts.x", &"x".repeat(350 + number as usize)).await?;
    }
    emptied(&site).await?;
    let messages = site.jetstream().await?;
    let largest = messages.iter().max_by_key(|message| message.payload.len()).context("nothing was taken")?;
    let letters = site.stream("aurora:dead_letter").await?;
    assert!(!letters.is_empty() && letters.len() + messages.len() == 100, "{} {}", letters.len(), messages.len());
    // The same with one byte more is what the server itself refuses, and the same length is what it takes.
    let jetstream = nats(&site).await?;
    for (more, id, is_taken) in [("", "di-", true), ("x", "dx-", false)] {
        let mut message =
            PublishMessage::build().payload([largest.payload.as_slice(), more.as_bytes()].concat().into());
        for (name, value) in &largest.headers {
            // As long, and no repetition.
            message = message.header(name.as_str(), value.replace("id-", id));
        }
        let answer = jetstream.send_publish("aurora.alerts.x", message).await?.await;
        assert_eq!(answer.is_ok(), is_taken, "{more:?}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_too_large_for_the_server_is_a_dead_letter_as_well() -> Result<()> {
    let site = site(Config::default(), 0).await?;
    fill_with(&site, 0..1, |_| "aurora.alerts.network", &"x".repeat(1 << 20)).await?;
    fill(&site, 1..10).await?;
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    assert!(letters[0].text("reason").contains("max_payload"), "{}", letters[0].text("reason"));
    arrived(&site, &nats(&site).await?, 9).await
}

#[tokio::test]
async fn entries_that_can_never_be_sent_are_dead_letters_at_once_and_end_nothing() -> Result<()> {
    let site = site(Config::default(), 1000).await?;
    let mut redis = super::redis(&site).await?;
    let entries: [&[&str]; 4] = [
        &["subject", "aurora.alerts.network", "id", "a\r\nNats-Rollup: all", "kind", "alert", "data", "broken"],
        &["subject", "aurora.alerts.network", "id", "", "kind", "alert", "data", "empty"],
        &["id", "lost", "kind", "alert", "data", "no subject"],
        &["body", "not ours"],
    ];
    for fields in entries {
        redis::cmd("XADD").arg(super::OUTBOX).arg("*").arg(fields).exec_async(&mut redis).await?;
    }
    fill(&site, 0..10).await?;
    let letters = site.stream_of("aurora:dead_letter", 4).await?;
    let told: Vec<_> = letters.iter().map(|letter| (letter.text("payload"), letter.text("attempts"))).collect();
    assert_eq!(told, ["broken", "empty", "no subject", "body\nnot ours"].map(|text| (text.into(), "1".into())));
    for (letter, reason) in letters.iter().zip(["its id", "its id", "no subject", "no subject"]) {
        assert!(letter.text("reason").contains(reason), "{letter:?}");
    }
    emptied(&site).await?;
    super::assert_exactly_once_in_order(&site.jetstream().await?, 10);
    Ok(())
}

#[tokio::test]
async fn a_refused_subject_waits_and_the_others_go_on() -> Result<()> {
    // So many retries that they never end here.
    let site = site(Config::default(), 1000).await?;
    fill_with(&site, 0..20, |number| if number % 2 == 0 { "aurora.cps.x" } else { "aurora.alerts.x" }, "").await?;
    let jetstream = nats(&site).await?;
    arrived(&site, &jetstream, 10).await?;
    // Those that arrived are cleared a moment later.
    site.wait_until("the others alone in the outbox", async || {
        let left = site.stream(super::OUTBOX).await?.len();
        ensure!(left == 10, "{left} entries");
        Ok(())
    })
    .await?;
    let mended = stream(Config::default());
    let subjects = [mended.subjects.clone(), vec!["aurora.cps.>".to_owned()]].concat();
    jetstream.update_stream(Config { subjects, ..mended }).await?;
    emptied(&site).await?;
    let messages = site.jetstream().await?;
    let numbers: Vec<_> = messages.iter().filter(|message| message.subject == "aurora.cps.x").map(number).collect();
    assert_eq!(numbers, (0..20).step_by(2).collect::<Vec<_>>());
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_flood_that_is_refused_uses_its_retries_once() -> Result<()> {
    let site = site(Config::default(), 1).await?;
    fill_with(&site, 0..3000, |_| "aurora.cps.x", "").await?;
    fill_with(&site, 3000..3010, |_| "aurora.alerts.x", "").await?;
    let letters = site.stream_of("aurora:dead_letter", 3000).await?;
    let attempts = |count: &str| letters.iter().filter(|letter| letter.text("attempts") == count).count();
    assert!(attempts("2") >= 1 && attempts("1") > 1000, "{} {}", attempts("2"), attempts("1"));
    arrived(&site, &nats(&site).await?, 10).await?;
    emptied(&site).await
}

#[tokio::test]
async fn a_stream_that_vanishes_is_made_again() -> Result<()> {
    let site = Site::plan().set("nats.reconnect_max", "200ms").start().await?;
    let jetstream = nats(&site).await?;
    fill(&site, 0..10).await?;
    emptied(&site).await?;
    jetstream.delete_stream("AURORA").await?;
    fill(&site, 10..20).await?;
    emptied(&site).await?;
    let numbers: Vec<_> = site.jetstream().await?.iter().map(number).collect();
    assert_eq!(numbers, (10..20).collect::<Vec<_>>());
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_full_stream_is_waited_for_and_the_order_kept() -> Result<()> {
    let full = Config { max_messages: 60, discard: DiscardPolicy::New, ..Config::default() };
    let site = site(full.clone(), 1).await?;
    fill(&site, 0..200).await?;
    let jetstream = nats(&site).await?;
    arrived(&site, &jetstream, 60).await?;
    site.wait_until("that the stream is full", async || {
        let body = site.readiness().await?;
        ensure!(body.contains("maximum messages exceeded"), "{body}");
        Ok(())
    })
    .await?;
    jetstream.update_stream(stream(Config { max_messages: -1, ..full })).await?;
    emptied(&site).await?;
    super::assert_exactly_once_in_order(&site.jetstream().await?, 200);
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    Ok(())
}

/// The users of a server, where the relay's may not publish to some subjects.
fn users(denied: &str) -> String {
    format!(
        r#"
        authorization {{
            users = [
                {{ user: relay, password: "p@ss", permissions: {{ publish: {{ deny: [{denied}] }} }} }}
                {{ user: other, password: other }}
            ]
        }}
        no_auth_user: other"#
    )
}

/// A site whose relay may not publish to some subjects.
async fn forbidding(denied: &str, retries: i64, ack_timeout: &str) -> Result<Site> {
    let nats = Nats { more: users(denied), ..Nats::default() };
    let mut site = Site::plan().nats(nats).set("nats.reconnect_max", "200ms").brokers().await?;
    let port = site.nats.as_ref().map(harness::Broker::port).unwrap_or_default();
    site.set("nats.url", format!("nats://relay:p%40ss@127.0.0.1:{port}"));
    site.set("nats.retries", retries);
    site.set("nats.ack_timeout", ack_timeout);
    site.start_daemon().await?;
    Ok(site)
}

#[tokio::test]
async fn users_who_may_not_publish_to_two_subjects_are_told_and_nothing_else_waits_for_it() -> Result<()> {
    let site = forbidding(r#""aurora.cps.>", "aurora.soar.>""#, 1, "20s").await?;
    let subject = |number| ["aurora.cps.x", "aurora.soar.x", "aurora.alerts.x"][number as usize % 3];
    let began = Instant::now();
    fill_with(&site, 0..30, subject, "").await?;
    arrived(&site, &nats(&site).await?, 10).await?;
    let letters = site.stream_of("aurora:dead_letter", 20).await?;
    assert!(letters.iter().all(|letter| letter.text("reason").contains("may not publish")), "{letters:?}");
    emptied(&site).await?;
    // Not one wait for an ack that cannot come.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let subjects: Vec<_> = site.jetstream().await?.into_iter().map(|message| message.subject).collect();
    assert_eq!(subjects, ["aurora.alerts.x"; 10]);
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_granted_is_made_use_of_over_the_same_connection() -> Result<()> {
    let site = forbidding(r#""aurora.cps.>""#, 1000, "5s").await?;
    fill_with(&site, 0..20, |_| "aurora.cps.x", "").await?;
    site.series_of("aurora_stage_retried_total{stage=\"relay\"}", 3.0).await?;
    let server = site.nats.as_ref().context("no NATS")?;
    let file = std::fs::read_dir(server.folder())?.filter_map(Result::ok).map(|file| file.path());
    let file = file.filter(|path| path.extension().is_some_and(|end| end == "conf")).last().context("no file")?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains(r#""aurora.cps.>""#), "{text}");
    std::fs::write(&file, text.replace(r#""aurora.cps.>""#, r#""aurora.other.>""#))?;
    let reloaded = Command::new("kill").arg("-HUP").arg(server.pid().to_string()).status()?;
    ensure!(reloaded.success(), "it cannot be told to reload");
    emptied(&site).await?;
    let messages = site.jetstream().await?;
    assert_eq!(messages.iter().map(number).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert!(site.stream("aurora:dead_letter").await?.is_empty());
    assert_eq!(site.scrape().await?.get("aurora_broker_reconnects_total{broker=\"nats\"}")?, 0.0);
    Ok(())
}
