//! Puts into the binary what `aurora guest new` writes: the templates, and what guests in Rust are built on. A guest's
//! author has this one program and no copy of the repository.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Folders and files of the repository that go into the binary, under the same paths.
const KIT: [&str; 6] = ["guests/templates", "guests/sdk", "wit", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"];

/// What tools leave behind in them.
const LEFTOVERS: [&str; 3] = ["target", "node_modules", "__pycache__"];

fn main() -> Result<(), Box<dyn Error>> {
    let host = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = host.parent().ok_or("the host's package lies in no repository")?;
    let mut files = Vec::new();
    for part in KIT {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
        gather(&root.join(part), &mut files)?;
    }
    files.sort();
    let mut table = String::from("pub(super) const FILES: &[(&str, &[u8])] = &[\n");
    for file in files {
        let name = file.strip_prefix(root)?.to_str().ok_or("a file's name is not UTF-8")?;
        let path = file.to_str().ok_or("the repository's path is not UTF-8")?;
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    table.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("kit.rs"), table)?;
    Ok(())
}

fn gather(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !LEFTOVERS.iter().any(|name| entry.file_name() == *name) {
            gather(&entry.path(), files)?;
        }
    }
    Ok(())
}
