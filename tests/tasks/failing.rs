//! Tasks that fail, and entries that are none.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use harness::{Site, binary};
use redis::AsyncCommands as _;
use serde_json::Value;

use super::{Client, LETTERS, TASKS, exactly, plan};

#[tokio::test]
async fn a_task_is_tried_again_with_longer_waits_until_it_goes_well() -> Result<()> {
    let site = plan()?.start().await?;
    let mut client = Client::of(&site).await?;
    client.add("good", r#"{"do":"retry","until":4}"#).await?;
    client.add("trapped", r#"{"do":"trap","until":3}"#).await?;
    let results = exactly(&site, &mut client, 2).await?;
    for (task, attempts) in [("good", "4"), ("trapped", "3")] {
        let result = results.iter().find(|result| result.text("task_id") == task).context("no result")?;
        assert_eq!((result.text("status").as_str(), result.text("attempts").as_str()), ("completed", attempts));
    }
    assert!(site.stream(LETTERS).await?.is_empty());
    assert!(site.stream(TASKS).await?.is_empty(), "what is done goes from the stream");
    let scrape = site.scrape().await?;
    assert_eq!(scrape.get("aurora_agent_task_retry_total")?, 5.0);
    assert_eq!(scrape.get("aurora_agent_dead_letter_total")?, 0.0);
    Ok(())
}

#[tokio::test]
async fn after_three_retries_a_task_is_a_dead_letter_and_who_waits_hears_of_it() -> Result<()> {
    let site = plan()?.set("tasks.agents.errand.deadline", "50ms").start().await?;
    let mut client = Client::of(&site).await?;
    let cases = [
        ("retried", r#"{"do":"retry"}"#, "attempt 4 of 4", "4"),
        ("trapped", r#"{"do":"trap"}"#, "as it was told", "4"),
        ("spun", r#"{"do":"spin"}"#, "50 ms", "4"),
        ("garbage", r#"{"do":"garbage"}"#, "its output is not JSON", "4"),
        ("refused", r#"{"do":"permanent"}"#, "as it was told", "1"),
        ("misread", r#"{"say":1}"#, "the input: ", "1"),
    ];
    for (task, input, ..) in cases {
        client.add(task, input).await?;
    }
    let results = exactly(&site, &mut client, cases.len()).await?;
    let letters = site.stream(LETTERS).await?;
    assert_eq!(letters.len(), cases.len());
    for (task, input, said, attempts) in cases {
        let letter = letters.iter().find(|letter| letter.text("task_id") == task).context("no letter")?;
        ensure!(letter.text("reason").contains(said), "{task}: {}", letter.text("reason"));
        assert_eq!((letter.text("attempts").as_str(), letter.text("input").as_str()), (attempts, input), "{task}");
        assert_eq!(
            letter.names(),
            ["agent", "attempts", "entry", "guest", "input", "reason", "task_id", "timestamp", "worker"]
        );
        let result = results.iter().find(|result| result.text("task_id") == task).context("no result")?;
        assert_eq!((result.text("status").as_str(), result.text("error")), ("failed", letter.text("reason")));
    }
    let scrape = site.scrape().await?;
    assert_eq!(scrape.get("aurora_agent_dead_letter_total")?, 6.0);
    assert_eq!(scrape.get("aurora_agent_task_retry_total")?, 12.0);
    assert!(scrape.get("aurora_guest_faults_total{guest=\"task/errand\",reason=\"trap\",stage=\"task\"}")? >= 4.0);
    Ok(())
}

#[tokio::test]
async fn an_agent_is_shown_with_its_guest_and_what_became_of_its_tasks() -> Result<()> {
    let site = plan()?.set("admin.token", "operators-token").start().await?;
    let mut client = Client::of(&site).await?;
    client.add("good", r#"{"do":"echo"}"#).await?;
    client.add("bad", r#"{"do":"permanent"}"#).await?;
    exactly(&site, &mut client, 2).await?;
    for status in ["completed", "failed"] {
        let series = format!("aurora_agent_tasks_ended_total{{agent=\"errand\",status=\"{status}\"}}");
        site.series_of(&series, 1.0).await?;
    }
    for path in ["/v1/overview", "/v1/guests"] {
        let open = site.look(path).await?;
        let said: Value = serde_json::from_str(&open)?;
        let agent = &said["agents"][0];
        assert_eq!((&agent["agent"], &agent["slot"]), (&"errand".into(), &"task/errand".into()), "{open}");
        assert_eq!((&agent["state"], &agent["under_way"]), (&"idle".into(), &0.into()), "{agent}");
        assert_eq!((&agent["completed"], &agent["failed"]), (&1.into(), &1.into()), "{agent}");
        ensure!(agent["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{agent}");
        ensure!(!open.contains("as it was told"), "what a task says is open to everybody: {open}");
    }
    // With the token of the configuration.
    let config = site.folder().join("aurora.toml");
    let output = Command::new(binary()?).args(["guest", "list", "--config"]).arg(config).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("bad: as it was told"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_task_is_a_dead_letter_at_once_and_holds_up_nobody() -> Result<()> {
    let site = plan()?.set("tasks.max_payload", 100).start().await?;
    let mut client = Client::of(&site).await?;
    let large = vec![b' '; 101];
    type Fields<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Fields<'_>, &str); 6] = [
        (&[("task", b"x")], "no field `agent`"),
        (&[("agent", b"\xff\xfe")], "`agent` is not UTF-8"),
        (&[("agent", b"two words")], "`agent` is no name"),
        (&[("agent", b"errand"), ("input", b"{\"do\":")], "`input` is not JSON"),
        (&[("agent", b"errand"), ("input", b"\"\xff\"")], "not UTF-8 at byte 1"),
        (&[("agent", b"errand"), ("input", &large)], "101 bytes"),
    ];
    for (fields, _) in cases {
        client.add_fields(fields).await?;
    }
    client.add("sound", r#"{"do":"echo"}"#).await?;
    exactly(&site, &mut client, cases.len() + 1).await?;
    let letters = site.stream(LETTERS).await?;
    assert_eq!(letters.len(), cases.len());
    for ((_, said), letter) in cases.iter().zip(&letters) {
        ensure!(letter.text("reason").contains(said), "{}, not {said}", letter.text("reason"));
        assert_eq!(letter.text("attempts"), "0");
    }
    assert_eq!(letters[0].text("fields"), r#"[["task","x"]]"#);
    Ok(())
}

#[tokio::test]
async fn a_task_of_nobody_here_is_refused_where_there_are_no_other_workers() -> Result<()> {
    let site = plan()?.set("tasks.unknown", "refuse").start().await?;
    let mut client = Client::of(&site).await?;
    client.add_fields(&[("agent", "enrich"), ("task_id", "strange")]).await?;
    exactly(&site, &mut client, 1).await?;
    let letter = &site.stream(LETTERS).await?[0];
    ensure!(letter.text("reason").contains("no agent \"enrich\" here; [tasks.agents] has errand"), "{letter:?}");
    Ok(())
}

#[tokio::test]
async fn results_that_cannot_be_stored_keep_their_task_until_they_can() -> Result<()> {
    let site = plan()?.start().await?;
    let mut client = Client::of(&site).await?;
    let _: () = client.0.set(LETTERS, "in the way").await?;
    client.add("kept", r#"{"do":"permanent"}"#).await?;
    degraded(&site, "is a string and no stream").await?;
    assert_eq!(client.pending().await?.len(), 1);
    assert!(site.stream(super::RESULTS).await?.is_empty(), "a part of a step was done");
    let _: () = client.0.del(LETTERS).await?;
    exactly(&site, &mut client, 1).await?;
    degraded(&site, "\"degraded\":{}").await
}

async fn degraded(site: &Site, said: &str) -> Result<()> {
    site.wait_until(said, async || {
        let report = site.readiness().await?;
        ensure!(report.contains(said), "{report}");
        Ok(())
    })
    .await
}
