//! An agent whose grants are not what it imports is told of before the first task comes.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use harness::{Site, binary};

use super::plan;

fn check(site: &Site) -> Result<(bool, String)> {
    let config = site.folder().join("aurora.toml");
    let output = Command::new(binary()?).args(["check", "--config"]).arg(config).output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn says(said: &str, word: &str, text: &str) -> bool {
    said.lines().any(|line| line.starts_with("agent errand") && line.contains(word) && line.contains(text))
}

#[tokio::test]
async fn one_that_imports_more_than_it_is_granted_is_refused_by_check_and_at_the_start() -> Result<()> {
    const WHY: &str = "imports aurora:event/log@0.1.0, which its site does not grant it; to grant it, write \
                       grants = [\"log\"] into [tasks.agents.errand]";
    let mut site = plan()?.set("tasks.agents.errand.grants", Vec::<String>::new()).brokers().await?;
    let refused = site.start_daemon().await.err().context("the daemon came up")?;
    ensure!(format!("{refused:#} {}", site.log()).contains(WHY), "{refused:#}");
    let log = site.mqtt.log();
    ensure!(!log.contains("as aurora-rust-core"), "events were asked for before that: {log}");
    let (well, said) = check(&site)?;
    ensure!(!well && says(&said, "FAILED", WHY), "{said}");
    Ok(())
}

#[tokio::test]
async fn one_that_is_granted_more_than_it_imports_runs_and_is_told_of() -> Result<()> {
    let site = plan()?.set("tasks.agents.errand.grants", vec!["log", "lookup"]).start().await?;
    ensure!(site.log().contains("the guest is granted what it does not import"), "{}", site.log());
    let (well, said) = check(&site)?;
    ensure!(well && says(&said, "note", "does not import what this gives it: grants = [\"lookup\"]"), "{said}");
    Ok(())
}
