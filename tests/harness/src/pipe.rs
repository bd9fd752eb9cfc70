//! `aurora pipe`: raw events in, what becomes of them out, without any broker.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::binary;

/// One line of the answer.
#[derive(Clone, Debug)]
pub struct PipeLine(pub Value);

impl PipeLine {
    /// accepted, dropped or rejected.
    #[must_use]
    pub fn outcome(&self) -> &str {
        self.0["outcome"].as_str().unwrap_or_default()
    }

    /// Why it was not accepted.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.0["reason"].as_str().unwrap_or_default()
    }

    /// Number of normalized events.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0["events"].as_array().map_or(0, Vec::len)
    }

    /// The normalized event at `index`; null where there is none.
    #[must_use]
    pub fn event(&self, index: usize) -> &Value {
        &self.0["events"][index]["event"]
    }

    /// Where the event at `index` goes.
    #[must_use]
    pub fn streams(&self, index: usize) -> Vec<&str> {
        let streams = self.0["events"][index]["streams"].as_array();
        streams.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// How the event at `index` is shared; null if it is kept.
    #[must_use]
    pub fn share(&self, index: usize) -> &Value {
        &self.0["events"][index]["share"]
    }

    /// Why the event at `index` is kept.
    #[must_use]
    pub fn keep_reason(&self, index: usize) -> &str {
        self.0["events"][index]["keep_reason"].as_str().unwrap_or_default()
    }
}

/// Runs `aurora pipe` with `arguments` on `input`.
///
/// # Errors
/// It ends badly, or prints something else than JSON lines.
pub fn pipe(arguments: &[&str], input: &[u8]) -> Result<Vec<PipeLine>> {
    let mut command = Command::new(binary()?);
    command.arg("pipe").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start aurora pipe")?;
    let mut stdin = child.stdin.take().context("aurora pipe has no standard input")?;
    let input = input.to_vec();
    // Written beside the reading, since neither side's pipe holds everything. That it may end early is its own error.
    let feeding = thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().context("cannot read from aurora pipe")?;
    feeding.join().ok();
    if !output.status.success() {
        bail!("aurora pipe ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout).context("aurora pipe printed something else than UTF-8")?;
    let parse = |line: &str| serde_json::from_str(line).map(PipeLine).with_context(|| format!("not JSON: {line}"));
    text.lines().map(parse).collect()
}
