//! Tasks that are added again under the same `task_id`, as by a client that heard no answer.

use anyhow::{Result, ensure};

use super::{Client, LETTERS, RESULTS, TASKS, exactly, plan};

const ECHO: &str = r#"{"do":"echo","say":"once"}"#;
const REPEATED: &str = "aurora_agent_tasks_repeated_total";

#[tokio::test]
async fn a_task_that_is_added_again_is_done_once_whenever_that_is() -> Result<()> {
    let mut site = plan()?.start().await?;
    let mut client = Client::of(&site).await?;
    for _ in 0..3 {
        client.add("same", ECHO).await?;
    }
    exactly(&site, &mut client, 1).await?;
    site.series_of(REPEATED, 2.0).await?;
    let scrape = site.scrape().await?;
    assert_eq!(scrape.get("aurora_agent_tasks_ended_total{agent=\"errand\",status=\"completed\"}")?, 1.0);
    assert_eq!(
        scrape.get("aurora_guest_calls_total{guest=\"task/errand\",stage=\"task\"}")?,
        1.0,
        "its guest was asked"
    );

    // Nobody who was there remembers it; Redis does.
    site.kill_daemon()?;
    client.add("same", ECHO).await?;
    site.start_daemon().await?;
    site.series_of(REPEATED, 1.0).await?;
    exactly(&site, &mut client, 1).await?;
    assert!(site.stream(TASKS).await?.is_empty() && site.stream(LETTERS).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_second_waits_uncounted_while_the_first_is_under_way_and_through_the_death_of_its_worker() -> Result<()> {
    const FIRST_NEVER_ENDS: &str = r#"{"do":"spin","until":2}"#;
    let mut site = plan()?.set("tasks.agents.errand.deadline", "60s").start().await?;
    let mut client = Client::of(&site).await?;
    client.add("spun", FIRST_NEVER_ENDS).await?;
    site.series_of("aurora_agent_tasks_in_flight", 1.0).await?;
    client.add("spun", FIRST_NEVER_ENDS).await?;
    site.wait_until("the second is held, uncounted", async || {
        let pending = client.pending().await?;
        ensure!(pending == [("aurora-rust-core".to_owned(), 1), ("aurora-rust-core".to_owned(), 0)], "{pending:?}");
        Ok(())
    })
    .await?;
    assert_eq!(site.scrape().await?.get("aurora_agent_tasks_in_flight")?, 1.0, "both are done at once");
    site.kill_daemon()?;
    site.start_daemon().await?;
    let result = &exactly(&site, &mut client, 1).await?[0];
    assert_eq!((result.text("status").as_str(), result.text("attempts").as_str()), ("completed", "2"));
    site.series_of(REPEATED, 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn several_workers_do_each_task_once_however_often_it_was_added() -> Result<()> {
    const COUNT: usize = 100;
    let first = plan()?.set("tasks.workers", 2).start().await?;
    let second = plan()?.set("redis.url", first.redis.url()).set("mqtt.client_id", "second").set("tasks.workers", 2);
    let second = second.start().await?;
    let mut client = Client::of(&first).await?;
    for number in 0..COUNT {
        for _ in 0..2 {
            client.add(&format!("t{number}"), ECHO).await?;
        }
    }
    exactly(&first, &mut client, COUNT).await?;
    first
        .wait_until("each second entry is counted", async || {
            let repeated = first.scrape().await?.get(REPEATED)? + second.scrape().await?.get(REPEATED)?;
            ensure!(repeated == COUNT as f64, "{repeated}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn another_task_under_the_same_id_is_refused_and_leaves_the_result_that_is_there() -> Result<()> {
    let site = plan()?.start().await?;
    let mut client = Client::of(&site).await?;
    client.add("same", ECHO).await?;
    site.stream_of(RESULTS, 1).await?;
    let other = client.add("same", r#"{"do":"echo","say":"something else"}"#).await?;
    let results = exactly(&site, &mut client, 2).await?;
    assert_eq!((results[0].text("task_id").as_str(), results[0].text("status").as_str()), ("same", "completed"));
    let (refused, letters) = (&results[1], site.stream(LETTERS).await?);
    let letter = &letters[0];
    assert_eq!((refused.text("task_id"), refused.text("status")), (other.clone(), "failed".to_owned()));
    ensure!(refused.text("error").contains("the task_id same is that of another task"), "{}", refused.text("error"));
    assert_eq!((letter.text("entry"), letter.text("reason")), (other, refused.text("error")));
    ensure!(letter.text("input").contains("something else"), "{}", letter.text("input"));
    Ok(())
}

#[tokio::test]
async fn what_is_never_done_leaves_no_result_under_the_id_of_a_task_that_is_under_way() -> Result<()> {
    let plan = plan()?.set("tasks.agents.errand.deadline", "60s").set("tasks.unknown", "refuse");
    let mut site = plan.start().await?;
    let mut client = Client::of(&site).await?;
    client.add("same", r#"{"do":"spin","until":2}"#).await?;
    site.series_of("aurora_agent_tasks_in_flight", 1.0).await?;
    let unfit = client.add("same", "{\"do\":").await?;
    let strange = client.add_fields(&[("task_id", "same"), ("agent", "enrich")]).await?;
    let results = site.stream_of(RESULTS, 2).await?;
    let tasks: Vec<_> = results.iter().map(|result| (result.text("task_id"), result.text("status"))).collect();
    assert_eq!(tasks, [(unfit, "failed".to_owned()), (strange, "failed".to_owned())]);
    for (result, said) in results.iter().zip(["`input` is not JSON", "is that of another task"]) {
        let error = result.text("error");
        ensure!(error.contains(said) && error.contains("the task_id same is that of another task"), "{error}");
    }
    site.kill_daemon()?;
    site.start_daemon().await?;
    let results = exactly(&site, &mut client, 3).await?;
    assert_eq!((results[2].text("task_id"), results[2].text("status")), ("same".into(), "completed".into()));
    Ok(())
}

#[tokio::test]
async fn a_task_is_done_again_where_ids_are_not_remembered_or_not_any_more() -> Result<()> {
    for remember in ["0s", "1s"] {
        let site = plan()?.set("tasks.remember", remember).start().await?;
        let mut client = Client::of(&site).await?;
        client.add("same", ECHO).await?;
        site.stream_of(RESULTS, 1).await?;
        site.wait_until("it is forgotten", async || {
            let known: Vec<String> =
                redis::cmd("KEYS").arg("aurora:state:task-known:*").query_async(&mut client.0).await?;
            ensure!(known.is_empty(), "{known:?}");
            Ok(())
        })
        .await?;
        client.add("same", ECHO).await?;
        let results = site.stream_of(RESULTS, 2).await?;
        ensure!(results.iter().all(|result| result.text("status") == "completed"), "{remember}: {results:?}");
    }
    Ok(())
}
