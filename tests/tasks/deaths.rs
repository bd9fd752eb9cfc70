//! Workers that share the group, and workers that die.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::{PATIENCE, Place};

use super::{Client, GROUP, LETTERS, TASKS, exactly, plan};

/// Never ends in its first attempt.
const FIRST_NEVER_ENDS: &str = r#"{"do":"spin","until":2}"#;

#[tokio::test]
async fn kill_9_in_the_middle_of_a_task_loses_nothing_and_doubles_nothing() -> Result<()> {
    let mut site = plan()?.set("tasks.agents.errand.deadline", "60s").start().await?;
    let mut client = Client::of(&site).await?;
    client.add("spun", FIRST_NEVER_ENDS).await?;
    site.series_of("aurora_agent_tasks_in_flight", 1.0).await?;
    site.kill_daemon()?;
    assert_eq!(client.pending().await?, [("aurora-rust-core".to_owned(), 1)]);
    site.start_daemon().await?;
    let result = &exactly(&site, &mut client, 1).await?[0];
    assert_eq!((result.text("status").as_str(), result.text("attempts").as_str()), ("completed", "2"));
    Ok(())
}

#[tokio::test]
async fn another_worker_takes_over_what_a_dead_one_had() -> Result<()> {
    let mut first = plan()?.set("tasks.agents.errand.deadline", "60s").start().await?;
    let mut client = Client::of(&first).await?;
    client.add("spun", FIRST_NEVER_ENDS).await?;
    first.series_of("aurora_agent_tasks_in_flight", 1.0).await?;
    let _second = plan()?.set("redis.url", first.redis.url()).set("mqtt.client_id", "second").start().await?;
    first.kill_daemon()?;
    // The streams are those of the first site's Redis.
    let result = &exactly(&first, &mut client, 1).await?[0];
    assert_eq!((result.text("worker").as_str(), result.text("attempts").as_str()), ("second", "2"));
    Ok(())
}

#[tokio::test]
async fn all_that_a_dead_worker_had_is_taken_over_as_fast_as_it_is_done() -> Result<()> {
    const COUNT: usize = 200;
    // A look each second, of four tasks, would take fifty.
    let mut site = plan()?.set("tasks.stale", "4s").set("tasks.workers", 4).start().await?;
    let mut client = Client::of(&site).await?;
    // The group is made by the first round.
    client.add("first", r#"{"do":"echo"}"#).await?;
    exactly(&site, &mut client, 1).await?;
    site.kill_daemon()?;
    for number in 0..COUNT {
        client.add(&format!("t{number}"), r#"{"do":"echo"}"#).await?;
    }
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg("dead").arg("COUNT").arg(COUNT).arg("STREAMS").arg(TASKS).arg(">");
    read.exec_async(&mut client.0).await?;
    assert_eq!(client.pending().await?.len(), COUNT);
    site.start_daemon().await?;
    let began = Instant::now();
    exactly(&site, &mut client, COUNT + 1).await?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(25), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn a_task_that_ends_its_worker_each_time_is_a_dead_letter_in_the_end() -> Result<()> {
    let mut site = plan()?.set("tasks.agents.errand.deadline", "60s").set("tasks.retries", 1).start().await?;
    let mut client = Client::of(&site).await?;
    client.add("deadly", r#"{"do":"spin"}"#).await?;
    for attempt in 1..=2 {
        site.wait_until("the attempt", async || {
            let pending = client.pending().await?;
            ensure!(pending == [("aurora-rust-core".to_owned(), attempt)], "{pending:?}");
            ensure!(site.scrape().await?.get("aurora_agent_tasks_in_flight")? == 1.0, "not under way");
            Ok(())
        })
        .await?;
        site.kill_daemon()?;
        site.start_daemon().await?;
    }
    let result = &exactly(&site, &mut client, 1).await?[0];
    assert_eq!((result.text("status").as_str(), result.text("attempts").as_str()), ("failed", "2"));
    let reason = site.stream(LETTERS).await?[0].text("reason");
    ensure!(reason.contains("begun 2 times and never ended"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn several_workers_share_the_tasks_and_each_is_done_once() -> Result<()> {
    const COUNT: usize = 400;
    let first = plan()?.set("tasks.workers", 2).start().await?;
    let second = plan()?.set("redis.url", first.redis.url()).set("mqtt.client_id", "second").set("tasks.workers", 2);
    let second = second.start().await?;
    let mut client = Client::of(&first).await?;
    for number in 0..COUNT {
        // Some fail at first.
        client.add(&format!("t{number}"), &format!(r#"{{"do":"retry","until":{}}}"#, 1 + number % 3)).await?;
    }
    let results = exactly(&first, &mut client, COUNT).await?;
    for worker in ["aurora-rust-core", "second"] {
        let own = results.iter().filter(|result| result.text("worker") == worker).count();
        ensure!(own > 0, "{worker} did nothing");
    }
    drop(second);
    Ok(())
}

#[tokio::test]
async fn an_orderly_end_waits_for_its_tasks_and_gives_the_rest_back_uncounted() -> Result<()> {
    let plan = plan()?.set("tasks.agents.errand.deadline", "60s").set("shutdown.grace", "300ms");
    let mut site = plan.start().await?;
    let mut client = Client::of(&site).await?;
    client.add("spun", r#"{"do":"spin"}"#).await?;
    for _ in 0..2 {
        site.series_of("aurora_agent_tasks_in_flight", 1.0).await?;
        site.terminate(PATIENCE).await?;
        assert_eq!(client.pending().await?, [("aurora-rust-core".to_owned(), 0)]);
        site.start_daemon().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_redis_that_is_cut_off_costs_no_task_and_doubles_none() -> Result<()> {
    const COUNT: usize = 200;
    let site = plan()?.proxied(Place::Redis).start().await?;
    let mut client = Client::of(&site).await?;
    site.proxy(Place::Redis)?.set(|faults| faults.delay = Duration::from_millis(5));
    for number in 0..COUNT {
        client.add(&format!("t{number}"), r#"{"do":"echo"}"#).await?;
    }
    for share in 1..4 {
        site.stream_of(super::RESULTS, share * COUNT / 5).await?;
        site.proxy(Place::Redis)?.cut();
    }
    exactly(&site, &mut client, COUNT).await?;
    Ok(())
}
