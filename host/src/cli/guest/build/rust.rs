//! Plain `cargo build` for `wasm32-unknown-unknown`, and wit-component to make a component of it. A guest built so imports
//! no WASI at all. `cargo component build --target wasm32-unknown-unknown` gives the same, but takes minutes to install.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use super::{Made, contracts::componentize};

/// Guests are small and hot: the fastest code, and a panic is a trap, so nothing is unwound. Given on the command line
/// so that a guest outside this workspace is built the same.
const PROFILE: [&str; 7] = [
    "profile.component.inherits='release'",
    "profile.component.opt-level=3",
    "profile.component.lto='fat'",
    "profile.component.codegen-units=1",
    "profile.component.panic='abort'",
    "profile.component.strip='debuginfo'",
    "profile.component.incremental=false",
];

pub(super) fn make(package: &Path) -> anyhow::Result<Made> {
    let module = compile(package)?;
    let core = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = componentize(&core).with_context(|| format!("{} cannot be made a component", module.display()))?;
    // <target>/wasm32-unknown-unknown/component/<name>.wasm
    let target = module.ancestors().nth(3).context("cargo put the module at an unknown place")?;
    let name = module.file_stem().context("cargo named no file")?.to_string_lossy().replace('_', "-");
    Ok(Made { name, folder: target.join("guests"), component })
}

/// The core module that cargo makes of the package.
fn compile(package: &Path) -> anyhow::Result<PathBuf> {
    // Cargo reads what a package sets in `.cargo/config.toml` only from within its folder.
    let package = fs::canonicalize(package).with_context(|| format!("cannot find {}", package.display()))?;
    let manifest = package.join("Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--target", "wasm32-unknown-unknown", "--profile", "component"])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(&manifest)
        .args(PROFILE.iter().flat_map(|setting| ["--config", setting]))
        .current_dir(&package)
        .stderr(Stdio::inherit());
    let output = cargo.output().context("cannot run cargo; install Rust and see that cargo is on the PATH")?;
    if !output.status.success() {
        bail!(
            "{} does not build; if the target is missing: rustup target add wasm32-unknown-unknown",
            package.display()
        );
    }
    let wanted = fs::canonicalize(&manifest)?;
    let messages =
        output.stdout.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == wanted))
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .find(|name| name.extension().is_some_and(|extension| extension == "wasm"))
        .with_context(|| format!("{} makes no .wasm: give it [lib] crate-type = [\"cdylib\"]", manifest.display()))
}
