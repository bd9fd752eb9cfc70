//! A guest has what its site grants it, and nothing else.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use harness::{binary, hostile_guest, pipe, stock_guest};
use tempfile::TempDir;

/// A configuration in which the hostile guest, which imports the log, normalizes with `grants`.
fn site(grants: &str) -> Result<(TempDir, String)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("aurora.toml");
    let (hostile, route, federate) = (hostile_guest()?, stock_guest("route-core")?, stock_guest("federate-core")?);
    let text = format!(
        "[site]\nid = \"s\"\n[redis]\nurl = \"redis://127.0.0.1\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n\
         [guests.route]\npath = {route:?}\n[guests.federate]\npath = {federate:?}\n\
         [guests.normalize]\npath = {hostile:?}\n{grants}\n"
    );
    fs::write(&path, text)?;
    let path = path.to_str().context("a path that is not UTF-8")?.to_owned();
    Ok((folder, path))
}

fn check(config: &str) -> Result<(bool, String)> {
    let output = Command::new(binary()?).args(["check", "--config", config]).output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn a_guest_that_imports_more_than_it_is_granted_is_refused_with_the_line_that_would_grant_it() -> Result<()> {
    let (_folder, config) = site("")?;
    let (well, said) = check(&config)?;
    assert!(!well && said.contains("imports aurora:event/log@0.1.0, which its site does not grant it"), "{said}");
    assert!(said.contains("write grants = [\"log\"] into [guests.normalize]"), "{said}");
    let refused = pipe(&["--config", &config], b"plain 1").err().context("pipe ran it")?.to_string();
    assert!(refused.contains("imports aurora:event/log@0.1.0"), "{refused}");
    Ok(())
}

#[test]
fn what_is_granted_is_shown_and_runs() -> Result<()> {
    let (_folder, config) = site("grants = [\"log\"]")?;
    let (well, said) = check(&config)?;
    assert!(well && said.contains("100ms a call, grants = [\"log\"]"), "{said}");
    assert_eq!(pipe(&["--config", &config], b"plain 1")?.lines[0].outcome(), "accepted");
    let (_folder, config) = site("grants = [\"lgo\"]")?;
    let (well, said) = check(&config)?;
    assert!(!well && said.contains("unknown value \"lgo\""), "{said}");
    Ok(())
}

#[test]
fn a_guest_that_is_tried_gets_what_it_imports_and_its_author_hears_of_it() -> Result<()> {
    let stock = stock_guest("route-core")?;
    let folder = stock.parent().and_then(Path::to_str).context("no folder of guests")?;
    let own = format!("normalize={}", hostile_guest()?.display());
    let piped = pipe(&["--guests", folder, "--guest", &own], b"plain 1")?;
    assert_eq!(piped.lines[0].outcome(), "accepted");
    assert!(piped.log.contains("granted here what a site must grant it: grants = [\"log\"]"), "{}", piped.log);
    Ok(())
}
