//! `aurora guest build`: a component out of a folder of sources, in whichever language. What it takes beside Rust is
//! named with the one command that installs it.

mod manifest;
mod rust;
mod js;
mod python;
mod c;
mod contracts;
mod tool;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

pub(super) use self::manifest::Manifest;
use crate::{
    cli::pipe::user_cache,
    config::Guests,
    sandbox::{Inspection, Sandbox},
};

/// `aurora guest build`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The language is that of the folder: Cargo.toml, or guest.js, guest.py, guest.c beside guest.toml.
What each needs, once:
  Rust        rustup target add wasm32-unknown-unknown
  JavaScript  Node.js; npm install                                       (in the guest's folder)
  Python      python3 -m venv .venv && .venv/bin/pip install -r requirements.txt     (likewise)
  C           apt-get install clang lld")]
pub struct Args {
    /// Folders of guests.
    #[arg(default_value = ".")]
    guests: Vec<PathBuf>,
    /// Folder for the components; by default `target/guests`, below the guest or where cargo has its target.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// A component, not yet written.
struct Made {
    name: String,
    /// Where it goes unless the command line says otherwise.
    folder: PathBuf,
    component: Vec<u8>,
}

/// How a guest of one language is built.
type Make = fn(&Path, &Manifest) -> anyhow::Result<Vec<u8>>;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // It compiles what it has built, to see that it loads; whoever tests or runs it next need not.
    let sandbox = Sandbox::new(&Guests { cache: user_cache(), ..Guests::default() }, 1)?;
    for guest in &args.guests {
        let made = make(guest)?;
        let inspection = Inspection::of(&sandbox, &made.component)
            .with_context(|| format!("the component made of {} does not load", guest.display()))?;
        let refused = inspection.refused();
        ensure!(
            refused.is_empty(),
            "{} imports {}, which no site can grant; wit/README.md says what a guest may import",
            guest.display(),
            refused.join(", ")
        );
        let stages: Vec<_> = inspection.stages().iter().map(|stage| stage.as_str()).collect();
        ensure!(
            !stages.is_empty(),
            "{} exports no stage, only [{}]; export one of the interfaces of wit/",
            guest.display(),
            inspection.exports.join(", ")
        );
        let path = write(args.out.as_deref().unwrap_or(&made.folder), &made)?;
        let needs = inspection.needs();
        println!(
            "{}  {} kB  {}  {}  {}",
            path.display(),
            inspection.size / 1000,
            stages.join("+"),
            if needs.is_empty() { "needs no grants".to_owned() } else { format!("needs {needs}") },
            inspection.digest
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn make(guest: &Path) -> anyhow::Result<Made> {
    if guest.join("Cargo.toml").is_file() {
        return rust::make(guest);
    }
    let languages: [(&str, Make); 3] = [("guest.js", js::make), ("guest.py", python::make), ("guest.c", c::make)];
    let found: Vec<_> = languages.iter().filter(|(source, _)| guest.join(source).is_file()).collect();
    let [(_, make)] = found[..] else {
        bail!(
            "{} is no guest, or several: it has to have one of Cargo.toml, guest.js, guest.py, guest.c; `aurora guest \
             new` makes one",
            guest.display()
        );
    };
    let manifest = Manifest::read(guest)?.with_context(|| {
        format!("{} has no guest.toml: it says name = \"…\" and stage = \"normalize\"", guest.display())
    })?;
    let component = make(guest, &manifest)?;
    // As cargo takes it, so that all that is built is found the same way.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| guest.join("target"), PathBuf::from);
    Ok(Made { name: manifest.name, folder: target.join("guests"), component })
}

fn write(folder: &Path, made: &Made) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{}.wasm", made.name));
    // Renamed into place, so that a daemon that watches the file never reads half of it.
    let beside = path.with_extension("wasm.new");
    fs::write(&beside, &made.component)
        .and_then(|()| fs::rename(&beside, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
