//! What our worker leaves alone: events, and tasks of others.

use anyhow::{Context as _, Result, ensure};
use redis::streams::StreamReadReply;

use super::{Client, GROUP, RESULTS, TASKS, exactly, plan};

#[tokio::test]
async fn tasks_that_never_end_delay_no_event() -> Result<()> {
    let site = plan()?.set("tasks.workers", 3).set("tasks.agents.errand.deadline", "60s").start().await?;
    let mut client = Client::of(&site).await?;
    for number in 0..3 {
        client.add(&format!("t{number}"), r#"{"do":"spin"}"#).await?;
    }
    site.series_of("aurora_agent_tasks_in_flight", 3.0).await?;
    for number in 0..50 {
        let event = format!(r#"{{"severity":"high","title":"Valve {number} open"}}"#);
        site.publish("aurora/sensors/pump_1/alerts", 1, [event]).await?;
    }
    site.stream_of("aurora:cps:alerts", 50).await?;
    let scrape = site.scrape().await?;
    ensure!(scrape.get("aurora_agent_tasks_in_flight")? == 3.0, "the tasks have ended, so this showed nothing");
    Ok(())
}

/// How often the stream was looked at: by our worker's step, and by nobody else.
async fn looks(client: &mut Client) -> Result<u64> {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut client.0).await?;
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_xrange:calls=")).context("no look yet")?;
    Ok(calls.split(',').next().unwrap_or_default().parse()?)
}

#[tokio::test]
async fn a_task_of_another_worker_is_left_to_it_for_a_while_and_ours_wait_behind_it() -> Result<()> {
    let site = plan()?.set("tasks.patience", "10m").start().await?;
    let mut client = Client::of(&site).await?;
    client.add("before", r#"{"do":"echo"}"#).await?;
    site.stream_of(RESULTS, 1).await?;
    let others = client.add_fields(&[("agent", "enrich"), ("task_id", "others")]).await?;
    client.add("behind", r#"{"do":"echo"}"#).await?;
    let before = looks(&mut client).await?;
    site.wait_until("several looks", async || {
        let looks = looks(&mut client).await?;
        ensure!(looks >= before + 5, "{looks}");
        Ok(())
    })
    .await?;
    assert_eq!(site.scrape().await?.get("aurora_agent_tasks_passed_over_total")?, 0.0);
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg("other").arg("COUNT").arg(1).arg("STREAMS").arg(TASKS).arg(">");
    let read: StreamReadReply = read.query_async(&mut client.0).await?;
    let ids: Vec<_> = read.keys.iter().flat_map(|key| &key.ids).map(|one| one.id.clone()).collect();
    assert_eq!(ids, std::slice::from_ref(&others));
    site.stream_of(RESULTS, 2).await?;
    redis::cmd("XACK").arg(TASKS).arg(GROUP).arg(others).exec_async(&mut client.0).await?;
    exactly(&site, &mut client, 2).await?;
    Ok(())
}
