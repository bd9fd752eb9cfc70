//! What is under test was built before: the daemon and the stock guests by `make`, those that only tests have here.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail, ensure};

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}

/// The folder of the build that this test is part of: `target`.
///
/// # Errors
/// The test is not in a build folder.
pub fn target() -> Result<PathBuf> {
    // target/release/deps/aurora-0123456789abcdef
    let test = env::current_exe().context("cannot find the test itself")?;
    test.ancestors().nth(3).map(Path::to_owned).context("the test is not in a build folder")
}

/// The daemon: `AURORA_TEST_BINARY`, else the one that was built beside this test.
///
/// # Errors
/// It is not built.
pub fn binary() -> Result<PathBuf> {
    if let Some(told) = env::var_os("AURORA_TEST_BINARY") {
        return Ok(told.into());
    }
    let built = target()?.join("release/aurora");
    ensure!(built.is_file(), "{} is not built; `make build` builds it", built.display());
    Ok(built)
}

/// A stock guest: in `AURORA_TEST_GUESTS`, else `target/guests`.
///
/// # Errors
/// It is not built.
pub fn stock_guest(name: &str) -> Result<PathBuf> {
    let folders = match env::var_os("AURORA_TEST_GUESTS") {
        Some(told) => vec![told.into()],
        None => vec![target()?.join("guests"), workspace().join("target/guests")],
    };
    let found = folders.iter().map(|folder| folder.join(format!("{name}.wasm"))).find(|file| file.is_file());
    found.with_context(|| format!("{name}.wasm is not in {folders:?}; `make guests` builds it"))
}

/// Where the daemons of all tests keep compiled guests: a start then takes a tenth of the time. They are one user and
/// one build, so the code is as good as each one's own.
///
/// # Errors
/// The test is not in a build folder.
pub fn guest_cache() -> Result<PathBuf> {
    Ok(target()?.join("test-cache"))
}

/// The guest of `tests/hostile`, built once for each run of the tests.
///
/// # Errors
/// It does not build.
pub fn hostile_guest() -> Result<PathBuf> {
    built_guest("tests/hostile", "hostile")
}

/// The guest `name` of the package in `folder`, built once for each run of the tests.
///
/// # Errors
/// It does not build.
pub fn built_guest(folder: &str, name: &str) -> Result<PathBuf> {
    static BUILT: Mutex<BTreeMap<String, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    // Whoever comes second waits for the first: cargo would have them take turns as well.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built =
        built.entry(name.to_owned()).or_insert_with(|| build(folder, name).map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build(folder: &str, name: &str) -> Result<PathBuf> {
    let (workspace, guests) = (workspace(), target()?.join("guests"));
    // By the command that guest authors use, so it is tried as well. Under a name of its own first: another run of
    // the tests may be reading the old one.
    let draft = guests.join(format!("draft-{name}-{}", std::process::id()));
    let output = Command::new(binary()?)
        .args(["guest", "build", "--out"])
        .arg(&draft)
        .arg(folder)
        .current_dir(&workspace)
        .output()
        .context("cannot run aurora guest build")?;
    if !output.status.success() {
        bail!("{folder} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let file = format!("{name}.wasm");
    let path = guests.join(&file);
    std::fs::rename(draft.join(&file), &path).with_context(|| format!("cannot move {file} to its place"))?;
    std::fs::remove_dir_all(&draft).context("cannot clear up")?;
    Ok(path)
}
