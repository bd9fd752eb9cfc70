//! `aurora guest sign`: a signature beside a component.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, ensure};

use super::find;
use crate::{
    sandbox::Digest,
    supply::{MOST, PrivateKey, Signatures, signature_path},
};

pub const EXAMPLES: &str = "\
Examples:
  aurora guest sign --key site.key target/guests/acme.wasm   # writes target/guests/acme.wasm.sig
  aurora guest sign --key second.key acme.wasm               # adds another one to those that are there

What is signed is two lines of text, `aurora guest v1` and `sha256:<digest of the file>`.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The private key, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Components, or folders of guests.
    #[arg(required = true)]
    guests: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let key = PrivateKey::read(&args.key)?;
    for path in &args.guests {
        let file = find::built(path)?.wasm;
        let wasm = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        // A slip of the hand would otherwise sign the key itself.
        ensure!(wasm.starts_with(b"\0asm"), "{} is no WebAssembly", file.display());
        ensure!(wasm.len() as u64 <= MOST, "{} has more than {MOST} bytes, which no guest has", file.display());
        let (digest, beside) = (Digest::of(&wasm), signature_path(&file));
        let mut signatures = match fs::read(&beside) {
            Ok(text) => {
                Signatures::parse(&text).with_context(|| format!("remove {} to begin anew", beside.display()))?
            }
            Err(_) => Signatures::default(),
        };
        signatures.sign(&key, &digest);
        fs::write(&beside, signatures.text()).with_context(|| format!("cannot write {}", beside.display()))?;
        say!("{}  {digest}  signed by key {}", beside.display(), key.public().id());
        let others = signatures.iter().count() - 1;
        if others > 0 {
            say!("  beside {others} by other keys, which `aurora guest verify` checks");
        }
    }
    Ok(ExitCode::SUCCESS)
}
