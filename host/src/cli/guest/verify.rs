//! `aurora guest verify`: whether a component is signed by whom one trusts.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, ensure};

use super::find;
use crate::{
    config::{self, Config, Purpose},
    supply::{PublicKey, Source, Supply, Trust},
    telemetry::Chain,
};

pub const EXAMPLES: &str = "\
Examples:
  aurora guest verify --key site.pub target/guests/acme.wasm
  aurora guest verify --config aurora.toml acme.wasm       # with the site's trusted keys

Exit code: 0 if each of them is signed by one of the keys and no signature by them is wrong, 1 if not.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A public key, PEM; several may be given.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// A configuration, whose guests.trusted_keys are meant as well.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Components, or folders of guests.
    #[arg(required = true)]
    guests: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut keys = args.key.clone();
    if let Some(path) = &args.config {
        match Config::load(Some(path), config::environment(), Purpose::Pipe) {
            Ok(config) => keys.extend(config.guests.trusted_keys),
            Err(problems) => anyhow::bail!("the configuration cannot be used\n{problems}"),
        }
    }
    ensure!(!keys.is_empty(), "no key is trusted; name one with --key, or a configuration that has trusted_keys");
    let trust = Trust::in_keys(keys.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>()?, true);
    let supply = Supply::new(&config::Guests::default()).context("no supply")?;
    let mut all = true;
    for path in &args.guests {
        let file = find::built(path)?.wasm;
        let fetched = supply.fetch(&Source::File(file.clone()))?;
        match trust.judge(&fetched.digest, fetched.signature.as_deref()) {
            Ok(verdict) => say!("{}  {}  {verdict}", file.display(), fetched.digest),
            Err(error) => {
                all = false;
                say!("{}  {}  FAILED: {}", file.display(), fetched.digest, Chain(&error));
            }
        }
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
