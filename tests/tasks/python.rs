//! A worker and a client in Python, with redis-py, on the same streams. `.ci/languages` installs it.

use std::{
    collections::BTreeSet,
    env,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use harness::{Site, target, workspace};
use serde_json::Value;

use super::{Client, LETTERS, TASKS, exactly, plan};

/// `python3` with redis-py, running one of the scripts beside this file; none where it is not installed.
fn python(script: &str) -> Result<Option<Command>> {
    let installed = target()?.join("languages/clients");
    if !installed.join("done").is_file() {
        ensure!(env::var("CI").as_deref() != Ok("true"), "redis-py is not installed");
        eprintln!("SKIPPED: redis-py is not installed; .ci/languages does it");
        return Ok(None);
    }
    let mut command = Command::new(installed.join(".venv/bin/python"));
    command.arg("-B").arg(workspace().join("tests/tasks").join(script));
    Ok(Some(command))
}

/// A worker that ends with this.
struct Worker(Child);

impl Worker {
    fn start(site: &Site) -> Result<Option<Self>> {
        let Some(mut command) = python("worker.py")? else { return Ok(None) };
        let child = command.args([&site.redis.url(), "python-1"]).spawn().context("the worker does not start")?;
        Ok(Some(Self(child)))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended by itself is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_worker_and_a_client_in_python_work_beside_ours_on_the_same_streams() -> Result<()> {
    const COUNT: usize = 25;
    let site = plan()?.start().await?;
    let Some(_worker) = Worker::start(&site)? else { return Ok(()) };
    let Some(mut client) = python("client.py")? else { return Ok(()) };
    client.args([&site.redis.url(), &COUNT.to_string()]).stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || client.output()).await?.context("the client does not run")?;
    ensure!(output.status.success(), "the client failed");
    let seen: Vec<Value> =
        String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(seen.len(), 2 * COUNT);
    let tasks: BTreeSet<_> = seen.iter().filter_map(|result| result["task_id"].as_str()).collect();
    assert_eq!(tasks.len(), 2 * COUNT);
    for result in &seen {
        // Each agent by its own worker, whoever was given the task first.
        let (agent, worker, output) = (&result["agent"], &result["worker"], result["output"].as_str().unwrap_or("{}"));
        let said = serde_json::from_str::<Value>(output)?["said"].as_str().unwrap_or_default().to_owned();
        ensure!(result["status"] == "completed", "{result}");
        match worker.as_str() {
            Some("python-1") => ensure!(agent == "enrich" && said.starts_with("WORD"), "{result}"),
            _ => ensure!(agent == "errand" && said.starts_with("word"), "{result}"),
        }
    }
    exactly(&site, &mut Client::of(&site).await?, 2 * COUNT).await?;
    assert!(site.stream(LETTERS).await?.is_empty());
    assert!(site.stream(TASKS).await?.is_empty(), "what is done goes from the stream, whoever has done it");
    Ok(())
}

#[tokio::test]
async fn tasks_of_a_worker_that_is_away_are_passed_over_and_there_when_it_comes() -> Result<()> {
    const COUNT: usize = 10;
    let site = plan()?.start().await?;
    let mut client = Client::of(&site).await?;
    for number in 0..COUNT {
        let input = format!(r#"{{"do":"echo","say":"word {number}"}}"#);
        client
            .add_fields(&[
                ("task_id", format!("enrich-{number}")),
                ("agent", "enrich".to_owned()),
                ("input", input.clone()),
            ])
            .await?;
        client.add(&format!("errand-{number}"), &input).await?;
    }
    // Ours are done although they stood behind.
    site.stream_of(super::RESULTS, COUNT).await?;
    site.series_of("aurora_agent_tasks_passed_over_total", COUNT as f64).await?;
    site.wait_until("those of others to be left", async || {
        let pending = client.pending().await?;
        let expected = vec![("left-to-other-workers".to_owned(), 0); COUNT];
        ensure!(pending == expected, "{pending:?}");
        Ok(())
    })
    .await?;
    let Some(_worker) = Worker::start(&site)? else { return Ok(()) };
    let results = exactly(&site, &mut client, 2 * COUNT).await?;
    assert_eq!(results.iter().filter(|result| result.text("worker") == "python-1").count(), COUNT);
    Ok(())
}
