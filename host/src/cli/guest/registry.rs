//! `aurora guest pull` and `push`: guests out of OCI registries, and into them.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, ensure};

use super::find;
use crate::{
    config::{self, Config, Purpose},
    supply::{Fetched, Reference, Registry, Source, Supply, signature_path},
};

pub const PULL_EXAMPLES: &str = "\
Examples:
  aurora guest pull registry.site:5000/guests/acme:1       # says what the tag stands for today
  aurora guest pull registry.site:5000/guests/acme:1 --out acme.wasm   # and acme.wasm.sig, if it is signed
  aurora guest pull registry.site:5000/guests/acme@sha256:… --config aurora.toml   # as the site reaches it

Registries of this machine are reached by HTTP, others by HTTPS.";

pub const PUSH_EXAMPLES: &str = "\
Examples:
  aurora guest push target/guests/acme.wasm registry.site:5000/guests/acme:1

The artifact is as the CNCF has it for WebAssembly, so other tools can pull and push it as well; the signatures are a second
layer, of media type application/vnd.aurora.guest.signature.v1+json.";

/// How a registry is reached.
#[derive(Debug, clap::Args)]
struct How {
    /// A configuration, for its [guests.registry]; without one, what `docker login` has left is used.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Pull {
    /// registry/repository:tag or registry/repository@sha256:…
    reference: String,
    /// Where to write the component.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub struct Push {
    /// The component, or the folder of a guest.
    guest: PathBuf,
    /// registry/repository:tag
    reference: String,
    #[command(flatten)]
    how: How,
}

impl How {
    fn guests(&self) -> anyhow::Result<config::Guests> {
        let Some(path) = &self.config else {
            let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
            let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
            let auth_file = folder.map(|folder| folder.join("config.json")).filter(|file| file.is_file());
            let registry = config::Registry { auth_file, ..config::Registry::default() };
            return Ok(config::Guests { registry, ..config::Guests::default() });
        };
        match Config::load(Some(path), config::environment(), Purpose::Pipe) {
            // Pulled anew each time: who asks by hand wants to know what is there.
            Ok(config) => Ok(config::Guests { cache: None, ..config.guests }),
            Err(problems) => anyhow::bail!("the configuration cannot be used\n{problems}"),
        }
    }
}

pub(super) fn pull(args: &Pull) -> anyhow::Result<ExitCode> {
    let guests = args.how.guests()?;
    let supply = Supply::new(&guests)?;
    let reference = Reference::parse(&args.reference)?;
    let named = match reference.digest() {
        Some(_) => reference,
        None => Registry::new(&guests.registry).find(&reference)?,
    };
    let Fetched { wasm, digest, signature, .. } = supply.fetch(&Source::Oci(named.to_string()))?;
    let verdict = supply.trust().judge(&digest, signature.as_deref())?;
    say!("oci = \"{named}\"");
    say!("component  {digest}, {} bytes, {verdict}", wasm.len());
    if let Some(out) = &args.out {
        write(out, &wasm)?;
        let beside = signature_path(out);
        match signature {
            Some(text) => write(&beside, &text)?,
            // One of the file that was here before would be wrong.
            None if beside.exists() => {
                fs::remove_file(&beside).with_context(|| format!("cannot remove {}", beside.display()))?;
            }
            None => {}
        }
        say!("written to {}", out.display());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn push(args: &Push) -> anyhow::Result<ExitCode> {
    let guests = args.how.guests()?;
    let reference = Reference::parse(&args.reference)?;
    ensure!(reference.digest().is_none(), "name a tag to push to, as in {}/…:1", reference.registry());
    let file = find::built(&args.guest)?.wasm;
    let Fetched { wasm, digest, signature, .. } = Supply::new(&guests)?.fetch(&Source::File(file.clone()))?;
    ensure!(wasm.starts_with(b"\0asm"), "{} is no WebAssembly", file.display());
    let named = Registry::new(&guests.registry).push(&reference, &wasm, signature.as_deref())?;
    let signed = if signature.is_some() { ", with its signatures" } else { ", not signed" };
    say!("component  {digest}{signed}");
    say!("oci = \"{named}\"");
    Ok(ExitCode::SUCCESS)
}

fn write(path: &std::path::Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
