//! Another guest for an agent, while tasks flow.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use harness::{Plan, Site, built_guest, stock_guest, variant};
use tempfile::TempDir;

use super::{Client, LETTERS, RESULTS, exactly, plan};

const SLOT: &str = "task/errand";

/// A running site, its cache, and a folder with the agent's own file in it.
struct Stand {
    site: Site,
    client: Client,
    _cache: TempDir,
    folder: TempDir,
}

impl Stand {
    async fn start(more: impl FnOnce(Plan) -> Plan) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("errand.wasm");
        fs::copy(built_guest("tests/errand", "errand")?, &file)?;
        let (plan, cache) = plan()?.set("tasks.agents.errand.path", file.display().to_string()).changeable()?;
        let site = more(plan).start().await?;
        let client = Client::of(&site).await?;
        Ok(Self { site, client, _cache: cache, folder })
    }

    /// The agent's own file.
    fn file(&self) -> PathBuf {
        self.folder.path().join("errand.wasm")
    }

    /// An agent that does the same, and is another one.
    fn other(&self, mark: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{mark}.component"));
        variant(&built_guest("tests/errand", "errand")?, mark, &path)?;
        Ok(path)
    }

    /// Which guest runs, as results name it.
    async fn present(&self) -> Result<String> {
        named(&self.site.digest(SLOT).await?)
    }

    /// Waits until it is another one than `before`.
    async fn changes_from(&self, before: &str) -> Result<String> {
        self.site
            .wait_until("another agent", async || {
                let present = self.present().await?;
                ensure!(present != before, "still {present}");
                Ok::<_, anyhow::Error>(present)
            })
            .await
    }

    /// Writes the configuration as it is set now, and has it read.
    fn hang_up(&mut self) -> Result<()> {
        let admin = self.site.daemon()?.admin();
        self.site.write_configuration(admin)?;
        let pid = self.site.daemon()?.pid().to_string();
        ensure!(Command::new("kill").args(["-HUP", &pid]).status()?.success(), "no SIGHUP");
        Ok(())
    }

    /// Has an easy task done, after `before` others, and gives the guest that did it.
    async fn errand(&mut self, id: &str, before: usize) -> Result<String> {
        self.client.add(id, r#"{"do":"echo"}"#).await?;
        let results = exactly(&self.site, &mut self.client, before + 1).await?;
        let result = results.iter().find(|result| result.text("task_id") == id).context("no result")?;
        assert_eq!(result.text("status"), "completed");
        Ok(result.text("guest"))
    }

    /// What befell the agent, newest first, and on whose word.
    async fn history(&self) -> Result<Vec<String>> {
        let said = self.site.guest(&["history", SLOT, "--json"]).await?;
        let history: serde_json::Value = serde_json::from_str(&said.out).context("no JSON")?;
        let of = |event: &serde_json::Value| {
            format!("{} {}", event["what"].as_str().unwrap_or_default(), event["by"].as_str().unwrap_or_default())
        };
        Ok(history["history"].as_array().context("no history")?.iter().map(of).collect())
    }
}

/// The guest with this digest, as results name it.
fn named(digest: &str) -> Result<String> {
    Ok(format!("{SLOT}@{}", digest.get(7..23).with_context(|| format!("{digest:?} is no digest"))?))
}

#[tokio::test]
async fn each_task_has_one_result_while_the_agent_is_swapped_and_later_ones_are_done_by_the_new_guest() -> Result<()> {
    let mut stand = Stand::start(|plan| plan).await?;
    let old = stand.present().await?;
    stand.client.add("first", r#"{"do":"echo"}"#).await?;
    stand.site.stream_of(RESULTS, 1).await?;

    let (mut tasks, mut pace) = (1, tokio::time::interval(Duration::from_millis(2)));
    for mark in ["second", "third"] {
        let guest = stand.other(mark)?.display().to_string();
        let swapped = stand.site.guest_in_background(["swap".to_owned(), SLOT.to_owned(), guest])?;
        while !swapped.is_finished() {
            pace.tick().await;
            // Every tenth is tried again, which another guest may do than the first time.
            let errand = if tasks % 10 == 0 { r#"{"do":"retry","until":2}"# } else { r#"{"do":"echo"}"# };
            stand.client.add(&format!("t{tasks}"), errand).await?;
            tasks += 1;
        }
        let said = swapped.await??;
        ensure!(said.success, "{}", said.err);
    }
    let new = stand.present().await?;
    assert_ne!(new, old);
    for number in 0..50 {
        stand.client.add(&format!("later{number}"), r#"{"do":"echo"}"#).await?;
    }
    let results = exactly(&stand.site, &mut stand.client, tasks + 50).await?;
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    for result in &results {
        assert_eq!(result.text("status"), "completed", "{}: {}", result.text("task_id"), result.text("error"));
        *by.entry(result.text("guest")).or_default() += 1;
        if result.text("task_id").starts_with("later") {
            assert_eq!(result.text("guest"), new, "{}", result.text("task_id"));
        }
    }
    ensure!(by.len() >= 2 && by.contains_key(&old) && by.contains_key(&new), "{by:?}");
    assert!(stand.site.stream(LETTERS).await?.is_empty());
    assert_eq!(stand.history().await?, ["installed admin", "installed admin"]);
    let listed = stand.site.guest(&["list"]).await?;
    ensure!(listed.out.contains(SLOT) && listed.out.contains(&new[SLOT.len() + 1..][..12]), "{}", listed.out);
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_under_way_ends_with_the_guest_that_began_it() -> Result<()> {
    let mut stand =
        Stand::start(|plan| plan.set("tasks.retries", 0).set("tasks.agents.errand.deadline", "10s")).await?;
    let old = stand.present().await?;
    stand.client.add("long", r#"{"do":"spin"}"#).await?;
    stand.site.series_of("aurora_agent_tasks_in_flight", 1.0).await?;
    stand.site.swap(SLOT, &stand.other("other")?).await?;
    let new = stand.changes_from(&old).await?;
    stand.client.add("short", r#"{"do":"echo"}"#).await?;
    let short = stand.site.stream_of(RESULTS, 1).await?.remove(0);
    assert_eq!((short.text("task_id"), short.text("guest")), ("short".to_owned(), new));
    let results = exactly(&stand.site, &mut stand.client, 2).await?;
    assert_eq!((results[1].text("status"), results[1].text("guest")), ("failed".to_owned(), old));
    Ok(())
}

#[tokio::test]
async fn a_file_sighup_and_a_roll_back_change_an_agent_and_a_restart_keeps_it() -> Result<()> {
    let mut stand =
        Stand::start(|plan| plan.set("tasks.retries", 0).set("tasks.agents.errand.deadline", "60s")).await?;
    let first = stand.present().await?;
    assert_eq!(stand.errand("before", 0).await?, first);

    variant(&built_guest("tests/errand", "errand")?, "by file", &stand.file())?;
    let by_file = stand.changes_from(&first).await?;
    assert_eq!(stand.errand("by-file", 1).await?, by_file);

    // The same guest, which has less time from now on.
    stand.site.set("tasks.agents.errand.deadline", "50ms");
    stand.hang_up()?;
    stand
        .site
        .wait_until("the guest of SIGHUP", async || {
            let by = stand.site.slot(SLOT).await?["present"]["by"].clone();
            ensure!(by == "signal", "{by}");
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    stand.client.add("hasty", r#"{"do":"spin"}"#).await?;
    let hasty = exactly(&stand.site, &mut stand.client, 3).await?.remove(2);
    assert_eq!((hasty.text("status"), hasty.text("guest")), ("failed".to_owned(), by_file.clone()));

    stand.site.swap(SLOT, &stand.other("sent")?).await?;
    let sent = stand.changes_from(&by_file).await?;
    assert_eq!(stand.errand("sent", 3).await?, sent);
    stand.site.kill_daemon()?;
    stand.site.start_daemon().await?;
    assert_eq!(stand.present().await?, sent, "a restart undid it");
    assert_eq!(stand.errand("after-restart", 4).await?, sent);
    let back = stand.site.guest(&["rollback", SLOT]).await?;
    assert!(back.success, "{back:?}");
    assert_eq!(stand.errand("rolled-back", 5).await?, by_file);
    assert_eq!(stand.history().await?, ["rolled-back admin", "installed admin", "installed signal", "installed file"]);
    Ok(())
}

#[tokio::test]
async fn what_is_refused_leaves_the_old_agent_at_work() -> Result<()> {
    let mut stand = Stand::start(|plan| plan).await?;
    let old = stand.present().await?;
    let router = stock_guest("route-core")?.display().to_string();
    let said = stand.site.guest(&["swap", SLOT, &router]).await?;
    assert!(!said.success && said.err.contains("aurora:task/run"), "{said:?}");
    let other = stand.other("rehearsed")?.display().to_string();
    let said = stand.site.guest(&["swap", SLOT, &other, "--shadow", "5s"]).await?;
    assert!(!said.success && said.err.contains("an agent cannot be rehearsed"), "{said:?}");
    fs::write(stand.file(), "no component")?;
    let slot = stand
        .site
        .wait_until("the file to be refused", async || {
            let slot = stand.site.slot(SLOT).await?;
            ensure!(slot["refused"].is_string(), "{slot}");
            Ok::<_, anyhow::Error>(slot)
        })
        .await?;
    assert_eq!(named(slot["present"]["digest"].as_str().unwrap_or_default())?, old);
    let readiness = stand.site.readiness().await?;
    assert!(readiness.contains(SLOT) && readiness.contains("is refused"), "{readiness}");
    assert_eq!(stand.errand("still", 0).await?, old);
    // Nor does the file keep a daemon from its start, or another guest from coming back with it.
    stand.site.kill_daemon()?;
    stand.site.start_daemon().await?;
    assert_eq!(stand.errand("after-restart", 1).await?, old);
    Ok(())
}
