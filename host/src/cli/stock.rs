//! Where the stock guests lie: beside a build, or as they are installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The folder of the stock guests: as told, else beside this program, else below the current folder.
///
/// # Errors
/// There are none.
pub(super) fn folder(told: Option<&Path>) -> anyhow::Result<PathBuf> {
    find(told, &std::env::current_exe().context("cannot tell where this program lies; use --guests")?)
}

fn find(told: Option<&Path>, program: &Path) -> anyhow::Result<PathBuf> {
    let has_guests = |folder: &Path| folder.join("normalize-core.wasm").is_file();
    if let Some(told) = told {
        if has_guests(told) {
            return std::path::absolute(told).context("cannot find the guests' folder");
        }
        bail!("{} has no normalize-core.wasm", told.display());
    }
    // `target/release/aurora` has its guests in `target/guests`, and `/usr/bin/aurora` in `/usr/lib/aurora`.
    let above = program.ancestors().nth(2);
    let beside = ["guests", "lib/aurora"].into_iter().filter_map(|folder| Some(above?.join(folder)));
    let here = std::path::absolute("target/guests").ok();
    let found = beside.chain(here).find(|folder| has_guests(folder));
    found.with_context(|| {
        format!(
            "the stock guests are neither in lib/aurora beside the folder of {} nor in target/guests; name their folder \
             with --guests, or build them with `make guests`",
            program.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn missing_guests_are_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bin/aurora");
        assert!(find(Some(folder.path()), &program).unwrap_err().to_string().contains("normalize-core.wasm"));
        let error = find(None, &program).unwrap_err().to_string();
        assert!(error.contains("--guests") && error.contains("make guests"), "{error}");
    }

    #[test]
    fn finds_them_beside_a_build_and_as_they_are_installed() {
        for (program, guests) in [("target/release/aurora", "target/guests"), ("usr/bin/aurora", "usr/lib/aurora")] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join(guests)).unwrap();
            fs::write(folder.path().join(guests).join("normalize-core.wasm"), "").unwrap();
            assert_eq!(find(None, &folder.path().join(program)).unwrap(), folder.path().join(guests));
        }
    }
}
