//! The contracts as tools want them, and components out of core modules that keep to them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::Manifest;

/// The packages of `aurora/wit` of a guest.
#[derive(Debug)]
pub(super) struct Contracts {
    folder: PathBuf,
    stage: &'static str,
    pub world: &'static str,
}

impl Contracts {
    pub(super) fn of(guest: &Path, manifest: &Manifest) -> anyhow::Result<Self> {
        let [_, stage, world] = manifest.stage.words();
        let folder = guest.join("aurora/wit");
        let own = folder.join(stage);
        ensure!(own.is_dir(), "there is no {}; `aurora guest new` puts the contracts there", own.display());
        Ok(Self { folder, stage, world })
    }

    /// Copies them into the empty folder `to` as WebAssembly's tools expect them: the world's package, and the others in
    /// `deps`.
    pub(super) fn lay_out(&self, to: &Path) -> anyhow::Result<()> {
        for package in entries(&self.folder)?.into_iter().filter(|path| path.is_dir()) {
            let name = package.file_name().unwrap_or_default();
            let into = if name == self.stage { to.to_owned() } else { to.join("deps").join(name) };
            fs::create_dir_all(&into).with_context(|| format!("cannot make {}", into.display()))?;
            for file in entries(&package)?.into_iter().filter(|path| path.is_file()) {
                let copy = into.join(file.file_name().unwrap_or_default());
                fs::copy(&file, copy).with_context(|| format!("cannot copy {}", file.display()))?;
            }
        }
        Ok(())
    }

    /// A component out of a core module that was written by the canonical ABI and says nothing of its world.
    pub(super) fn component(&self, core: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let laid_out = tempfile::tempdir().context("no temporary folder")?;
        self.lay_out(laid_out.path())?;
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(laid_out.path()).context("the contracts cannot be read")?;
        let world = resolve.select_world(&[package], Some(self.world))?;
        let mut core = core;
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)?;
        componentize(&core)
    }
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}

/// A component out of a core module that says which world it is for.
pub(super) fn componentize(core: &[u8]) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default().module(core).and_then(|encoder| encoder.validate(true).encode())
}
