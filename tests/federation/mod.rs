//! Promise 4: nothing leaves the site by accident. The ceiling against a policy that wants all of it, both sets of
//! subjects, and the streams that a site offers to others.
//!
//! That a policy which traps, hangs, answers nonsense or is switched off by its breaker shares nothing is shown in
//! `isolation`.

mod ceiling;
mod sets;
mod offers;
mod inbound;

use anyhow::{Context as _, Result};
use harness::{PipeLine, hostile_guest, pipe};
use serde_json::Value;

/// What becomes of `event` under a policy that shares everything it sees, with `config` above it.
fn coveted(config: &str, event: &Value) -> Result<PipeLine> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let file = folder.path().join("aurora.toml");
    std::fs::write(&file, config).context("cannot write the configuration")?;
    std::fs::write(folder.path().join("list"), "# worthless to others\n46.4.4.4\n").context("cannot write the list")?;
    let policy = format!("federate={}", hostile_guest()?.display());
    let file = file.to_str().context("a temporary folder that is not UTF-8")?;
    let arguments = ["--config", file, "--guest", &policy, "--format", "json", "--messages"];
    let mut lines = pipe(&arguments, event.to_string().as_bytes())?.lines;
    assert_eq!(lines.len(), 1, "one event, {} answers", lines.len());
    lines.pop().context("no answer")
}
