use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::{Manifest, contracts::Contracts, tool};

/// Without a C library, so nothing is there that would want a system. What wasmtime runs and clang 14 knows is used.
const FLAGS: [&str; 17] = [
    "--target=wasm32-unknown-unknown",
    "-std=c11",
    "-O3",
    "-flto",
    "-ffreestanding",
    "-nostdlib",
    "-Wall",
    "-Wextra",
    "-mbulk-memory",
    "-msimd128",
    "-msign-ext",
    "-mnontrapping-fptoint",
    "-fvisibility=hidden",
    "-Wl,--no-entry",
    // A stack that overflows traps, and does not write over what lies below it.
    "-Wl,--stack-first",
    "-Wl,-z,stack-size=262144",
    // Names of functions stay, for traps.
    "-Wl,--strip-debug",
];

/// By clang, and wit-component as for Rust.
pub(super) fn make(guest: &Path, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let contracts = Contracts::of(guest, manifest)?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let output = folder.path().join("core.wasm");
    let mut clang = Command::new("clang");
    clang.args(FLAGS).arg("-o").arg(&output);
    for sources in [guest.to_owned(), guest.join("src"), guest.join("aurora")] {
        clang.args(sources_in(&sources));
    }
    // clang says by itself that its linker is missing, but not what installs it.
    anyhow::ensure!(tool::on_path("wasm-ld").is_some(), "wasm-ld is missing; run: apt-get install clang lld");
    tool::run(&mut clang, guest, "run: apt-get install clang lld")?;
    contracts.component(fs::read(&output).context("clang wrote no module")?)
}

/// The C files in `folder`, in the order of their names; none where there is no such folder.
fn sources_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "c")).collect();
    files.sort();
    files
}
