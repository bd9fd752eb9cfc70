//! Guests of a running site: others in their place, by the command that an operator uses.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{Plan, Site, binary, guest_cache};

/// What a daemon must be shown to change its guests.
pub const TOKEN: &str = "test-token";

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it ended well.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Plan {
    /// A site whose guests may be changed: with a token, and a cache of its own, for what is installed here must not run
    /// elsewhere. The cache begins with what all tests have compiled.
    ///
    /// # Errors
    /// The cache cannot be copied.
    pub fn changeable(self) -> Result<(Self, TempDir)> {
        let cache = tempfile::tempdir().context("no temporary folder")?;
        for entry in fs::read_dir(guest_cache()?).into_iter().flatten().flatten() {
            // Another test may be writing there; what is cut off fails its MAC and is compiled again.
            if entry.path().extension().is_none_or(|extension| extension == "cwasm") && entry.path().is_file() {
                let _copied = fs::copy(entry.path(), cache.path().join(entry.file_name()));
            }
        }
        let plan = self.set("guests.cache", cache.path().display().to_string()).set("admin.token", TOKEN);
        Ok((plan, cache))
    }
}

impl Site {
    /// `aurora guest …` with these arguments, about this site's daemon.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn guest(&self, arguments: &[&str]) -> Result<Said> {
        self.guest_in_background(arguments.iter().map(|&text| text.to_owned()))?.await?
    }

    /// The same, while others go on.
    ///
    /// # Errors
    /// The daemon is not built.
    pub fn guest_in_background(&self, arguments: impl IntoIterator<Item = String>) -> Result<JoinHandle<Result<Said>>> {
        let mut command = Command::new(binary()?);
        command.arg("guest").args(arguments).arg("--config").arg(self.folder().join("aurora.toml"));
        Ok(tokio::task::spawn_blocking(move || {
            let output = command.output().context("cannot run aurora guest")?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok(Said { success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) })
        }))
    }

    /// Puts the component at `path` into `slot`.
    ///
    /// # Errors
    /// The daemon refuses it.
    pub async fn swap(&self, slot: &str, path: &Path) -> Result<()> {
        let said = self.guest(&["swap", slot, &path.display().to_string()]).await?;
        ensure!(said.success, "{} is refused: {}", path.display(), said.err);
        Ok(())
    }

    /// How `slot` is, as the admin API says it.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub async fn slot(&self, slot: &str) -> Result<serde_json::Value> {
        let said = self.guest(&["list", "--json"]).await?;
        ensure!(said.success, "{}", said.err);
        let all: serde_json::Value = serde_json::from_str(&said.out).context("no JSON")?;
        let found = all["guests"].as_array().and_then(|guests| guests.iter().find(|guest| guest["slot"] == slot));
        found.cloned().with_context(|| format!("no slot {slot}"))
    }

    /// Digest of the guest that runs in `slot`.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub async fn digest(&self, slot: &str) -> Result<String> {
        Ok(self.slot(slot).await?["present"]["digest"].as_str().unwrap_or_default().to_owned())
    }
}

/// Writes a component to `to` that does what the one at `from` does and is another one: with `mark` in a custom section.
///
/// # Errors
/// It cannot be read or written.
pub fn variant(from: &Path, mark: &str, to: &Path) -> Result<()> {
    let mut wasm = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    ensure!(mark.len() < 100, "the mark is too long");
    wasm.extend([0, mark.len() as u8 + 5, 4]);
    wasm.extend(b"mark");
    wasm.extend(mark.as_bytes());
    // Renamed into place, so that a daemon that watches the file never reads half of it.
    let beside = to.with_extension("new");
    fs::write(&beside, wasm)
        .and_then(|()| fs::rename(&beside, to))
        .with_context(|| format!("cannot write {}", to.display()))
}
