use anyhow::{Result, ensure};
use async_nats::jetstream::stream::{Config, DiscardPolicy};
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
async fn a_message_too_large_for_the_server_is_a_dead_letter_as_well() -> Result<()> {
    let site = site(Config::default(), 0).await?;
    fill_with(&site, 0..1, |_| "aurora.alerts.network", &"x".repeat(1 << 20)).await?;
    fill(&site, 1..10).await?;
    let letters = site.stream_of("aurora:dead_letter", 1).await?;
    assert!(letters[0].text("reason").contains("max_payload"), "{}", letters[0].text("reason"));
    arrived(&site, &nats(&site).await?, 9).await
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

#[tokio::test]
async fn a_user_who_may_not_publish_somewhere_is_told_and_holds_up_nothing_else() -> Result<()> {
    let more = r#"
        authorization {
            users = [
                { user: relay, password: "p@ss", permissions: { publish: { deny: ["aurora.cps.>"] } } }
                { user: other, password: other }
            ]
        }
        no_auth_user: other"#;
    let nats = Nats { more: more.to_owned(), ..Nats::default() };
    let mut site = Site::plan().nats(nats).brokers().await?;
    let port = site.nats.as_ref().map(harness::Broker::port).unwrap_or_default();
    site.set("nats.url", format!("nats://relay:p%40ss@127.0.0.1:{port}"));
    site.set("nats.retries", 1);
    site.set("nats.ack_timeout", "300ms");
    site.start_daemon().await?;
    fill_with(&site, 0..20, |number| if number % 2 == 0 { "aurora.cps.x" } else { "aurora.alerts.x" }, "").await?;
    let letters = site.stream_of("aurora:dead_letter", 10).await?;
    assert!(letters[0].text("reason").contains("may not publish"), "{letters:?}");
    emptied(&site).await?;
    let subjects: Vec<_> = site.jetstream().await?.into_iter().map(|message| message.subject).collect();
    assert_eq!(subjects, ["aurora.alerts.x"; 10]);
    Ok(())
}
