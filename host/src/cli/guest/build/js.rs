use std::{fs, path::Path, process::Command};

use anyhow::Context as _;

use super::{Manifest, contracts::Contracts, tool};

const SCRIPT: &str = include_str!("componentize.mjs");

/// Parts of the engine that would import WASI.
const FEATURES: [&str; 5] = ["stdio", "random", "clocks", "http", "fetch-event"];

/// Those of them that no empty WASI can serve.
const NEVER: [&str; 2] = ["http", "fetch-event"];

/// By componentize-js, which puts the guest into a JavaScript engine.
pub(super) fn make(guest: &Path, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let contracts = Contracts::of(guest, manifest)?;
    let installed = tool::beside(guest, "node_modules/@bytecodealliance/componentize-js")?
        .with_context(|| format!("componentize-js is missing; in {} run: npm install", guest.display()))?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let (wit, output) = (folder.path().join("wit"), folder.path().join("guest.wasm"));
    contracts.lay_out(&wit)?;
    let source = guest.join("guest.js").canonicalize().context("cannot find guest.js")?;
    let mut node = Command::new("node");
    // What is imported is looked for from the current folder upwards.
    node.current_dir(installed.ancestors().nth(3).unwrap_or(guest))
        .args(["--input-type=module", "--eval", SCRIPT, "--"])
        .args([source.as_path(), &wit])
        .arg(contracts.world)
        .arg(&output)
        .args(FEATURES.iter().filter(|feature| !manifest.wasi || NEVER.contains(feature)));
    tool::run(&mut node, guest, "install Node.js 20 or later: apt-get install nodejs npm")?;
    fs::read(&output).context("componentize-js wrote no component")
}
