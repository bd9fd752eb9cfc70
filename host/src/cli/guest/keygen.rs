//! `aurora guest keygen`: a pair of keys.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use crate::supply::PrivateKey;

pub const EXAMPLES: &str = "\
Examples:
  aurora guest keygen site         # site.key, to sign with, and site.pub, for guests.trusted_keys

They are PEM files as OpenSSL reads and writes them; `openssl genpkey -algorithm ed25519` makes a private key as well.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write them, without the endings .key and .pub.
    name: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let with = |ending: &str| {
        let mut path = args.name.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    let (private, public) = (with(".key"), with(".pub"));
    let key = PrivateKey::generate().context("the system gives no random numbers")?;
    key.write(&private)?;
    if let Err(error) = key.public().write(&public) {
        // Half a pair helps nobody, and would be in the way of the next attempt.
        let _ = std::fs::remove_file(&private);
        return Err(error.into());
    }
    say!("{}  signs; keep it to yourself, away from the machines that run guests", private.display());
    say!("{}  is for the site's configuration: guests.trusted_keys = [\"{0}\"]", public.display());
    say!("key {}", key.public().id());
    Ok(ExitCode::SUCCESS)
}
