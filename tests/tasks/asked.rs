//! `POST /v1/tasks` and `GET /v1/tasks/<id>`.

use anyhow::{Result, ensure};
use redis::AsyncCommands as _;
use serde_json::json;

use super::{Client, RESULTS, TASKS, exactly, plan_with_desk};

const ECHO: &str = r#"{"agent":"errand","input":{"do":"echo","say":"hello"},"wait":"30s"}"#;

#[tokio::test]
async fn who_waits_gets_the_result_and_who_does_not_an_id_to_ask_with() -> Result<()> {
    let (plan, desk) = plan_with_desk()?;
    let site = plan.start().await?;
    let answer = desk.ask(ECHO).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["output"], json!({ "said": "hello", "attempt": 1, "agent": "errand" }));
    assert_eq!((&answer.body["status"], &answer.body["summary"]), (&json!("completed"), &json!("said hello")));
    let result = &site.stream(RESULTS).await?[0];
    assert_eq!(
        result.names(),
        ["agent", "attempts", "guest", "output", "status", "summary", "task_id", "timestamp", "worker"]
    );

    let failed = desk.ask(r#"{"agent":"errand","input":{"do":"permanent"},"wait":"30s"}"#).await?;
    assert_eq!((failed.status, &failed.body["status"]), (200, &json!("failed")), "{}", failed.body);
    assert_eq!(failed.body["error"], "as it was told");

    let later = desk.ask(r#"{"agent":"errand","input":{"do":"echo"}}"#).await?;
    assert_eq!((later.status, &later.body["status"]), (202, &json!("pending")), "{}", later.body);
    let id = later.body["task_id"].as_str().unwrap_or_default().to_owned();
    ensure!(later.head.contains(&format!("location: /v1/tasks/{id}")), "{}", later.head);
    let polled = desk.look(&format!("{id}?wait=30s")).await?;
    assert_eq!((polled.status, &polled.body["task_id"]), (200, &json!(id)), "{}", polled.body);
    // And once more, for it is kept.
    assert_eq!(desk.look(&id).await?.status, 200);
    site.series_of("aurora_agent_result_correlation_latency_ms_count", 3.0).await?;
    let scrape = site.scrape().await?;
    assert_eq!(scrape.get("aurora_agent_results_unmatched_total")?, 0.0);
    assert_eq!(scrape.get("aurora_agent_tasks_ended_total{agent=\"errand\",status=\"completed\"}")?, 2.0);
    Ok(())
}

#[tokio::test]
async fn a_refused_request_adds_no_task_and_says_why() -> Result<()> {
    let (plan, desk) = plan_with_desk()?;
    let site = plan.set("tasks.max_payload", 100).set("tasks.agents.errand.deadline", "60s").start().await?;
    for (body, status, said) in [
        (r#"{"input":1}"#, 400, "missing field `agent`"),
        (r#"{"agent":"a b"}"#, 400, "`agent` is no name"),
        (r#"{"agent":"errand","wait":5}"#, 400, "the body is no task"),
        (r#"{"agent":"errand","prompt":"x"}"#, 400, "unknown field `prompt`"),
        (&format!(r#"{{"agent":"errand","input":"{}"}}"#, "x".repeat(100)), 413, "100 bytes"),
    ] {
        let answer = desk.ask(body).await?;
        ensure!(answer.status == status && answer.body.to_string().contains(said), "{body}: {}", answer.body);
    }
    let wrong = desk.send("POST /v1/tasks", "authorization: Bearer guess\r\n", ECHO).await?;
    assert_eq!(wrong.status, 401);
    assert_eq!(desk.send("GET /v1/tasks/x", "", "").await?.status, 401);
    assert_eq!(desk.look("0f0e").await?.status, 404);
    let unitless = desk.look("0f0e?wait=1").await?;
    ensure!(unitless.status == 400 && unitless.body["error"].to_string().contains("?wait=10s"), "{}", unitless.body);
    assert_eq!(desk.look("%20").await?.status, 404);
    assert!(site.stream(TASKS).await?.is_empty() && site.stream(RESULTS).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn for_an_agent_of_nobody_here_the_answer_names_those_that_are() -> Result<()> {
    const SLIP: &str = r#"{"agent":"errant"}"#;
    let (plan, desk) = plan_with_desk()?;
    let site = plan.start().await?;
    let answer = desk.ask(SLIP).await?;
    assert_eq!((answer.status, &answer.body["status"]), (202, &json!("pending")), "another worker may have it");
    assert_eq!(answer.body["known_agents"], json!(["errand"]));
    let own = desk.ask(r#"{"agent":"errand","input":{"do":"echo"}}"#).await?;
    ensure!(own.status == 202 && own.body.get("known_agents").is_none(), "{}", own.body);
    drop(site);

    let (plan, desk) = plan_with_desk()?;
    let site = plan.set("tasks.unknown", "refuse").start().await?;
    let answer = desk.ask(SLIP).await?;
    assert_eq!((answer.status, &answer.body["known_agents"]), (400, &json!(["errand"])), "{}", answer.body);
    assert!(site.stream(TASKS).await?.is_empty() && site.stream(RESULTS).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn too_many_waiting_tasks_are_refused_until_some_are_done() -> Result<()> {
    let (plan, desk) = plan_with_desk()?;
    let plan = plan.set("tasks.max_queue", 2).set("tasks.workers", 1).set("tasks.agents.errand.deadline", "60s");
    let mut site = plan.start().await?;
    let spin = r#"{"agent":"errand","input":{"do":"spin","until":2}}"#;
    assert_eq!(desk.ask(spin).await?.status, 202);
    site.series_of("aurora_agent_tasks_in_flight", 1.0).await?;
    assert_eq!(desk.ask(ECHO.replace("30s", "0s").as_str()).await?.status, 202);
    let refused = desk.ask(ECHO).await?;
    ensure!(refused.status == 429 && refused.head.contains("retry-after"), "{} {}", refused.status, refused.body);
    site.wait_until("the full queue to be told of", async || {
        let report = site.readiness().await?;
        ensure!(report.contains("tasks.max_queue is 2"), "{report}");
        Ok(())
    })
    .await?;
    // The attempt that never ends ends with its worker, and the next one goes well.
    site.kill_daemon()?;
    site.start_daemon().await?;
    exactly(&site, &mut Client::of(&site).await?, 2).await?;
    assert_eq!(desk.ask(ECHO).await?.status, 200);
    site.wait_until("nobody to be told any more", async || {
        let report = site.readiness().await?;
        ensure!(!report.contains("tasks.max_queue"), "{report}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn tasks_for_agents_of_nobody_fill_no_queue_and_are_given_up() -> Result<()> {
    const SLIP: &str = r#"{"agent":"errant"}"#;
    let (plan, desk) = plan_with_desk()?;
    let plan = plan.set("tasks.max_unknown", 2).set("tasks.expected", vec!["enrich"]).set("tasks.left_for", "8s");
    let site = plan.start().await?;
    let first = desk.ask(SLIP).await?;
    assert_eq!((first.status, desk.ask(SLIP).await?.status), (202, 202));
    let refused = desk.ask(SLIP).await?;
    assert_eq!(
        (refused.status, &refused.body["known_agents"]),
        (429, &json!(["errand", "enrich"])),
        "{}",
        refused.body
    );
    ensure!(refused.body["error"].to_string().contains("tasks.max_unknown"), "{}", refused.body);
    // Neither ours nor those of an expected worker stand back for them.
    assert_eq!(desk.ask(ECHO).await?.status, 200);
    for _ in 0..3 {
        assert_eq!(desk.ask(r#"{"agent":"enrich"}"#).await?.status, 202);
    }
    let id = first.body["task_id"].as_str().unwrap_or_default();
    let given_up = desk.look(&format!("{id}?wait=60s")).await?;
    assert_eq!((given_up.status, &given_up.body["status"]), (200, &json!("failed")), "{}", given_up.body);
    ensure!(given_up.body["error"].to_string().contains("tasks.left_for"), "{}", given_up.body);
    exactly(&site, &mut Client::of(&site).await?, 6).await?;
    assert!(site.stream(TASKS).await?.is_empty());
    assert_eq!(desk.ask(SLIP).await?.status, 202, "there is room again");
    Ok(())
}

#[tokio::test]
async fn the_same_key_is_the_same_task_and_no_other() -> Result<()> {
    let (plan, desk) = plan_with_desk()?;
    let site = plan.start().await?;
    let key = "idempotency-key: k1\r\n";
    let first = desk.ask_with(key, ECHO).await?;
    let again = desk.ask_with(key, ECHO).await?;
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.body, again.body);
    let other = desk.ask_with(key, &ECHO.replace("hello", "bye")).await?;
    ensure!(other.status == 409, "{} {}", other.status, other.body);
    let new = desk.ask_with("idempotency-key: k2\r\n", ECHO).await?;
    ensure!(new.status == 200 && new.body["task_id"] != first.body["task_id"], "{}", new.body);
    exactly(&site, &mut Client::of(&site).await?, 2).await?;
    Ok(())
}

#[tokio::test]
async fn under_a_key_whose_result_is_gone_the_same_is_done_again_and_another_is_refused() -> Result<()> {
    let (plan, desk) = plan_with_desk()?;
    let site = plan.set("tasks.keep", "1s").start().await?;
    let key = "idempotency-key: k1\r\n";
    let first = desk.ask_with(key, ECHO).await?;
    assert_eq!(first.status, 200, "{}", first.body);
    let id = first.body["task_id"].as_str().unwrap_or_default();
    site.wait_until("the result is kept no more", async || {
        let status = desk.look(id).await?.status;
        ensure!(status == 404, "{status}");
        anyhow::Ok(())
    })
    .await?;
    let other = desk.ask_with(key, &ECHO.replace("hello", "bye")).await?;
    ensure!(other.status == 409, "{} {}", other.status, other.body);
    let again = desk.ask_with(key, ECHO).await?;
    assert_eq!((again.status, &again.body["output"]), (200, &first.body["output"]), "{}", again.body);
    assert_eq!(site.stream_of(RESULTS, 2).await?.len(), 2);
    assert_eq!(site.scrape().await?.get("aurora_agent_tasks_repeated_total")?, 0.0);
    Ok(())
}

#[tokio::test]
async fn a_result_is_brought_after_a_restart_and_those_for_nobody_are_counted() -> Result<()> {
    let (plan, desk) = plan_with_desk()?;
    let mut site = plan.start().await?;
    // Of an agent of somebody else's.
    let asked = desk.ask(r#"{"agent":"elsewhere","input":{}}"#).await?;
    assert_eq!(asked.status, 202);
    let id = asked.body["task_id"].as_str().unwrap_or_default().to_owned();
    site.kill_daemon()?;
    let mut client = Client::of(&site).await?;
    let result = [("task_id", id.as_str()), ("output", "{\"a\":1}"), ("note", "of another worker")];
    let _: String = client.0.xadd(RESULTS, "*", &result).await?;
    let _: String = client.0.xadd(RESULTS, "*", &[("task_id", "nobodys"), ("output", "1")]).await?;
    let _: String = client.0.xadd(RESULTS, "*", &[("nothing", "at all")]).await?;
    site.start_daemon().await?;
    let brought = desk.look(&format!("{id}?wait=30s")).await?;
    assert_eq!(brought.status, 200, "{}", brought.body);
    assert_eq!(
        brought.body,
        json!({ "task_id": id, "status": "completed", "output": { "a": 1 }, "note": "of another worker" })
    );
    site.series_of("aurora_agent_results_unmatched_total", 2.0).await?;
    assert_eq!(site.scrape().await?.get("aurora_agent_result_correlation_latency_ms_count")?, 1.0);
    // A second one changes nothing.
    let _: String = client.0.xadd(RESULTS, "*", &[("task_id", id.as_str()), ("output", "2")]).await?;
    let _: String = client.0.xadd(RESULTS, "*", &[("task_id", "nobodys"), ("output", "1")]).await?;
    site.series_of("aurora_agent_results_unmatched_total", 3.0).await?;
    assert_eq!(desk.look(&id).await?.body["output"], json!({ "a": 1 }));
    Ok(())
}

#[tokio::test]
async fn any_host_answers_for_what_another_one_was_asked() -> Result<()> {
    let (plan, desk) = plan_with_desk()?;
    let first = plan.start().await?;
    let (other, other_desk) = plan_with_desk()?;
    let _second = other.set("redis.url", first.redis.url()).set("mqtt.client_id", "second").start().await?;
    for _ in 0..20 {
        let asked = desk.ask(r#"{"agent":"errand","input":{"do":"retry","until":2}}"#).await?;
        let id = asked.body["task_id"].as_str().unwrap_or_default().to_owned();
        let answer = other_desk.look(&format!("{id}?wait=30s")).await?;
        ensure!(answer.status == 200 && answer.body["attempts"] == 2, "{} {}", answer.status, answer.body);
    }
    exactly(&first, &mut Client::of(&first).await?, 20).await?;
    Ok(())
}
