//! `aurora pipe`: raw events in, what becomes of them out, without any broker.

use std::{
    io::{Read, Write as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{PATIENCE, binary};

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

/// What `aurora pipe` did.
#[derive(Clone, Debug)]
pub struct Piped {
    /// One for each raw event.
    pub lines: Vec<PipeLine>,
    /// What it logged.
    pub log: String,
}

/// Runs `aurora pipe` with `arguments` on `input`. It is killed if it takes longer than [`PATIENCE`].
///
/// # Errors
/// It ends badly or not at all, or prints something else than JSON lines.
pub fn pipe(arguments: &[&str], input: &[u8]) -> Result<Piped> {
    let mut command = Command::new(binary()?);
    command.arg("pipe").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start aurora pipe")?;
    let mut stdin = child.stdin.take().context("aurora pipe has no standard input")?;
    let input = input.to_vec();
    // Beside each other, since no pipe holds everything. That it may end before it has read all is its own error.
    let feeding = thread::spawn(move || stdin.write_all(&input).ok());
    let (printed, logged) = (drain(child.stdout.take()), drain(child.stderr.take()));

    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for aurora pipe")? {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().ok();
            child.wait().ok();
            bail!("aurora pipe does not end; its log:\n{}", logged.join().unwrap_or_default());
        }
        thread::sleep(Duration::from_millis(5));
    };
    feeding.join().ok();
    let (printed, log) = (printed.join().unwrap_or_default(), logged.join().unwrap_or_default());
    if !status.success() {
        bail!("aurora pipe ended with {status}:\n{log}");
    }
    let parse = |line: &str| serde_json::from_str(line).map(PipeLine).with_context(|| format!("not JSON: {line}"));
    Ok(Piped { lines: printed.lines().map(parse).collect::<Result<_>>()?, log })
}

/// Reads to the end on a thread of its own. Text that is not UTF-8 shows as such.
fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes).ok();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
