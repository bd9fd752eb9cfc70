//! `aurora guest build`: plain `cargo build` for `wasm32-unknown-unknown`, and wit-component to make a component of it.
//! A guest built so imports no WASI at all. `cargo component build --target wasm32-unknown-unknown` gives the same, but
//! takes minutes to install.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, bail, ensure};
use wit_component::ComponentEncoder;

use crate::{
    config::Guests,
    sandbox::{Inspection, Sandbox},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of guest packages.
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// Folder for the components; by default `guests` in cargo's target folder.
    #[arg(long)]
    out: Option<PathBuf>,
}

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

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sandbox = Sandbox::new(&Guests::default(), 1)?;
    for package in &args.packages {
        let module = compile(package)?;
        let component = componentize(&module)?;
        let inspection = Inspection::of(&sandbox, &component)
            .with_context(|| format!("the component made of {} does not load", module.display()))?;
        let refused = inspection.refused();
        ensure!(
            refused.is_empty(),
            "{} imports {}, which no site can grant; wit/README.md says what a guest may import",
            package.display(),
            refused.join(", ")
        );
        let stages: Vec<_> = inspection.stages().iter().map(|stage| stage.as_str()).collect();
        ensure!(
            !stages.is_empty(),
            "{} exports no stage, only [{}]; export one of the interfaces of wit/",
            package.display(),
            inspection.exports.join(", ")
        );
        let out = write(args.out.as_deref(), &module, &component)?;
        println!(
            "{}  {} kB  {}  imports {}  {}",
            out.display(),
            inspection.size / 1000,
            stages.join("+"),
            if inspection.imports.is_empty() { "nothing".to_owned() } else { inspection.imports.join(" ") },
            inspection.digest
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The core module that cargo makes of the package.
fn compile(package: &Path) -> anyhow::Result<PathBuf> {
    let manifest = package.join("Cargo.toml");
    ensure!(manifest.is_file(), "{} is not a Rust package: there is no {}", package.display(), manifest.display());
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--target", "wasm32-unknown-unknown", "--profile", "component"])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(&manifest)
        .args(PROFILE.iter().flat_map(|setting| ["--config", setting]))
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

fn componentize(module: &Path) -> anyhow::Result<Vec<u8>> {
    let core = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    ComponentEncoder::default()
        .module(&core)
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| format!("{} cannot be made a component", module.display()))
}

fn write(out: Option<&Path>, module: &Path, component: &[u8]) -> anyhow::Result<PathBuf> {
    // <target>/wasm32-unknown-unknown/component/<name>.wasm
    let beside = || module.ancestors().nth(3).map(|target| target.join("guests"));
    let folder = out.map(Path::to_owned).or_else(beside).context("cargo put the module at an unknown place")?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let name = module.file_name().context("cargo named no file")?.to_string_lossy().replace('_', "-");
    let path = folder.join(name);
    // Renamed into place, so that a daemon that watches the file never reads half of it.
    let beside = path.with_extension("wasm.new");
    fs::write(&beside, component)
        .and_then(|()| fs::rename(&beside, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
