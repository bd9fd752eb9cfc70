//! Programs of other languages: found, run, and named with what installs them.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

/// The first of `relative` paths that is there, in the guest's folder or one above it.
pub(super) fn beside(guest: &Path, relative: &str) -> anyhow::Result<Option<PathBuf>> {
    let guest = guest.canonicalize().with_context(|| format!("cannot find {}", guest.display()))?;
    Ok(guest.ancestors().map(|folder| folder.join(relative)).find(|path| path.exists()))
}

/// The program `name` on the PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs `command`. `missing` says how it is installed. What it prints goes to standard error, for standard output is for
/// what was built.
pub(super) fn run(command: &mut Command, guest: &Path, missing: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = match command.stdout(io::stderr()).status() {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!("{program} is missing; {missing}"),
        Err(error) => return Err(error).with_context(|| format!("cannot run {program}")),
    };
    ensure!(status.success(), "{} does not build: {program} ended with {status}", guest.display());
    Ok(())
}
