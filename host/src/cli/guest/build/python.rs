use std::{env, fs, path::Path, process::Command};

use anyhow::Context as _;

use super::{Manifest, contracts::Contracts, tool};

/// By componentize-py, which puts the guest into a Python interpreter.
pub(super) fn make(guest: &Path, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let contracts = Contracts::of(guest, manifest)?;
    let environment = env::var_os("VIRTUAL_ENV").map(|folder| Path::new(&folder).join("bin/componentize-py"));
    let program = match tool::beside(guest, ".venv/bin/componentize-py")? {
        Some(program) => Some(program),
        None => environment.filter(|path| path.is_file()).or_else(|| tool::on_path("componentize-py")),
    };
    let install = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
    let program =
        program.with_context(|| format!("componentize-py is missing; in {} run: {install}", guest.display()))?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let (wit, output) = (folder.path().join("wit"), folder.path().join("guest.wasm"));
    contracts.lay_out(&wit)?;
    let mut componentize = Command::new(program);
    componentize.args(["--quiet", "--wit-path"]).arg(&wit).args(["--world", contracts.world, "componentize"]);
    if !manifest.wasi {
        // Python's own library wants WASI for what a guest never does.
        componentize.arg("--stub-wasi");
    }
    componentize.args(["guest", "--python-path"]).arg(guest).arg("--output").arg(&output);
    tool::run(&mut componentize, guest, &format!("install it again: {install}"))?;
    fs::read(&output).context("componentize-py wrote no component")
}
