//! How far readers of streams are behind, in `/metrics`, by real groups of a real Redis.

use anyhow::{Result, ensure};
use harness::{Site, connect_redis};

async fn redis(site: &Site, command: &str) -> Result<redis::Value> {
    let mut connection = connect_redis(&site.redis.url()).await?;
    let mut words = redis::Cmd::new();
    words.arg(command.split(' ').collect::<Vec<_>>());
    Ok(words.query_async(&mut connection).await?)
}

#[tokio::test]
async fn pending_and_unread_tasks_of_agents_are_counted_and_gone_groups_are_not() -> Result<()> {
    let site = Site::plan().without_nats().set("lag.every", "1s").start().await?;
    ensure!(site.scrape().await?.get("aurora_agent_tasks_pending_total")? == 0.0, "pending before there is a task");
    redis(&site, "XGROUP CREATE aurora:agent:tasks aurora-agents 0 MKSTREAM").await?;
    for task in 0..5 {
        redis(&site, &format!("XADD aurora:agent:tasks * task {task}")).await?;
    }
    redis(&site, "XREADGROUP GROUP aurora-agents worker-1 COUNT 3 STREAMS aurora:agent:tasks >").await?;
    site.series_of("aurora_agent_tasks_pending_total", 3.0).await?;
    let scrape = site.scrape().await?;
    let group = "stream=\"aurora:agent:tasks\"";
    // Labels stand in the order of the alphabet.
    let of = |name: &str| scrape.get(&format!("aurora_stream_group_{name}{{group=\"aurora-agents\",{group}}}"));
    ensure!(of("lag")? == 2.0 && of("pending")? == 3.0, "{}", scrape.0);
    ensure!(scrape.get(&format!("aurora_stream_entries{{{group}}}"))? == 5.0, "{}", scrape.0);
    ensure!((0.0..60.0).contains(&of("oldest_pending_seconds")?), "{}", scrape.0);

    redis(&site, "XGROUP DESTROY aurora:agent:tasks aurora-agents").await?;
    site.wait_until("a group that is gone has no series", async || {
        let scrape = site.scrape().await?;
        ensure!(!scrape.0.contains("aurora-agents"), "it has");
        ensure!(scrape.get("aurora_agent_tasks_pending_total")? == 0.0, "still pending");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_key_that_is_no_stream_hides_no_other() -> Result<()> {
    let site = Site::plan().without_nats().set("lag.every", "1s").brokers().await?;
    redis(&site, "SET aurora:agent:results x").await?;
    let mut site = site;
    site.start_daemon().await?;
    site.publish("aurora/sensors/pump_1/alerts", 1, [r#"{"severity":"high","title":"Valve open"}"#]).await?;
    site.series_of("aurora_stream_entries{stream=\"aurora:cps:alerts\"}", 1.0).await?;
    let scrape = site.scrape().await?;
    ensure!(scrape.get("aurora_ready")? == 1.0 && scrape.get("aurora_part_ready{part=\"redis\"}")? == 1.0, "not ready");
    ensure!(!scrape.0.contains("aurora_part_ready{part=\"nats\"}"), "a part that is not configured is shown");
    Ok(())
}
