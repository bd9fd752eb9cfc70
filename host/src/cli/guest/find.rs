//! From what an author names, a folder or a file, to the component that is meant.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail};

use super::build::Manifest;

/// A built guest.
#[derive(Clone, Debug)]
pub(super) struct Built {
    /// The component.
    pub wasm: PathBuf,
    /// Its folder of sources, where it was found by that.
    pub folder: Option<PathBuf>,
}

/// Folders that do not change the component.
const BESIDE: [&str; 9] =
    ["target", "cases", "tests", "benches", "fuzz", "node_modules", ".venv", ".git", "__pycache__"];

/// Folders of which every file may go into it.
const SOURCES: [&str; 2] = ["src", "aurora"];

/// Endings of files that go into it wherever they lie. An author also keeps recordings and notes there.
const ENDINGS: [&str; 12] = ["rs", "wit", "js", "mjs", "cjs", "ts", "py", "c", "h", "cc", "cpp", "hpp"];

/// The component that `path` names: itself, or what was built of the folder.
///
/// # Errors
/// It is not built, or its sources are newer: a trial of something else than what the author reads helps nobody.
pub(super) fn built(path: &Path) -> anyhow::Result<Built> {
    if path.is_file() {
        return Ok(Built { wasm: path.to_owned(), folder: None });
    }
    if !path.is_dir() {
        bail!("there is neither a folder nor a file {}", path.display());
    }
    let folder = fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = name(&folder)?;
    let file = format!("guests/{name}.wasm");
    // Of the current folder, as cargo takes it.
    let set = std::env::var_os("CARGO_TARGET_DIR").map(|target| Path::new(&target).join(&file));
    let above = folder.ancestors().map(|folder| folder.join("target").join(&file));
    let Some(wasm) = set.into_iter().chain(above).find(|file| file.is_file()) else {
        bail!("{name} is not built; build it with: aurora guest build {}", path.display());
    };
    let built = modified(&wasm)?;
    if let Some((newer, _)) = newest(&folder)?.filter(|(_, changed)| *changed > built) {
        let changed = newer.strip_prefix(&folder).unwrap_or(&newer).display();
        bail!("{changed} is newer than {}; build it with: aurora guest build {}", wasm.display(), path.display());
    }
    Ok(Built { wasm, folder: Some(folder) })
}

/// The name of the package in `folder`, else the folder's.
fn name(folder: &Path) -> anyhow::Result<String> {
    let manifest = folder.join("Cargo.toml");
    if let Ok(text) = fs::read_to_string(&manifest) {
        let manifest: toml::Table = text.parse().with_context(|| format!("cannot read {}", manifest.display()))?;
        if let Some(name) =
            manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str)
        {
            return Ok(name.to_owned());
        }
    }
    if let Some(manifest) = Manifest::read(folder)? {
        return Ok(manifest.name);
    }
    let name = folder.file_name().context("a guest's folder has a name")?;
    Ok(name.to_string_lossy().into_owned())
}

fn modified(path: &Path) -> anyhow::Result<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).with_context(|| format!("cannot look at {}", path.display()))
}

/// The source that was changed last.
fn newest(folder: &Path) -> anyhow::Result<Option<(PathBuf, SystemTime)>> {
    last(folder, false)
}

fn last(folder: &Path, all: bool) -> anyhow::Result<Option<(PathBuf, SystemTime)>> {
    let mut last_of_all: Option<(PathBuf, SystemTime)> = None;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let found = if path.is_dir() {
            if BESIDE.contains(&&*name) {
                continue;
            }
            last(&path, all || SOURCES.contains(&&*name))?
        } else if all || is_source(&path) {
            Some((path.clone(), modified(&path)?))
        } else {
            None
        };
        last_of_all = [last_of_all, found].into_iter().flatten().max_by_key(|(_, changed)| *changed);
    }
    Ok(last_of_all)
}

fn is_source(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    ENDINGS.contains(&&*ending)
        || path.ends_with("Cargo.toml")
        || path.ends_with("guest.toml")
        || path.ends_with(".cargo/config.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest's folder with a component that is newer than all of it.
    fn guest() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in ["Cargo.toml", "src/lib.rs", "src/table.json", "cases/a/input", "notes.md", "events.jsonl"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, if file == "Cargo.toml" { "[package]\nname = 'acme'" } else { "" }).unwrap();
        }
        let wasm = folder.path().join("target/guests/acme.wasm");
        fs::create_dir_all(wasm.parent().unwrap()).unwrap();
        fs::write(&wasm, "").unwrap();
        touch(&wasm, 60);
        folder
    }

    fn touch(path: &Path, seconds: u64) {
        let later = SystemTime::now() + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
    }

    #[test]
    fn what_is_older_than_its_sources_is_named_and_not_taken() {
        for source in ["Cargo.toml", "src/lib.rs", "src/table.json"] {
            let folder = guest();
            assert!(built(folder.path()).is_ok());
            touch(&folder.path().join(source), 120);
            let error = built(folder.path()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{source} is newer")) && error.contains("guest build"), "{error}");
        }
    }

    #[test]
    fn what_does_not_go_into_it_may_be_newer() {
        for beside in ["cases/a/input", "notes.md", "events.jsonl"] {
            let folder = guest();
            touch(&folder.path().join(beside), 120);
            assert!(built(folder.path()).is_ok(), "{beside}");
        }
    }
}
