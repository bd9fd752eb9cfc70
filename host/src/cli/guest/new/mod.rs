//! `aurora guest new`: a folder that builds and passes its tests at once, without a network where cargo has what it
//! needs.

mod kit;
mod lock;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

use kit::Words;

/// `aurora guest new`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the guest decides.
    #[arg(value_enum)]
    stage: Stage,
    /// Its name: lower-case letters, digits and hyphens.
    #[arg(value_parser = name)]
    name: String,
    /// The language that it is written in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// The folder to make [default: the guest's name]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// The stages that have guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// Raw events to normalized ones.
    Normalize,
    /// Which Redis streams an event goes to.
    Route,
    /// What leaves the site.
    Federate,
    /// What of other sites' messages comes in.
    Inbound,
    /// Tasks that somebody asks an agent to do.
    Task,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    /// Needs nothing beside Rust.
    Rust,
    /// JavaScript.
    Js,
    /// Python.
    Python,
    /// C.
    C,
}

impl Stage {
    /// Its name, its folder in `wit/`, and its world.
    pub(super) fn words(self) -> [&'static str; 3] {
        match self {
            Self::Normalize => ["normalize", "normalizer", "normalizer"],
            Self::Route => ["route", "router", "router"],
            Self::Federate => ["federate", "federation", "federation-policy"],
            Self::Inbound => ["inbound", "inbound", "inbound-policy"],
            Self::Task => ["task", "task", "agent"],
        }
    }
}

impl Language {
    /// Its folder in `guests/templates`.
    fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
            Self::C => "c",
        }
    }
}

pub(super) fn name(text: &str) -> Result<String, String> {
    let letter = |byte: u8| byte.is_ascii_lowercase();
    let valid = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| letter(byte) || byte.is_ascii_digit() || byte == b'-')
        && text.bytes().next().is_some_and(letter)
        && !text.ends_with('-')
        && !text.contains("--");
    match valid {
        true if RESERVED.contains(&text) => Err("that is a word of the language or a crate it needs".to_owned()),
        true => Ok(text.to_owned()),
        false => Err("use lower-case letters, digits and single hyphens, a letter first, 64 at the most".to_owned()),
    }
}

/// What no package in Rust may be called, and what the others must not be either.
const RESERVED: [&str; 12] =
    ["test", "core", "std", "alloc", "crate", "self", "super", "fn", "type", "match", "aurora-guest", "wit-bindgen"];

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let [stage, wit, world] = args.stage.words();
    let words = Words { name: &args.name, stage, wit, world };
    let files = kit::files(args.lang.folder(), &words)?;
    if files.is_empty() {
        let there = kit::languages(stage);
        bail!("there is no template of a {stage} guest in that language; there are: {}", there.join(", "));
    }
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    make_empty(&folder)?;
    for (path, content) in &files {
        write(&folder.join(path), content)?;
    }
    println!("{} is a guest of stage {stage}. Next:\n", folder.display());
    println!("  cd {}", folder.display());
    if args.lang == Language::Rust {
        println!("  cargo test                 # its logic, natively");
    }
    let name = &args.name;
    println!("  aurora guest build .       # target/guests/{name}.wasm");
    println!("  aurora guest test .        # that file: cases/, hostile input, budgets");
    match args.stage {
        Stage::Task => {
            println!("  mkdir cases/mine           # and a task of yours, done without a broker:");
            println!("  echo '{{\"name\":\"Ada\"}}' > cases/mine/input");
            println!("  aurora guest test . --cases cases/mine --update --hostile 0");
            println!("  cat cases/mine/expected.json\n")
        }
        Stage::Inbound => {
            println!("  aurora demo --sites 2 --guest inbound=target/guests/{name}.wasm --send cases/judged/input\n")
        }
        _ => {
            println!("  aurora demo --guest {stage}=target/guests/{name}.wasm --keep   # at work, with real brokers\n")
        }
    }
    println!("README.md says what is where.");
    Ok(ExitCode::SUCCESS)
}

/// Somebody's files are never overwritten.
fn make_empty(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    ensure!(entries.next().is_none(), "{} is not empty; name another folder with --path", folder.display());
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn refuses_a_name_that_is_no_package() {
        for bad in ["", "Acme", "9lives", "a--b", "a-", "-a", "a_b", "core", "a b", "../a"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(name("acme-door-7").as_deref(), Ok("acme-door-7"));
    }

    #[test]
    fn every_stage_has_a_template_in_rust_and_leaves_no_place_unfilled() {
        for stage in Stage::value_variants() {
            let [stage, wit, world] = stage.words();
            let files = kit::files("rust", &Words { name: "my-guest", stage, wit, world }).unwrap();
            for wanted in ["Cargo.toml", "src/lib.rs", "src/component.rs", "README.md", "aurora/wit/event/event.wit"] {
                assert!(files.iter().any(|(path, _)| path == Path::new(wanted)), "{stage} has no {wanted}");
            }
            assert!(files.iter().any(|(path, _)| path.ends_with("expected.json")), "{stage} has no case");
            let unfilled = files
                .iter()
                .find(|(path, content)| !path.starts_with("aurora") && String::from_utf8_lossy(content).contains("{{"));
            assert_eq!(unfilled.map(|(path, _)| path), None);
        }
    }
}
